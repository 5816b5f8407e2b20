/** What all of them together may weigh, bytes. */
const MOST_BYTES = 1024 * 1024;
/** What an entry weighs beside its bytes, about. */
const OVERHEAD = 200;

/** Entries that were read for pushes: those of a public message are many, and each asks for the same ones. */
export class RecentEntries<Entry extends { readonly bytes: Uint8Array }> {
  readonly #lists = new Map<string, readonly Entry[]>();
  #bytes = 0;

  /** @param read called when they are not remembered */
  async get(key: string, read: () => Promise<readonly Entry[]>): Promise<readonly Entry[]> {
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const entries = await read();
    const bytes = weightOf(entries);
    // What is not there yet may come; what weighs too much would be the only one.
    if (entries.length === 0 || bytes > MOST_BYTES / 4 || this.#lists.has(key)) return entries;
    this.#lists.set(key, entries);
    this.#bytes += bytes;
    for (const [oldest, list] of this.#lists) {
      if (this.#bytes <= MOST_BYTES) break;
      this.#lists.delete(oldest);
      this.#bytes -= weightOf(list);
    }
    return entries;
  }
}

function weightOf(entries: readonly { readonly bytes: Uint8Array }[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes.length + OVERHEAD, 0);
}
