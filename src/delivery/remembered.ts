import type { OpenedEntry } from "./opened_entry.ts";

/** How many entries are remembered. */
const KEPT = 1_024;

/** An entry with its part of the counts. */
interface Slot {
  readonly offset: number;
  entry: OpenedEntry;
  /** How many devices more are done with this entry than with the one before it. Below zero: fewer. */
  rise: number;
  /** The one that was filled next. */
  younger: Slot | undefined;
}

/**
 * The entries of one topic that receipts are likely to name, the ones last remembered, in order of their offsets (which may
 * have holes). Counts devices that are done with a range of them: a range costs the same however long it is, because only its
 * two ends are marked. The entries' accounts get the sums when they are settled.
 */
export class Remembered {
  readonly #slots: Slot[] = [];
  #eldest: Slot | undefined;
  #youngest: Slot | undefined;
  /** Devices that are done with the last entry and are not settled: what comes after it is not theirs. */
  #atEnd = 0;
  #unsettled = false;

  add(entry: OpenedEntry): void {
    const { offset } = entry.position;
    const index = this.#after(offset);
    const known = this.#slots[index - 1];
    const inOrder = index === this.#slots.length;
    // What was counted belongs to the entries that were there.
    if (!inOrder || known?.offset === offset) this.settle();
    if (known?.offset === offset) {
      known.entry = entry;
      return;
    }
    const slot: Slot = { offset, entry, rise: -this.#atEnd, younger: undefined };
    this.#atEnd = 0;
    if (inOrder) this.#slots.push(slot);
    else this.#slots.splice(index, 0, slot);
    if (this.#youngest === undefined) this.#eldest = slot;
    else this.#youngest.younger = slot;
    this.#youngest = slot;
    if (this.#slots.length > KEPT) this.#forget(this.#eldest!);
  }

  get(offset: number): OpenedEntry | undefined {
    const slot = this.#slots[this.#after(offset) - 1];
    return slot?.offset === offset ? slot.entry : undefined;
  }

  /**
   * Calls back with the entries in (from, to], in order.
   * @returns whether these are all there were
   */
  between(from: number, to: number, each: (entry: OpenedEntry) => void): boolean {
    const end = this.#after(to);
    let reached = from;
    let whole = true;
    for (let index = this.#after(from); index < end; index++) {
      const { entry, offset } = this.#slots[index]!;
      if (entry.previous > reached) whole = false;
      reached = offset;
      each(entry);
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
      if (slot.entry.account !== undefined) slot.entry.account.delivered += done;
    }
  }

  #forget(slot: Slot): void {
    this.#eldest = slot.younger;
    const [first, second] = this.#slots;
    if (slot === first) {
      // Nothing comes before it, so its rise is its whole count, and the next one's rise is from zero then.
      if (slot.entry.account !== undefined) slot.entry.account.delivered += slot.rise;
      second!.rise += slot.rise;
      this.#slots.shift();
    } else {
      this.settle();
      this.#slots.splice(this.#after(slot.offset) - 1, 1);
    }
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
