import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Answers, Command, WriterOptions } from "./commands.ts";

type Publish = Extract<Command, { kind: "publish" }>;

/** Looked at per command and table for having expired: forgetting keeps pace with adding and never stalls. */
const FORGET_PER_COMMAND = 2;

/** Writes the topic logs. Used by the writing thread, inside its transactions. */
export class LogWriter {
  readonly #maxEntries: number;
  readonly #idempotencyMs: number;
  readonly #topic: StatementSync;
  readonly #newTopic: StatementSync;
  readonly #grown: StatementSync;
  readonly #key: StatementSync;
  readonly #forgetKey: StatementSync;
  readonly #newKey: StatementSync;
  readonly #newEntry: StatementSync;
  readonly #first: StatementSync;
  readonly #drop: StatementSync;
  readonly #dropped: StatementSync;
  readonly #expired: StatementSync;
  readonly #oldKeys: StatementSync;
  readonly #swept: StatementSync;

  constructor(db: DatabaseSync, { maxEntries, idempotencyMs }: WriterOptions) {
    this.#maxEntries = maxEntries;
    this.#idempotencyMs = idempotencyMs;
    this.#topic = db.prepare("SELECT id, head, floor, kept FROM topic WHERE name = ?");
    this.#newTopic = db.prepare("INSERT INTO topic (name, head, floor, kept, swept) VALUES (?, 0, 0, 0, 0)");
    this.#grown = db.prepare("UPDATE topic SET head = ?, floor = ?, kept = ? WHERE id = ?");
    this.#key = db.prepare("SELECT id, position, at FROM idempotency WHERE topic = ? AND key = ?");
    this.#forgetKey = db.prepare("DELETE FROM idempotency WHERE id = ?");
    this.#newKey = db.prepare("INSERT INTO idempotency (topic, key, position, at) VALUES (?, ?, ?, ?)");
    // Node 22 binds bytes of length 0 as NULL.
    this.#newEntry = db.prepare("INSERT INTO entry (topic, position, expires, bytes) VALUES (?, ?, ?, ifnull(?, x''))");
    this.#first = db.prepare("SELECT id, position, expires FROM entry WHERE topic = ? ORDER BY position LIMIT ?");
    this.#drop = db.prepare("DELETE FROM entry WHERE id = ?");
    this.#dropped = db.prepare("UPDATE topic SET kept = kept - 1 WHERE id = ?");
    this.#expired = db.prepare("SELECT id, topic FROM entry WHERE expires <= ? ORDER BY expires LIMIT ?");
    this.#oldKeys = db.prepare("SELECT id, at FROM idempotency ORDER BY id LIMIT ?");
    this.#swept = db.prepare("UPDATE topic SET swept = ? WHERE name = ?");
  }

  publish({ topic: name, bytes, key, expiresAt, now }: Publish): Answers["publish"] {
    let topic = this.#topic.get(name) as { id: number; head: number; floor: number; kept: number } | undefined;
    if (topic === undefined) {
      topic = { id: Number(this.#newTopic.run(name).lastInsertRowid), head: 0, floor: 0, kept: 0 };
    } else {
      const known = this.#key.get(topic.id, key) as { id: number; position: number; at: number } | undefined;
      if (known !== undefined) {
        if (known.at + this.#idempotencyMs > now) return { offset: known.position, duplicate: true };
        this.#forgetKey.run(known.id);
      }
    }
    const offset = topic.head + 1;
    this.#newEntry.run(topic.id, offset, whole(expiresAt), bytes);
    this.#newKey.run(topic.id, key, offset, whole(now));
    let { floor, kept } = topic;
    kept++;
    // Two at a time: a retention that was made smaller is reached step by step.
    for (const first of kept > this.#maxEntries ? this.#first.all(topic.id, Math.min(2, kept - this.#maxEntries)) : []) {
      if (Number(first.expires) > now) floor = Number(first.position);
      this.#drop.run(first.id!);
      kept--;
    }
    this.#grown.run(offset, floor, kept, topic.id);
    return { offset, duplicate: false };
  }

  swept(topic: string, head: number): void {
    this.#swept.run(head, topic);
  }

  /** Lets go of what nobody can ask for any more, in proportion to what a batch of `commands` may have added. */
  forget(now: number, commands: number): void {
    const limit = commands * FORGET_PER_COMMAND;
    for (const { id, topic } of this.#expired.all(now, limit)) {
      this.#drop.run(id!);
      this.#dropped.run(topic!);
    }
    for (const { id, at } of this.#oldKeys.all(limit)) {
      if (Number(at) + this.#idempotencyMs > now) break;
      this.#forgetKey.run(id!);
    }
  }
}

/** Times as sqlite keeps them: whole and within 53 bits. "Never" stays far away. */
export function whole(time: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(Number.MIN_SAFE_INTEGER, Math.ceil(time)));
}
