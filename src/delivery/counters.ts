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
  /** Connections refused: no valid token, no hello, bad frames. */
  refused: number;
  pushesQueued: number;
  pushesSent: number;
  pushesRetried: number;
  pushesRejected: number;
  pushesDropped: number;
  targetsGone: number;
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
    refused: 0,
    pushesQueued: 0,
    pushesSent: 0,
    pushesRetried: 0,
    pushesRejected: 0,
    pushesDropped: 0,
    targetsGone: 0,
    usersEvicted: 0,
  };
}
