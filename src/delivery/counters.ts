import type { CloseCode } from "../protocol/codes.ts";
import type { UpgradeRefusal } from "../ports/connection.ts";

/**
 * Why a connection never had a session: its upgrade was refused, or it ended before the welcome, with the close code of that name;
 * "left": the client ended it.
 */
export type Refused = UpgradeRefusal | keyof typeof CloseCode | "left";

/** What an engine has done since it was created. Plain numbers, read at any time. */
export interface Counters {
  /** Messages taken in, without the duplicates. */
  accepted: number;
  /** Publishes answered with an earlier one's receipt. */
  duplicates: number;
  /** Frames with a message written to a socket, repeats after a reconnect included. */
  delivered: number;
  /** Entries whose handler is done, per device. */
  acked: number;
  /** Entries whose handler gave up, per device. */
  failed: number;
  /** Entries left in the log because the reader was slow. */
  diverted: number;
  /** Entries that expired before a connected device got them, per device. */
  expired: number;
  /** Recoveries that were not whole. */
  gaps: number;
  /** Connections that reached a session. */
  attached: number;
  /** Upgrades and connections that were refused, or left before they had a session, by reason. */
  refused: Record<Refused, number>;
  /**
   * Pushes put into the outbox: one per message and target. Each ends as one of the following, and is counted then: sent, merged,
   * rejected, gone, dropped or expired. So what is left of `pushesQueued` waits, or is under way. With several nodes on one storage
   * that holds for the sum of all of them: a node may send what another one queued. And all counters begin at 0 with the engine: what
   * waited in the storage before ends in them without having been queued there.
   */
  pushesQueued: number;
  /** Pushes that a provider took. One may stand for several messages. */
  pushesSent: number;
  /** Pushes whose message is told of by another one, which was or will be sent in their stead. */
  pushesMerged: number;
  /** Pushes that a provider will never take. */
  pushesRejected: number;
  /** Pushes whose target was found dead by them. Others that waited for it are dropped. */
  pushesGone: number;
  /** Pushes that were not needed any more before they left. */
  pushesDropped: number;
  /** Pushes that no provider took before their message expired. */
  pushesExpired: number;
  /** Answers that said "not now", for each push that got one. */
  pushesRetried: number;
  /** Targets found dead. */
  targetsGone: number;
  /** Targets whose provider gave another token for them. */
  targetsReplaced: number;
  /** How often a target was put to rest: its provider asked for a pause, or an answer may have been its own fault. */
  targetsRested: number;
  /** Users forgotten because no device came for too long. */
  usersEvicted: number;
}

/** All zero. */
export function createCounters(): Counters {
  return {
    accepted: 0,
    duplicates: 0,
    delivered: 0,
    acked: 0,
    failed: 0,
    diverted: 0,
    expired: 0,
    gaps: 0,
    attached: 0,
    refused: {
      ...{ path: 0, origin: 0, host: 0, subprotocol: 0, handshake: 0, taken: 0, left: 0 },
      ...{ normal: 0, drain: 0, expired: 0, slow: 0, helloTimeout: 0, heartbeat: 0, internal: 0, overloaded: 0 },
      ...{ unauthorized: 0, replaced: 0, protocol: 0, signedOut: 0, tooLarge: 0, version: 0 },
    },
    pushesQueued: 0,
    pushesSent: 0,
    pushesMerged: 0,
    pushesRejected: 0,
    pushesGone: 0,
    pushesDropped: 0,
    pushesExpired: 0,
    pushesRetried: 0,
    targetsGone: 0,
    targetsReplaced: 0,
    targetsRested: 0,
    usersEvicted: 0,
  };
}
