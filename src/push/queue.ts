import type { Journal } from "../delivery/journal.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName } from "../delivery/session.ts";
import type { Clock } from "../ports/clock.ts";
import type { AckedPushes } from "./acked.ts";
import { queuedNote } from "./need.ts";
import type { PendingPushes } from "./pending.ts";
import type { MadeRows } from "./row_maker.ts";
import { tell } from "./tell.ts";

/** What is told of new rows with. */
export interface PushQueueParts {
  acked: AckedPushes;
  pending: PendingPushes;
  roster: Roster;
  journal: Journal;
  clock: Clock;
}

/** Where decisions report the rows that they stored. */
export class PushQueue {
  readonly #parts: PushQueueParts;

  constructor(parts: PushQueueParts) {
    this.#parts = parts;
  }

  /** These rows of one device are in the outbox now, and these entries need none. */
  added({ rows, spared, superseded }: MadeRows, deviceId: string): void {
    const { acked, clock, journal, pending, roster } = this.#parts;
    const now = clock.now();
    for (const row of rows) {
      const { kind, detail, ...facts } = queuedNote(row, now);
      tell(journal, row, kind, detail, facts);
    }
    for (const { entry, userId, why } of spared) {
      journal.note(entry, { userId, device: deviceName(deviceId) }, "push-spared", why);
    }
    const first = rows[0];
    if (first === undefined) return;
    pending.added(rows);
    if (superseded.length > 0) void pending.dropNow({ userId: first.userId, ids: superseded }, SUPERSEDED);
    // What was acked while the rows were being written did not find them yet.
    for (const session of roster.of(first.userId)) acked.dealtWith(session);
  }

  /** Rows may be in the outbox: the write that adds them had no answer. */
  unsure(): void {
    this.#parts.pending.unsure();
  }
}

const SUPERSEDED = "a newer message of its collapse key is there";
