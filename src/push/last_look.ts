import type { SessionActor } from "../delivery/actor.ts";
import type { Attention } from "../delivery/attention.ts";
import { withProgressHere } from "../delivery/progress.ts";
import { sessionOf, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { placeOf } from "../delivery/target.ts";
import type { Clock } from "../ports/clock.ts";
import type { OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import type { Entry, History } from "../ports/transport.ts";
import type { PushTarget, UserRecord } from "../ports/users.ts";
import type { Policy } from "../session/policy.ts";
import { dropWords, unsureOf, whyDone } from "./need.ts";
import type { PendingPushes } from "./pending.ts";

/** What the last look works with. */
export interface LastLookParts {
  history: History | undefined;
  records: UserRecords;
  roster: Roster;
  attention: Attention;
  actor: SessionActor;
  pending: PendingPushes;
  providers: readonly PushProvider[];
  policy: Pick<Policy, "ackTimeoutMs">;
  clock: Clock;
}

/** A push that is about to leave. */
export interface Parcel {
  readonly row: OutboxRow;
  readonly target: PushTarget;
  readonly provider: PushProvider;
  readonly entry: Entry;
  /** It waited for input at another device, and there was none. */
  readonly isReleased: boolean;
}

/** What was read for the last look. */
export interface Found {
  readonly entry: Entry | undefined;
  readonly stored: UserRecord | undefined;
}

/** What the last look finds: the push leaves, ends here, or waits until then (milliseconds since 1970). */
export type Look = Parcel | { end: OutboxEnd; note: string } | { until: number; note: string };

/** The last look before a push leaves. */
export class LastLook {
  readonly #parts: LastLookParts;

  constructor(parts: LastLookParts) {
    this.#parts = parts;
  }

  /** Reads what the last look goes by: the record last, for it is what decides. */
  async read({ userId, topic, position }: OutboxRow): Promise<Found> {
    const { history, records } = this.#parts;
    const page = await history?.read(topic, position.offset - 1, 1);
    return { entry: page?.entries[0], stored: await records.store.get(userId) };
  }

  /** Is it still needed, and still this session's target? By what was read, and what the sessions here have acked by now. */
  at(row: OutboxRow, { entry, stored }: Found): Look {
    const { clock, pending, providers, roster } = this.#parts;
    const { userId, deviceId, topic, position } = row;
    if (row.expiresAt <= clock.now()) return { end: "expired", note: "expired before it left" };
    const record = stored && withProgressHere(stored, roster);
    const target = record &&
      sessionOf(record, deviceId)?.targets.find(({ provider }) => placeOf(userId, deviceId, provider) === row.targetId);
    if (record === undefined || target === undefined) {
      return { end: "dropped", note: "the target is not this session's any more" };
    }
    if (target.disabled !== undefined) return { end: "dropped", note: "the target is disabled" };
    if (record.subscriptions[topic] === undefined) return { end: "dropped", note: "unsubscribed" };
    const provider = providers.find(({ name }) => name === target.provider);
    if (provider === undefined) return { end: "rejected", note: `no provider "${target.provider}" here` };
    if (entry?.offset !== position.offset || entry.epoch !== position.epoch) {
      return { end: "expired", note: "the log does not have it any more" };
    }
    const done = whyDone(record, deviceId, topic, position);
    if (done !== undefined) return { end: "dropped", note: dropWords(done, row, undefined, clock.now()) };
    const spared = pending.whySpared(row);
    if (spared !== undefined) return { end: "dropped", note: spared };
    const unsure = unsureOf(record, topic, position);
    if (unsure !== undefined && unsure.until > clock.now()) {
      return { until: unsure.until, note: "shown on another device that was not touched for a while: waits for input there" };
    }
    return this.#backInFront(row) ?? { row, target, provider, entry, isReleased: unsure !== undefined };
  }

  /** A device that came back in front before its push left is pushed to as if it had been there all the time. */
  #backInFront(row: OutboxRow): Look | undefined {
    const { actor, attention, clock, pending, policy, roster } = this.#parts;
    const { userId, deviceId, topic, position, urgency } = row;
    const session = roster.find(userId, deviceId);
    // Once a provider was asked it was due: only what a person does calls it back.
    if (session?.outlet === undefined || !attention.isInFront(session) || pending.wasAsked(row)) return undefined;
    if (urgency === "low" || urgency === "very-low") return { end: "dropped", note: "the app is in front again" };
    const reader = session.reader(topic);
    const { state } = actor.stepper.describe(session.state);
    // A connection is live while nothing is overdue: then what is not seen yet may still be seen in time.
    if (state !== "connected.live" || reader === undefined || reader.seenUpTo() >= position.offset) return undefined;
    let wait = policy.ackTimeoutMs;
    for (const { at, entry } of session.unseen) {
      if (entry.topic === topic && entry.position.offset === position.offset) wait += at - clock.elapsed();
    }
    return { until: clock.now() + Math.max(1, Math.ceil(wait)), note: "the app is in front again: it gets time to show it" };
  }
}
