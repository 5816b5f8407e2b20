import type { OpenedEntry } from "./opened_entry.ts";

/** A frame on its way. Shared by all receivers of one fan-out. */
export interface Sending {
  readonly entry: OpenedEntry;
  /** Monotonic milliseconds. */
  readonly at: number;
}

/** How many frames a connection may have unseen before its entries stay in the log. */
export const MAX_UNSEEN = 1_000;

/**
 * The window of what one connection was sent and has not confirmed, counted as XEP-0198 counts stanzas.
 * A queue of runs (what was sent together takes one place, however much it is) over an array that is used again and again: what
 * was confirmed leaves its place, and when all was, the places are filled anew. An idle connection that never had many keeps a
 * small array; one that had many lets it go.
 */
export class Unseen {
  #queue: (readonly Sending[] | undefined)[] = [];
  #head = 0;
  #tail = 0;
  /** How many of the first run are confirmed. */
  #begun = 0;
  /** Frames sent so far. */
  #sent = 0;
  /** Frames confirmed so far. */
  #seen = 0;

  get count(): number {
    return this.#sent - this.#seen;
  }

  get oldest(): Sending | undefined {
    return this.#head < this.#tail ? this.#queue[this.#head]![this.#begun] : undefined;
  }

  /** @param run of one topic, in order, at least one; the same array for all receivers */
  push(run: readonly Sending[]): void {
    this.#queue[this.#tail++] = run;
    this.#sent += run.length;
  }

  /**
   * Takes the client's count in.
   * @param each called with everything that is newly seen, in order, run by run: the places from `begin` to before `end`
   * @returns how much that was, or undefined when the count makes no sense: lower than before, or more than was sent
   */
  confirm(total: number, each: (run: readonly Sending[], begin: number, end: number) => void): number | undefined {
    const count = total - this.#seen;
    if (count < 0 || count > this.count) return undefined;
    this.#seen = total;
    for (let left = count; left > 0;) {
      const run = this.#queue[this.#head]!;
      const begin = this.#begun;
      const end = Math.min(run.length, begin + left);
      each(run, begin, end);
      left -= end - begin;
      if (end === run.length) this.#queue[this.#head++] = undefined;
      this.#begun = end === run.length ? 0 : end;
    }
    if (this.#head === this.#tail) {
      if (this.#queue.length > MAX_IDLE_PLACES) this.#queue = [];
      this.#head = this.#tail = 0;
    } else if (this.#head >= MAX_UNSEEN) {
      // Never empty for long: without this the array would grow for ever.
      this.#queue = this.#queue.slice(this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
    return count;
  }

  /** What is unseen, oldest first. */
  *[Symbol.iterator](): Generator<Sending> {
    let begin = this.#begun;
    for (let i = this.#head; i < this.#tail; i++) {
      const run = this.#queue[i]!;
      for (let j = begin; j < run.length; j++) yield run[j]!;
      begin = 0;
    }
  }
}

/** Places that a connection with nothing unseen may keep. */
const MAX_IDLE_PLACES = 64;
