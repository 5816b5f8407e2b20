import type { AckListener } from "../delivery/progress.ts";
import type { Session } from "../delivery/session.ts";
import type { Sending } from "../delivery/unseen.ts";
import { howHandled, withHandledBy } from "../reading/handled.ts";
import type { Done } from "./need.ts";
import type { PendingPushes } from "./pending.ts";
import { rowId } from "./row_id.ts";
import type { WaitingRow } from "./waiting_rows.ts";

/** Drops pushes that what was acked at a device makes needless. */
export class AckedPushes implements AckListener {
  readonly #pending: PendingPushes;

  constructor(pending: PendingPushes) {
    this.#pending = pending;
  }

  waits(userId: string): boolean {
    return this.#pending.has(userId);
  }

  dealtWith(session: Session): void {
    const { userId, deviceId } = session;
    // What each topic's reader knows is worked out once, however many rows wait.
    const known = new Map(session.readers.map((reader) => {
      return [reader.feed.topic, { reader, handled: withHandledBy(undefined, reader.progress(), reader.handled) }];
    }));
    const done = (row: WaitingRow): Done | undefined => {
      const { reader, handled } = known.get(row.topic) ?? {};
      if (reader?.epoch !== row.position.epoch) return undefined;
      if (row.deviceId === deviceId) return row.position.offset <= reader.shown ? "shown" : undefined;
      return howHandled(handled, row.position);
    };
    void this.#pending.dropDone(userId, done, deviceId);
  }

  /** A device in front has these in time: what was decided before it came back is not needed. */
  seen({ userId, deviceId }: Session, sendings: readonly Sending[]): void {
    const seen = new Set(sendings.map(({ entry: { topic, position } }) => rowId("", topic, position)));
    const done = (row: WaitingRow): Done | undefined => {
      const { deviceId: to, topic, position } = row;
      const isMeant = to === deviceId && seen.has(rowId("", topic, position)) && !this.#pending.wasAsked(row);
      return isMeant ? "seen" : undefined;
    };
    void this.#pending.dropDone(userId, done, deviceId);
  }
}
