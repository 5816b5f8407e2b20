import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Command } from "./commands.ts";
import { whole } from "./log_writer.ts";
import type { OutboxWriter } from "./outbox_writer.ts";

type Put = Extract<Command, { kind: "put" }>;

/** Writes users and what they are looked up by. Used by the writing thread, inside its transactions. */
export class UserWriter {
  readonly #outbox: OutboxWriter;
  readonly #stored: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  readonly #addKey: StatementSync;
  readonly #removeKey: StatementSync;

  constructor(db: DatabaseSync, outbox: OutboxWriter) {
    this.#outbox = outbox;
    this.#stored = db.prepare("SELECT id, version, keys FROM user WHERE name = ?");
    this.#insert = db.prepare("INSERT INTO user (name, version, seen, keys, record) VALUES (?, ?, ?, ?, ?)");
    this.#update = db.prepare("UPDATE user SET version = ?, seen = ?, keys = ?, record = ? WHERE id = ?");
    this.#delete = db.prepare("DELETE FROM user WHERE id = ?");
    this.#addKey = db.prepare("INSERT INTO lookup (kind, key, user) VALUES (?, ?, ?)");
    this.#removeKey = db.prepare("DELETE FROM lookup WHERE kind = ? AND key = ? AND user = ?");
  }

  put({ userId, version, next, seenAt, keys, record, rows, now }: Put): boolean {
    const stored = this.#stored.get(userId) as { id: number; version: number; keys: string } | undefined;
    if ((stored?.version ?? 0) !== version) return false;
    if (stored === undefined) this.#insert.run(userId, next, whole(seenAt), keys, record);
    else this.#update.run(next, whole(seenAt), keys, record, stored.id);
    this.#reindex(userId, stored?.keys ?? "[]", keys);
    this.#outbox.add(rows, now);
    return true;
  }

  remove(userId: string, version: number): boolean {
    const stored = this.#stored.get(userId) as { id: number; version: number; keys: string } | undefined;
    if (stored?.version !== version) return false;
    this.#reindex(userId, stored.keys, "[]");
    this.#delete.run(stored.id);
    return true;
  }

  /** Most puts move progress only and leave the keys as they are. */
  #reindex(userId: string, before: string, after: string): void {
    if (before === after) return;
    const gone = parse(before);
    const come = parse(after);
    for (const [pair, [kind, key]] of gone) if (!come.has(pair)) this.#removeKey.run(kind, key, userId);
    for (const [pair, [kind, key]] of come) if (!gone.has(pair)) this.#addKey.run(kind, key, userId);
  }
}

function parse(keys: string): Map<string, [kind: number, key: string]> {
  const pairs = JSON.parse(keys) as [number, string][];
  return new Map(pairs.map((pair) => [`${pair[0]} ${pair[1]}`, pair]));
}
