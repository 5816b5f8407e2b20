import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Command } from "./commands.ts";
import { whole } from "./log_writer.ts";
import type { OutboxWriter } from "./outbox_writer.ts";

type Put = Extract<Command, { kind: "put" }>;

/** What is stored of a user, as far as a put depends on it. */
interface Stored {
  id: number;
  /** The devices'. */
  version: number;
  keys: string;
  /** The positions' version. */
  positions: number;
}

/** Writes users and what they are looked up by. Used by the writing thread, inside its transactions. */
export class UserWriter {
  readonly #outbox: OutboxWriter;
  readonly #stored: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  readonly #setPositions: StatementSync;
  readonly #deletePositions: StatementSync;
  readonly #addKey: StatementSync;
  readonly #removeKey: StatementSync;

  constructor(db: DatabaseSync, outbox: OutboxWriter) {
    this.#outbox = outbox;
    this.#stored = db.prepare(
      "SELECT id, user.version, keys, positions.version AS positions FROM user JOIN positions ON positions.user = id WHERE name = ?",
    );
    this.#insert = db.prepare("INSERT INTO user (name, version, seen, keys, record) VALUES (?, ?, ?, ?, ?)");
    this.#update = db.prepare("UPDATE user SET version = ?, seen = ?, keys = ?, record = ? WHERE id = ?");
    this.#delete = db.prepare("DELETE FROM user WHERE id = ?");
    this.#setPositions = db.prepare("INSERT OR REPLACE INTO positions (user, version, record) VALUES (?, ?, ?)");
    this.#deletePositions = db.prepare("DELETE FROM positions WHERE user = ?");
    this.#addKey = db.prepare("INSERT INTO lookup (kind, key, user) VALUES (?, ?, ?)");
    this.#removeKey = db.prepare("DELETE FROM lookup WHERE kind = ? AND key = ? AND user = ?");
  }

  put({ userId, expected, devices, positions, rows, now }: Put): boolean {
    const stored = this.#stored.get(userId) as Stored | undefined;
    if (expected.devices !== undefined && expected.devices !== (stored?.version ?? 0)) return false;
    if (expected.positions !== undefined && expected.positions !== (stored?.positions ?? 0)) return false;
    if (stored === undefined && (devices === undefined || positions === undefined)) return false;
    let id: number | bigint = stored?.id ?? 0;
    if (devices !== undefined) {
      const { version, seenAt, keys, record } = devices;
      if (stored !== undefined) this.#update.run(version, whole(seenAt), keys, record, id);
      else id = this.#insert.run(userId, version, whole(seenAt), keys, record).lastInsertRowid;
      this.#reindex(userId, stored?.keys ?? "[]", keys);
    }
    if (positions !== undefined) this.#setPositions.run(id, positions.version, positions.record);
    this.#outbox.add(rows, now);
    return true;
  }

  remove(userId: string, version: number): boolean {
    const stored = this.#stored.get(userId) as Stored | undefined;
    if (stored?.version !== version) return false;
    this.#reindex(userId, stored.keys, "[]");
    this.#delete.run(stored.id);
    this.#deletePositions.run(stored.id);
    return true;
  }

  /** Most puts leave the keys as they are. */
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
