import type { StatementSync } from "node:sqlite";
import type { AddedRow, CancelMatch, Outbox, OutboxEnd, OutboxRow, Take, TopicDecision } from "../../src/ports/outbox.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import { MATCHES, matching } from "./outbox_writer.ts";
import type { Topic } from "../../src/protocol/names.ts";
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
  readonly #dueOf: StatementSync;
  readonly #nextOf: StatementSync;
  readonly #waiting: StatementSync;
  readonly #waitingIn: StatementSync;
  readonly #decision: StatementSync;
  readonly #undecided: StatementSync;
  readonly #underWay: StatementSync;
  readonly #ofMessage: StatementSync;
  readonly #someOfMessage: StatementSync;

  constructor(context: StorageContext, writer: Writer, reader: Reader) {
    this.#context = context;
    this.#writer = writer;
    this.#reader = reader;
    this.#due = reader.prepare("SELECT * FROM push WHERE status = 'pending' AND due <= ? ORDER BY due, id LIMIT ?");
    this.#next = reader.prepare("SELECT due FROM push WHERE status = 'pending' AND due > ? ORDER BY due LIMIT 1");
    this.#dueOf = reader.prepare(
      "SELECT * FROM push WHERE status = 'pending' AND provider = ? AND due <= ? ORDER BY due, id LIMIT ?",
    );
    this.#nextOf = reader.prepare(
      "SELECT due FROM push WHERE status = 'pending' AND provider = ? AND due > ? ORDER BY due LIMIT 1",
    );
    this.#waiting = reader.prepare(
      `SELECT * FROM push WHERE status = 'pending' AND target IN (SELECT value FROM json_each(?)) AND topic = ifnull(?, topic)`,
    );
    this.#waitingIn = reader.prepare(
      "SELECT count(*) AS count FROM (SELECT 1 FROM push WHERE status = 'pending' AND topic = ? AND due <= ? LIMIT ?)",
    );
    this.#decision = reader.prepare("SELECT * FROM decision WHERE topic = ?");
    this.#undecided = reader.prepare("SELECT topic FROM decision WHERE goal > decided AND topic > ? ORDER BY topic LIMIT ?");
    this.#underWay = reader.prepare(`SELECT 1 FROM push WHERE status = 'sending' AND ${MATCHES} LIMIT 1`);
    this.#ofMessage = reader.prepare("SELECT * FROM push WHERE message = ?");
    // The plus keeps sqlite from looking through the message's rows.
    this.#someOfMessage = reader.prepare("SELECT * FROM push WHERE +message = ? AND id IN (SELECT value FROM json_each(?))");
  }

  due(now: number, limit: number, provider?: string): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }> {
    return this.#reader.run(() => {
      const rows = provider === undefined ? this.#due.all(now, limit + 1) : this.#dueOf.all(provider, now, limit + 1);
      const found = rows.map(readRow);
      if (found.length > limit) return { rows: found.slice(0, limit), nextDueAt: found[limit]!.dueAt };
      const next = provider === undefined ? this.#next.get(now) : this.#nextOf.get(provider, now);
      return { rows: found, nextDueAt: next === undefined ? undefined : Number(next.due) };
    });
  }

  waiting(targetIds: readonly string[], topic?: Topic): Promise<OutboxRow[]> {
    return this.#reader.run(() => this.#waiting.all(JSON.stringify(targetIds), topic ?? null).map(readRow));
  }

  waitingIn(topic: Topic, dueBy: number, limit: number): Promise<number> {
    return this.#reader.run(() => Number(this.#waitingIn.get(topic, dueBy, limit)!.count));
  }

  take(ids: readonly string[]): Promise<string[]> {
    return this.#writer.send({ kind: "take", ids, now: this.#context.clock.now() });
  }

  retry(takes: readonly Take[], dueAt: number, note: string): Promise<void> {
    return this.#writer.send({ kind: "retry", takes, dueAt, note, now: this.#context.clock.now() });
  }

  postpone(ids: readonly string[], dueAt: number, note: string): Promise<void> {
    return this.#writer.send({ kind: "postpone", ids, dueAt, note, now: this.#context.clock.now() });
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string, handle?: string): Promise<void> {
    return this.#writer.send({ kind: "settle", ids, end, note, handle, now: this.#context.clock.now() });
  }

  cancel(match: CancelMatch, note: string): Promise<OutboxRow[]> {
    return this.#writer.send({ kind: "cancel", match, note, now: this.#context.clock.now() });
  }

  underWay(match: CancelMatch): Promise<boolean> {
    return this.#reader.run(() => this.#underWay.get(...matching(match)) !== undefined);
  }

  ofMessage(messageId: string, ids?: readonly string[]): Promise<OutboxRow[]> {
    return this.#reader.run(() => {
      const rows = ids === undefined ? this.#ofMessage.all(messageId) : this.#someOfMessage.all(messageId, JSON.stringify(ids));
      return rows.map(readRow);
    });
  }

  decision(topic: Topic): Promise<TopicDecision | undefined> {
    return this.#reader.run(() => {
      const row = this.#decision.get(topic);
      return row === undefined ? undefined : readDecision(row);
    });
  }

  async decide(decision: TopicDecision, rows: readonly AddedRow[]): Promise<number | undefined> {
    const { version } = decision;
    const next = version === 0 ? 1 + Math.floor(this.#context.random.fraction() * 0xffff_ffff) : version + 1;
    const now = this.#context.clock.now();
    return await this.#writer.send({ kind: "decide", decision, next, rows, now }) ? next : undefined;
  }

  undecided({ after, limit }: Page): Promise<NamesPage> {
    return this.#reader.run(() => {
      const names = this.#undecided.all(after ?? "", limit).map(({ topic }) => String(topic));
      return { names, next: names.length < limit ? undefined : names.at(-1) };
    });
  }
}

function readDecision(row: Record<string, unknown>): TopicDecision {
  const [topic, to, after] = [String(row.topic), row.pass_to, row.pass_after];
  return {
    ...{ topic, version: Number(row.version), epoch: Number(row.epoch), decided: Number(row.decided), goal: Number(row.goal) },
    ...to === null ? {} : { pass: { to: Number(to), ...after === null ? {} : { after: String(after) } } },
  };
}
