/**
 * What an engine keeps in memory beside its connections, what is unseen, and the storage: bytes, about, as running sums. Each is
 * bounded by bytes as well as by number.
 */
export interface CacheBytes {
  /** What `explain()` remembers of messages. `limits.explainBytes` at most. */
  explain: number;
  /** Names of entries that some connected device has not acked, for receipts. 256 KiB per topic at most. */
  receipts: number;
  /** Names of pushes that wait, so that an ack can drop them. 16 MiB at most. */
  pushes: number;
  /** Ids of the pushes that were queued last, so that none is told twice. 4 MiB at most. */
  queued: number;
  /** Entries that several pushes or marks are about. 3 MiB at most. */
  entries: number;
  /** Pages of logs that several subscribers catch up from, for a second. 8 MiB at most. */
  pages: number;
}

/** The same, and what the storage keeps in memory beside. */
export interface HeldBytes extends CacheBytes {
  /**
   * Copies and indexes that the storage has in memory. Always 0 with `memory()`, whose data it is; `sqlite()` has 8 MiB at most of users
   * who were read lately; `jetstream()` 40 MiB at most of users and topics, and 2 to 3 KB of each push that waits.
   */
  storage: number;
}

/** All zero. */
export function createCacheBytes(): CacheBytes {
  return { explain: 0, receipts: 0, pushes: 0, queued: 0, entries: 0, pages: 0 };
}
