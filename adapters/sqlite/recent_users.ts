import type { UserRecord } from "../../src/ports/users.ts";

/** Records that are remembered, and what they may take together, bytes. Of more the first ones are forgotten. */
const REMEMBERED = 2_000;
const MOST_BYTES = 8 * 1024 * 1024;
/** What is longer than this, in characters as it is stored, is read each time. */
const LONGEST = 4_096;
/**
 * What a record takes beside twice its length as it is stored, bytes, about, as a heap says. A third of it are the shapes that V8 makes
 * for objects with keys of their own: by device, and by topic.
 */
const OVERHEAD = 1_400;

/**
 * Records as the file has them, of users who were read lately: a member of a public topic is read when rows are made, and again
 * before each of them leaves. Nobody else writes the file. While a write of a user is under way nothing is remembered of that user.
 */
export class RecentUsers {
  readonly #records = new Map<string, { readonly record: UserRecord; readonly bytes: number }>();
  #bytes = 0;
  /** Writes under way. */
  readonly #writes = new Map<string, number>();

  /** What all of them take, about. */
  get bytes(): number {
    return this.#bytes;
  }

  get(userId: string): UserRecord | undefined {
    return this.#records.get(userId)?.record;
  }

  /** The file has this, and it is so long there. */
  add(record: UserRecord, length: number): void {
    const { userId } = record;
    if (length > LONGEST || this.#writes.has(userId)) return;
    this.#forget(userId);
    const bytes = OVERHEAD + 2 * length;
    this.#records.set(userId, { record, bytes });
    this.#bytes += bytes;
    while (this.#records.size > REMEMBERED || this.#bytes > MOST_BYTES) this.#forget(this.#records.keys().next().value!);
  }

  #forget(userId: string): void {
    this.#bytes -= this.#records.get(userId)?.bytes ?? 0;
    this.#records.delete(userId);
  }

  /** Writes a record. */
  async write<Result>(userId: string, write: () => Promise<Result>): Promise<Result> {
    this.#forget(userId);
    this.#writes.set(userId, (this.#writes.get(userId) ?? 0) + 1);
    try {
      return await write();
    } finally {
      const left = this.#writes.get(userId)! - 1;
      if (left > 0) this.#writes.set(userId, left);
      else this.#writes.delete(userId);
    }
  }
}
