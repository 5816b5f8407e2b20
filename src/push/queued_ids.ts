import type { CacheBytes } from "../delivery/cache_bytes.ts";

/** How many are remembered at most, and what they may take together, bytes. */
const MOST = 10_000;
const MOST_BYTES = 4 * 1024 * 1024;
/** What one takes beside its text, bytes, about. */
const OVERHEAD = 50;

/** Ids of the rows that were queued last. In two halves: when the newer one is full it becomes the older one. */
export class QueuedIds {
  readonly #held: Pick<CacheBytes, "queued">;
  #newer = new Half();
  #older = new Half();

  /** @param held where its bytes are counted */
  constructor(held: Pick<CacheBytes, "queued">) {
    this.#held = held;
  }

  has(id: string): boolean {
    return this.#newer.ids.has(id) || this.#older.ids.has(id);
  }

  add(id: string): void {
    const { ids } = this.#newer;
    if (ids.has(id)) return;
    ids.add(id);
    const bytes = OVERHEAD + id.length;
    this.#newer.bytes += bytes;
    this.#held.queued += bytes;
    if (ids.size < MOST / 2 && this.#newer.bytes < MOST_BYTES / 2) return;
    this.#held.queued -= this.#older.bytes;
    this.#older = this.#newer;
    this.#newer = new Half();
  }
}

class Half {
  readonly ids = new Set<string>();
  bytes = 0;
}
