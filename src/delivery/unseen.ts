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
 * A queue over an array with a moving head: pushing is one store, and an idle connection keeps no array at all.
 */
export class Unseen {
  #queue: Sending[] = [];
  #head = 0;
  /** Frames confirmed so far. */
  #seen = 0;

  get count(): number {
    return this.#queue.length - this.#head;
  }

  get oldest(): Sending | undefined {
    return this.#queue[this.#head];
  }

  push(sending: Sending): void {
    this.#queue.push(sending);
  }

  /**
   * Takes the client's count in.
   * @param each called with everything that is newly seen, in order
   * @returns how much that was, or undefined when the count makes no sense: lower than before, or more than was sent
   */
  confirm(total: number, each: (sending: Sending) => void): number | undefined {
    const count = total - this.#seen;
    if (count < 0 || count > this.count) return undefined;
    this.#seen = total;
    for (const end = this.#head + count; this.#head < end; this.#head++) each(this.#queue[this.#head]!);
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head >= 256) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return count;
  }

  /** What is unseen, oldest first. */
  *[Symbol.iterator](): Generator<Sending> {
    for (let i = this.#head; i < this.#queue.length; i++) yield this.#queue[i]!;
  }
}
