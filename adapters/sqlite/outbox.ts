import type { StatementSync } from "node:sqlite";
import type { CancelMatch, Outbox, OutboxEnd, OutboxRow } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import { MATCHES, matching } from "./outbox_writer.ts";
import { readRow } from "./push_row.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** The queue of pushes in the file. */
export class SqliteOutbox implements Outbox {
  readonly #context: StorageContext;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #due: StatementSync;
  readonly #next: StatementSync;
  readonly #coalesced: StatementSync;
  readonly #underWay: StatementSync;
  readonly #ofMessage: StatementSync;

  constructor(context: StorageContext, writer: Writer, reader: Reader) {
    this.#context = context;
    this.#writer = writer;
    this.#reader = reader;
    this.#due = reader.prepare("SELECT * FROM push WHERE status = 'pending' AND due <= ? ORDER BY due, id LIMIT ?");
    this.#next = reader.prepare("SELECT due FROM push WHERE status = 'pending' AND due > ? ORDER BY due LIMIT 1");
    this.#coalesced = reader.prepare("SELECT * FROM push WHERE status = 'pending' AND coalesced = 1 AND target = ?");
    this.#underWay = reader.prepare(`SELECT 1 FROM push WHERE status = 'sending' AND ${MATCHES} LIMIT 1`);
    this.#ofMessage = reader.prepare("SELECT * FROM push WHERE message = ?");
  }

  due(now: number, limit: number): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }> {
    return this.#reader.run(() => {
      const found = this.#due.all(now, limit + 1).map(readRow);
      if (found.length > limit) return { rows: found.slice(0, limit), nextDueAt: found[limit]!.dueAt };
      const next = this.#next.get(now);
      return { rows: found, nextDueAt: next === undefined ? undefined : Number(next.due) };
    });
  }

  coalescedOf(targetId: string): Promise<OutboxRow[]> {
    return this.#reader.run(() => this.#coalesced.all(targetId).map(readRow));
  }

  take(id: string): Promise<boolean> {
    return this.#writer.send({ kind: "take", id, now: this.#context.clock.now() });
  }

  retry(id: string, dueAt: number, note: string, attempt?: number): Promise<void> {
    return this.#writer.send({ kind: "retry", id, dueAt, note, attempt, now: this.#context.clock.now() });
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string): Promise<void> {
    return this.#writer.send({ kind: "settle", ids, end, note, now: this.#context.clock.now() });
  }

  cancel(match: CancelMatch, note: string): Promise<OutboxRow[]> {
    return this.#writer.send({ kind: "cancel", match, note, now: this.#context.clock.now() });
  }

  underWay(match: CancelMatch): Promise<boolean> {
    return this.#reader.run(() => this.#underWay.get(...matching(match)) !== undefined);
  }

  ofMessage(messageId: string): Promise<OutboxRow[]> {
    return this.#reader.run(() => this.#ofMessage.all(messageId).map(readRow));
  }
}
