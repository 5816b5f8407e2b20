import type { CacheBytes } from "../delivery/cache_bytes.ts";

/** What all of them together may weigh, bytes. */
const MOST_BYTES = 1024 * 1024;
/** What an entry weighs beside its own bytes, with its key and its list, which mostly holds no other: as measured on a heap. */
const OVERHEAD = 600;

/** Entries that were read for pushes and marks: those of a public message are many, and each asks for the same ones. */
export class RecentEntries<Entry> {
  readonly #held: Pick<CacheBytes, "entries">;
  readonly #bytesOf: (entry: Entry) => number;
  readonly #lists = new Map<string, readonly Entry[]>();
  #bytes = 0;

  /**
   * @param held where its bytes are counted
   * @param bytesOf what is held of one entry
   */
  constructor(held: Pick<CacheBytes, "entries">, bytesOf: (entry: Entry) => number) {
    this.#held = held;
    this.#bytesOf = bytesOf;
  }

  /** @param read called when they are not remembered */
  async get(key: string, read: () => Promise<readonly Entry[]>): Promise<readonly Entry[]> {
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const entries = await read();
    const bytes = this.#weightOf(entries);
    // What is not there yet may come; what weighs too much would be the only one.
    if (entries.length === 0 || bytes > MOST_BYTES / 4 || this.#lists.has(key)) return entries;
    this.#lists.set(key, entries);
    this.#weigh(bytes);
    for (const [oldest, list] of this.#lists) {
      if (this.#bytes <= MOST_BYTES) break;
      this.#lists.delete(oldest);
      this.#weigh(-this.#weightOf(list));
    }
    return entries;
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes;
    this.#held.entries += bytes;
  }

  #weightOf(entries: readonly Entry[]): number {
    return entries.reduce((sum, entry) => sum + OVERHEAD + this.#bytesOf(entry), 0);
  }
}
