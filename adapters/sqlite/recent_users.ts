import type { UserRecord } from "../../src/ports/users.ts";

/** Records that are remembered; of more those are forgotten that were read the longest ago. */
const REMEMBERED = 2_000;
/** What is longer than this, in characters as it is stored, is read each time. */
const LONGEST = 4_096;

/**
 * Records as the file has them, of users who were read lately: a member of a public topic is read when rows are made, and again
 * before each of them leaves. Nobody else writes the file. While a write of a user is under way nothing is remembered of that user.
 */
export class RecentUsers {
  readonly #records = new Map<string, UserRecord>();
  /** Writes under way. */
  readonly #writes = new Map<string, number>();

  get(userId: string): UserRecord | undefined {
    return this.#records.get(userId);
  }

  /** The file has this, and it is so long there. */
  add(record: UserRecord, length: number): void {
    const { userId } = record;
    if (length > LONGEST || this.#writes.has(userId)) return;
    this.#records.set(userId, record);
    if (this.#records.size > REMEMBERED) this.#records.delete(this.#records.keys().next().value!);
  }

  /** Writes a record. */
  async write<Result>(userId: string, write: () => Promise<Result>): Promise<Result> {
    this.#records.delete(userId);
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
