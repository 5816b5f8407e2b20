import { sessionOf, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName } from "../delivery/session.ts";
import type { SessionActor } from "../delivery/actor.ts";
import type { Clock } from "../ports/clock.ts";
import type { OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import type { Entry, History } from "../ports/transport.ts";
import type { PushTarget, UserRecord } from "../ports/users.ts";
import type { Arbiter } from "./arbiter.ts";

/** What the last look works with. */
export interface LastLookParts {
  history: History | undefined;
  records: UserRecords;
  roster: Roster;
  arbiter: Arbiter;
  actor: SessionActor;
  providers: readonly PushProvider[];
  clock: Clock;
}

/** A push that is about to leave. */
export interface Parcel {
  readonly row: OutboxRow;
  readonly target: PushTarget;
  readonly provider: PushProvider;
  readonly entry: Entry;
}

/** The last look before a push leaves. */
export class LastLook {
  readonly #parts: LastLookParts;

  constructor(parts: LastLookParts) {
    this.#parts = parts;
  }

  /** Is it still needed, and still this session's target? */
  async at(row: OutboxRow): Promise<Parcel | { end: OutboxEnd; note: string }> {
    const { arbiter, clock, history, providers, records } = this.#parts;
    if (row.expiresAt <= clock.now()) return { end: "expired", note: "expired before it left" };
    const record = await records.store.get(row.userId);
    const target = record && sessionOf(record, row.deviceId)?.targets.find(({ id }) => id === row.targetId);
    if (record === undefined || target === undefined) {
      return { end: "dropped", note: "the target is not this session's any more" };
    }
    if (target.disabled !== undefined) return { end: "dropped", note: "the target is disabled" };
    if (record.subscriptions[row.topic] === undefined) return { end: "dropped", note: "unsubscribed" };
    const provider = providers.find(({ name }) => name === target.provider);
    if (provider === undefined) return { end: "rejected", note: `no provider "${target.provider}" here` };
    const page = await history?.read(row.topic, row.position.offset - 1, 1);
    // Reading takes time: only then is it looked whether the device has it by now.
    if (this.#ackedHere(row, record)) return { end: "dropped", note: "acked by this device" };
    const entry = page?.entries[0];
    if (entry?.offset !== row.position.offset || entry.epoch !== row.position.epoch) {
      return { end: "expired", note: "the log does not have it any more" };
    }
    if (row.held) {
      if (await arbiter.ackedElsewhere(record, deviceName(row.deviceId), row.topic, row.position)) {
        return { end: "dropped", note: "acked on another device" };
      }
      // Other nodes were asked, which takes time: what was found before that may not be so any more.
      return await this.at({ ...row, held: false });
    }
    return { row, target, provider, entry };
  }

  /** In the background an ack does not say that anybody has seen it; anywhere else it does. */
  #ackedHere(row: OutboxRow, record: UserRecord): boolean {
    const { actor, roster } = this.#parts;
    const session = roster.find(row.userId, row.deviceId);
    if (session?.outlet !== undefined) {
      return actor.stepper.describe(session.state).state !== "backgrounded" && this.#hasAcked(session.reader(row.topic), row);
    }
    const progress = session?.reader(row.topic) ?? sessionOf(record, row.deviceId)?.progress[row.topic];
    return !row.rule.startsWith("backgrounded") && this.#hasAcked(progress, row);
  }

  #hasAcked(progress: { epoch: number; acked: number } | undefined, { position }: OutboxRow): boolean {
    return progress?.epoch === position.epoch && progress.acked >= position.offset;
  }
}
