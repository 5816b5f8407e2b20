import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AddedRow, CancelMatch, OutboxEnd, OutboxRow } from "../../src/ports/outbox.ts";
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
  readonly #known: StatementSync;
  readonly #replaced: StatementSync;
  readonly #take: StatementSync;
  readonly #retry: StatementSync;
  readonly #end: StatementSync;
  readonly #cancel: StatementSync;
  readonly #forget: StatementSync;
  readonly #postpone: StatementSync;
  readonly #newDecision: StatementSync;
  readonly #decision: StatementSync;

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare(
      `INSERT INTO push (id, user, device, target, provider, topic, epoch, after, position, message, urgency, due, expires, coalesced,
         silent, collapse, rule, status, attempts, note, covers, changed)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, NULL, NULL, ?)
       ON CONFLICT (id) DO NOTHING`,
    );
    this.#known = db.prepare("SELECT 1 FROM push WHERE id = ?");
    this.#replaced = db.prepare(
      "DELETE FROM push WHERE id = ? AND status = 'pending' AND attempts = 0 RETURNING ifnull(after, position - 1) AS after",
    );
    this.#postpone = db.prepare(
      `UPDATE push SET due = min(?, expires), note = iif(attempts = 0, ?, note)
         WHERE id = ? AND status = 'pending' AND due < min(?, expires)`,
    );
    this.#newDecision = db.prepare(
      `INSERT INTO decision (topic, version, epoch, decided, goal, pass_to, pass_after) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (topic) DO NOTHING`,
    );
    this.#decision = db.prepare(
      `UPDATE decision SET version = ?, epoch = ?, decided = ?, goal = ?, pass_to = ?, pass_after = ?
         WHERE topic = ? AND version = ?`,
    );
    this.#take = db.prepare(
      "UPDATE push SET status = 'sending', attempts = attempts + 1, changed = ? WHERE id = ? AND status = 'pending'",
    );
    this.#retry = db.prepare(
      `UPDATE push SET status = 'pending', due = ?, note = ?, changed = ?
         WHERE id = ? AND status = 'sending' AND attempts = ?`,
    );
    this.#end = db.prepare(
      "UPDATE push SET status = ?, note = ?, covers = ?, handle = ?, changed = ? WHERE id = ? AND status IN ('pending', 'sending')",
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
  add(rows: readonly AddedRow[], now: number): void {
    for (const row of rows) {
      const { id, userId, deviceId, targetId, provider, topic, position, messageId, urgency, dueAt, expiresAt, rule } = row;
      const after = row.replaces === undefined ? row.after : this.#replace(row, row.replaces);
      this.#insert.run(
        ...[id, userId, deviceId, targetId, provider, topic, position.epoch, after ?? null, position.offset, messageId, urgency],
        ...[whole(dueAt), whole(expiresAt), Number(row.coalesced), Number(row.silent === true), row.collapseKey ?? null],
        ...[rule, whole(now)],
      );
    }
  }

  /** Removes a row in whose place another one comes. @returns from where on that one stands for entries */
  #replace({ id, after, position }: AddedRow, replaced: string): number | undefined {
    if (this.#known.get(id) !== undefined) return after;
    const found = this.#replaced.get(replaced);
    return found === undefined ? after : Math.min(after ?? position.offset - 1, Number(found.after));
  }

  take(ids: readonly string[], now: number): string[] {
    return ids.filter((id) => this.#take.run(whole(now), id).changes === 1);
  }

  retry({ takes, dueAt, note, now }: Extract<Command, { kind: "retry" }>): void {
    for (const { id, attempts } of takes) this.#retry.run(whole(dueAt), note, whole(now), id, attempts);
  }

  postpone({ ids, dueAt, note }: Extract<Command, { kind: "postpone" }>): void {
    for (const id of ids) this.#postpone.run(whole(dueAt), note, id, whole(dueAt));
  }

  decide({ decision, next, rows, now }: Extract<Command, { kind: "decide" }>): boolean {
    const { topic, version, epoch, decided, goal, pass } = decision;
    const fields = [epoch, decided, goal, pass?.to ?? null, pass?.after ?? null] as const;
    const { changes } = version === 0
      ? this.#newDecision.run(topic, next, ...fields)
      : this.#decision.run(next, ...fields, topic, version);
    if (changes !== 1) return false;
    this.add(rows, now);
    return true;
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string, handle: string | undefined, now: number): void {
    const [, ...others] = ids;
    const covers = end === "sent" && others.length > 0 ? JSON.stringify(others) : null;
    for (const [index, id] of ids.entries()) {
      const ofFirst = index === 0 ? [covers, handle ?? null] : [null, null];
      this.#end.run(end, note, ...ofFirst, whole(now), id);
    }
  }

  cancel(match: CancelMatch, note: string, now: number): OutboxRow[] {
    return this.#cancel.all(note, whole(now), ...matching(match)).map(readRow);
  }

  /** Lets go of settled rows that expired, in proportion to what a batch of `commands` may have added. */
  forget(now: number, commands: number): void {
    this.#forget.run(now, commands * 4);
  }
}
