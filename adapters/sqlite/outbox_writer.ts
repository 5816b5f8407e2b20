import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { CancelMatch, NewOutboxRow, OutboxEnd, OutboxRow } from "../../src/ports/outbox.ts";
import { whole } from "./log_writer.ts";
import { readRow } from "./push_row.ts";

/** The condition that {@link matching} gives the values for. */
export const MATCHES = `user = ? AND device = ifnull(?, device) AND target = ifnull(?, target) AND topic = ifnull(?, topic)
  AND epoch = ifnull(?, epoch) AND position <= ifnull(?, position) AND held = ifnull(?, held)`;

export function matching({ userId, deviceId, targetId, topic, upTo, held }: CancelMatch): (string | number | null)[] {
  return [
    ...[userId, deviceId ?? null, targetId ?? null, topic ?? null],
    ...[upTo?.epoch ?? null, upTo?.offset ?? null, held === undefined ? null : Number(held)],
  ];
}

/** Writes the queue of pushes. Used by the writing thread, inside its transactions. */
export class OutboxWriter {
  readonly #insert: StatementSync;
  readonly #take: StatementSync;
  readonly #retry: StatementSync;
  readonly #end: StatementSync;
  readonly #cancel: StatementSync;
  readonly #forget: StatementSync;

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare(
      `INSERT INTO push (id, user, device, target, topic, epoch, position, message, urgency, due, expires, held, coalesced, rule,
         status, attempts, note, changed)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, NULL, ?)
       ON CONFLICT (id) DO NOTHING`,
    );
    this.#take = db.prepare(
      "UPDATE push SET status = 'sending', attempts = attempts + 1, changed = ? WHERE id = ? AND status = 'pending'",
    );
    this.#retry = db.prepare(
      "UPDATE push SET status = 'pending', due = ?, note = ?, changed = ? WHERE id = ? AND status = 'sending'",
    );
    this.#end = db.prepare(
      "UPDATE push SET status = ?, note = ?, changed = ? WHERE id = ? AND status IN ('pending', 'sending')",
    );
    this.#cancel = db.prepare(
      `UPDATE push SET status = 'dropped', note = ?, changed = ? WHERE status = 'pending' AND ${MATCHES} RETURNING *`,
    );
    this.#forget = db.prepare(
      `DELETE FROM push WHERE key IN (
         SELECT key FROM push WHERE status <> 'pending' AND status <> 'sending' AND expires <= ? ORDER BY expires LIMIT ?)`,
    );
  }

  /** Adds those of `rows` that are new. */
  add(rows: readonly NewOutboxRow[], now: number): void {
    for (const row of rows) {
      const { id, userId, deviceId, targetId, topic, position, messageId, urgency, dueAt, expiresAt, rule } = row;
      const [held, coalesced] = [Number(row.held), Number(row.coalesced)];
      this.#insert.run(
        ...[id, userId, deviceId, targetId, topic, position.epoch, position.offset, messageId, urgency],
        ...[whole(dueAt), whole(expiresAt), held, coalesced, rule, whole(now)],
      );
    }
  }

  take(id: string, now: number): boolean {
    return this.#take.run(whole(now), id).changes === 1;
  }

  retry(id: string, dueAt: number, note: string, now: number): void {
    this.#retry.run(whole(dueAt), note, whole(now), id);
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string, now: number): void {
    for (const id of ids) this.#end.run(end, note, whole(now), id);
  }

  cancel(match: CancelMatch, note: string, now: number): OutboxRow[] {
    return this.#cancel.all(note, whole(now), ...matching(match)).map(readRow);
  }

  /** Lets go of settled rows that expired, in proportion to what a batch of `commands` may have added. */
  forget(now: number, commands: number): void {
    this.#forget.run(now, commands * 4);
  }
}
