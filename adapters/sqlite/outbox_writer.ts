import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { CancelMatch, NewOutboxRow, OutboxEnd, OutboxRow } from "../../src/ports/outbox.ts";
import type { Command } from "./commands.ts";
import { whole } from "./log_writer.ts";
import { readRow } from "./push_row.ts";

/** The condition that {@link matching} gives the values for. */
export const MATCHES = `user = ? AND device = ifnull(?, device) AND target = ifnull(?, target) AND topic = ifnull(?, topic)
  AND (? IS NULL OR id IN (SELECT value FROM json_each(?)))`;

export function matching({ userId, deviceId, targetId, topic, ids }: CancelMatch): (string | null)[] {
  const named = ids === undefined ? null : JSON.stringify(ids);
  return [userId, deviceId ?? null, targetId ?? null, topic ?? null, named, named];
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
      `INSERT INTO push (id, user, device, target, topic, epoch, position, message, urgency, due, expires, coalesced, rule, status,
         attempts, note, covers, changed)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, NULL, NULL, ?)
       ON CONFLICT (id) DO NOTHING`,
    );
    this.#take = db.prepare(
      "UPDATE push SET status = 'sending', attempts = attempts + 1, changed = ? WHERE id = ? AND status = 'pending'",
    );
    this.#retry = db.prepare(
      `UPDATE push SET status = 'pending', due = ?, note = ?, changed = ?
         WHERE id = ? AND status = 'sending' AND attempts = ifnull(?, attempts)`,
    );
    this.#end = db.prepare(
      "UPDATE push SET status = ?, note = ?, covers = ?, changed = ? WHERE id = ? AND status IN ('pending', 'sending')",
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
      this.#insert.run(
        ...[id, userId, deviceId, targetId, topic, position.epoch, position.offset, messageId, urgency],
        ...[whole(dueAt), whole(expiresAt), Number(row.coalesced), rule, whole(now)],
      );
    }
  }

  take(id: string, now: number): boolean {
    return this.#take.run(whole(now), id).changes === 1;
  }

  retry({ id, dueAt, note, attempt, now }: Extract<Command, { kind: "retry" }>): void {
    this.#retry.run(whole(dueAt), note, whole(now), id, attempt ?? null);
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string, now: number): void {
    const [, ...others] = ids;
    const covers = end === "sent" && others.length > 0 ? JSON.stringify(others) : null;
    for (const [index, id] of ids.entries()) this.#end.run(end, note, index === 0 ? covers : null, whole(now), id);
  }

  cancel(match: CancelMatch, note: string, now: number): OutboxRow[] {
    return this.#cancel.all(note, whole(now), ...matching(match)).map(readRow);
  }

  /** Lets go of settled rows that expired, in proportion to what a batch of `commands` may have added. */
  forget(now: number, commands: number): void {
    this.#forget.run(now, commands * 4);
  }
}
