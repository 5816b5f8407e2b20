import type { Topic } from "../protocol/names.ts";
import type { CacheBytes } from "./cache_bytes.ts";
import type { Account } from "./journal.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import type { ReceiptEntry } from "./receipts.ts";

/** How many entries of a topic are remembered, and how many bytes they may take. Of more those are forgotten that came first. */
const KEPT = 1_024;
const MOST_BYTES = 256 * 1024;
/** What one takes beside the text in it, bytes, about. */
const OVERHEAD = 160;

/** An entry by name, and when it expires. */
export type NamedEntry = ReceiptEntry & Pick<OpenedEntry, "expiresAt">;

/** What receipts say of an entry, with its part of the counts. Its payload is not kept. */
interface Slot {
  readonly epoch: number;
  readonly offset: number;
  readonly previous: number;
  readonly id: string;
  readonly from: string | undefined;
  readonly expiresAt: number;
  account: Account | undefined;
  /** How many devices more are done with this entry than with the one before it. Below zero: fewer. */
  rise: number;
  /** The ones that were filled before and after it. */
  older: Slot | undefined;
  younger: Slot | undefined;
}

/**
 * The entries of one topic that receipts are likely to name, the ones last remembered, in order of their offsets (which may
 * have holes). Counts devices that are done with a range of them: a range costs the same however long it is, because only its
 * two ends are marked. The entries' accounts get the sums when they are settled.
 */
export class Remembered {
  readonly #topic: Topic;
  readonly #held: Pick<CacheBytes, "receipts">;
  readonly #slots: Slot[] = [];
  #bytes = 0;
  #eldest: Slot | undefined;
  #youngest: Slot | undefined;
  /** Devices that are done with the last entry and are not settled: what comes after it is not theirs. */
  #atEnd = 0;
  #unsettled = false;

  /** @param held where its bytes are counted */
  constructor(topic: Topic, held: Pick<CacheBytes, "receipts">) {
    this.#topic = topic;
    this.#held = held;
  }

  /** The lowest offset; undefined: nothing is remembered. */
  get first(): number | undefined {
    return this.#slots[0]?.offset;
  }

  add({ account, expiresAt, from, id, position: { epoch, offset }, previous }: RememberedEntry): void {
    const index = this.#after(offset);
    const known = this.#slots[index - 1];
    const inOrder = index === this.#slots.length;
    // What was counted belongs to the entries that were there.
    if (!inOrder || known?.offset === offset) this.settle();
    if (known?.offset === offset) {
      known.account = account;
      return;
    }
    const older = this.#youngest;
    const slot: Slot = { epoch, offset, previous, id, from, expiresAt, account, rise: -this.#atEnd, older, younger: undefined };
    this.#atEnd = 0;
    if (inOrder) this.#slots.push(slot);
    else this.#slots.splice(index, 0, slot);
    if (older === undefined) this.#eldest = slot;
    else older.younger = slot;
    this.#youngest = slot;
    this.#weigh(weightOf(slot));
    while (this.#slots.length > KEPT || (this.#bytes > MOST_BYTES && this.#slots.length > 1)) this.#forget(this.#eldest!);
  }

  /**
   * Calls back with the entries in (from, to], in order.
   * @returns whether these are all there were
   */
  between(from: number, to: number, each: (entry: NamedEntry) => void): boolean {
    const topic = this.#topic;
    const end = this.#after(to);
    let reached = from;
    let whole = true;
    for (let index = this.#after(from); index < end; index++) {
      const { account, epoch, expiresAt, from, id, offset, previous } = this.#slots[index]!;
      if (previous > reached) whole = false;
      reached = offset;
      each({ id, topic, position: { epoch, offset }, from, expiresAt, account });
    }
    return whole && reached >= to;
  }

  /**
   * A device is done with the entries in (from, to].
   * @returns how many they are
   */
  count(from: number, to: number): number {
    const begin = this.#after(from);
    const end = this.#after(to);
    if (begin >= end) return 0;
    this.#slots[begin]!.rise++;
    if (end < this.#slots.length) this.#slots[end]!.rise--;
    else this.#atEnd++;
    this.#unsettled = true;
    return end - begin;
  }

  /** Brings the entries' accounts up to date. */
  settle(): void {
    if (!this.#unsettled) return;
    this.#unsettled = false;
    this.#atEnd = 0;
    let done = 0;
    for (const slot of this.#slots) {
      done += slot.rise;
      slot.rise = 0;
      if (slot.account !== undefined) slot.account.delivered += done;
    }
  }

  /** No device will be done with the entries up to this offset any more. */
  forgetUpTo(offset: number): void {
    const end = this.#after(offset);
    let done = 0;
    for (let index = 0; index < end; index++) {
      const slot = this.#slots[index]!;
      done += slot.rise;
      if (slot.account !== undefined) slot.account.delivered += done;
      this.#unlink(slot);
    }
    this.#slots.splice(0, end);
    // The first one that is left rises from zero then.
    const first = this.#slots[0];
    if (first === undefined) this.#atEnd = 0;
    else first.rise += done;
  }

  /** Forgets everything. */
  clear(): void {
    this.settle();
    this.forgetUpTo(Infinity);
  }

  #forget(slot: Slot): void {
    if (slot === this.#slots[0]) return this.forgetUpTo(slot.offset);
    this.settle();
    this.#slots.splice(this.#after(slot.offset) - 1, 1);
    this.#unlink(slot);
  }

  #unlink(slot: Slot): void {
    const { older, younger } = slot;
    if (older === undefined) this.#eldest = younger;
    else older.younger = younger;
    if (younger === undefined) this.#youngest = older;
    else younger.older = older;
    this.#weigh(-weightOf(slot));
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes;
    this.#held.receipts += bytes;
  }

  /** The place behind all entries up to this offset. */
  #after(offset: number): number {
    let low = 0;
    let high = this.#slots.length;
    // Nearly always it is the last one.
    if (high === 0 || this.#slots[high - 1]!.offset <= offset) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#slots[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What is taken over of an entry. */
export type RememberedEntry = Pick<OpenedEntry, "account" | "expiresAt" | "from" | "id" | "position" | "previous">;

function weightOf({ from, id }: Slot): number {
  return OVERHEAD + id.length + (from?.length ?? 0);
}
