import type { CacheBytes } from "../delivery/cache_bytes.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";

/** What is known of a row that waits: enough to see whether it is still needed. */
export type WaitingRow = Pick<NewOutboxRow, "id" | "userId" | "deviceId" | "targetId" | "topic" | "position" | "after" | "dueAt">;

/** What all of them together may take, bytes. Of more those of the users are forgotten that came first. */
const MOST_BYTES = 16 * 1024 * 1024;
/** What one takes beside the text in it, bytes, about. Topics, devices and users are named once for many. */
const OVERHEAD = 300;

/** The rows that a node knows to wait, by user. */
export class WaitingRows {
  readonly #held: Pick<CacheBytes, "pushes">;
  readonly #byUser = new Map<string, Map<string, WaitingRow>>();
  #bytes = 0;

  /** @param held where its bytes are counted */
  constructor(held: Pick<CacheBytes, "pushes">) {
    this.#held = held;
  }

  /** Whether they take more than half of what they may. */
  get isHalfFull(): boolean {
    return this.#bytes > MOST_BYTES / 2;
  }

  has(userId: string): boolean {
    return this.#byUser.has(userId);
  }

  /** Whether a row is there as it is now. */
  knows({ dueAt, id, userId }: WaitingRow): boolean {
    return this.#byUser.get(userId)?.get(id)?.dueAt === dueAt;
  }

  of(userId: string): readonly WaitingRow[] {
    return [...this.#byUser.get(userId)?.values() ?? []];
  }

  /** All of them, as they are while it is gone through. */
  *all(): Generator<WaitingRow> {
    for (const rows of this.#byUser.values()) yield* rows.values();
  }

  /** @returns those that had to be forgotten for it */
  add({ id, userId, deviceId, targetId, topic, position, after, dueAt }: WaitingRow): WaitingRow[] {
    const row: WaitingRow = { id, userId, deviceId, targetId, topic, position, dueAt, ...after === undefined ? {} : { after } };
    this.delete(row);
    let rows = this.#byUser.get(userId);
    if (rows === undefined) this.#byUser.set(userId, rows = new Map());
    rows.set(id, row);
    this.#weigh(weightOf(row));
    const forgotten: WaitingRow[] = [];
    for (const [user, rows] of this.#byUser) {
      if (this.#bytes <= MOST_BYTES || user === userId) break;
      for (const row of rows.values()) forgotten.push(row);
      this.#byUser.delete(user);
      this.#weigh(-[...rows.values()].reduce((sum, row) => sum + weightOf(row), 0));
    }
    return forgotten;
  }

  /** @returns whether it was there */
  delete({ id, userId }: Pick<WaitingRow, "id" | "userId">): boolean {
    const rows = this.#byUser.get(userId);
    const row = rows?.get(id);
    if (row === undefined) return false;
    rows!.delete(id);
    if (rows!.size === 0) this.#byUser.delete(userId);
    this.#weigh(-weightOf(row));
    return true;
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes;
    this.#held.pushes += bytes;
  }
}

function weightOf({ id, targetId }: WaitingRow): number {
  return OVERHEAD + id.length + targetId.length;
}
