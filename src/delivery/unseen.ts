import type { OpenedEntry } from "./opened_entry.ts";

/** A frame on its way. Shared by all receivers of one fan-out. */
export interface Sending {
  readonly entry: OpenedEntry;
  /** Monotonic milliseconds. */
  readonly at: number;
}

/** How many frames a connection may have unseen, or seen and waiting for its app, before its entries stay in the log. */
export const MAX_UNSEEN = 2_000;
/** How many of these are kept free for each chain that a window follows: so many may come before anybody counts. */
export const CHAIN_ROOM = 256;

/** What many connections were sent, one run after the other. Windows that follow it read on when they are looked at. */
export interface Chained {
  readonly run: readonly Sending[];
  /** Runs of all chains, in the order in which they were sent. */
  readonly order: number;
  /** The place behind it. */
  readonly end: ChainPlace;
}

/** A place on a chain. It holds nothing of what stands before it: what all windows have read is not kept alive by it. */
export interface ChainPlace {
  next: Chained | undefined;
}

/** Who reads a chain. */
export interface Follower {
  /** Behind the last one that the window has. Undefined: it follows none. */
  chained: ChainPlace | undefined;
}

/**
 * The window of what one connection was sent and has not confirmed, counted as XEP-0198 counts stanzas.
 * A queue of runs (what was sent together takes one place, however much it is) over an array that is used again and again: what
 * was confirmed leaves its place, and when all was, the places are filled anew. An idle connection that never had many keeps a
 * small array; one that had many lets it go. What was sent to many at once stands on a chain that they share, and is taken over
 * when somebody looks: so sending to all costs none of them anything here.
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
  #followers: Follower[] | undefined = undefined;
  /** When the client last confirmed something, or began to owe it. Whole monotonic milliseconds: whole numbers need no box. */
  #progressAt = 0;

  /** What was sent up to here and is unseen still has been found late once. Monotonic milliseconds. */
  lateUpTo = -1;
  /** Entries that are seen and wait for the app, as the client told last. */
  waiting = 0;
  /** When the connection was asked for a sign of life; -1: it has given one since. Whole monotonic milliseconds. */
  askedAt = -1;

  get count(): number {
    this.#readOn();
    return this.#sent - this.#seen;
  }

  /** How many more entries fit in. Below zero: more were sent than was wanted. */
  get room(): number {
    return this.unseenRoom - this.waiting;
  }

  /** How many more would fit in if nothing waited for the app. */
  get unseenRoom(): number {
    return MAX_UNSEEN - this.count - CHAIN_ROOM * (this.#followers?.length ?? 0);
  }

  get oldest(): Sending | undefined {
    this.#readOn();
    return this.#head < this.#tail ? this.#queue[this.#head]![this.#begun] : undefined;
  }

  get progressAt(): number {
    this.#readOn();
    return this.#progressAt;
  }

  /** @param run of one topic, in order, at least one; the same array for all receivers */
  push(run: readonly Sending[]): void {
    this.#readOn();
    this.#append(run);
  }

  /** What comes on this chain from here on is in the window too. */
  follow(follower: Follower): void {
    (this.#followers ??= []).push(follower);
  }

  /** What came up to here stays in the window. */
  unfollow(follower: Follower): void {
    this.#readOn();
    follower.chained = undefined;
    this.#followers = this.#followers?.filter((other) => other !== follower);
    if (this.#followers?.length === 0) this.#followers = undefined;
  }

  /**
   * Takes the client's count in.
   * @param each called with everything that is newly seen, in order, run by run: the places from `begin` to before `end`
   * @returns how much that was, or undefined when the count makes no sense: lower than before, or more than was sent
   */
  confirm(
    total: number,
    now: number,
    each: (run: readonly Sending[], begin: number, end: number) => void,
  ): number | undefined {
    const count = total - this.#seen;
    if (count < 0 || count > this.count) return undefined;
    this.#seen = total;
    if (count > 0) this.#progressAt = Math.floor(now);
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
    this.#readOn();
    let begin = this.#begun;
    for (let i = this.#head; i < this.#tail; i++) {
      const run = this.#queue[i]!;
      for (let j = begin; j < run.length; j++) yield run[j]!;
      begin = 0;
    }
  }

  /** Takes over what the chains have brought meanwhile, in the order in which it was sent. */
  #readOn(): void {
    if (this.#followers === undefined) return;
    for (;;) {
      let first: Follower | undefined;
      for (const follower of this.#followers) {
        const { next } = follower.chained!;
        if (next !== undefined && (first === undefined || next.order < first.chained!.next!.order)) first = follower;
      }
      if (first === undefined) return;
      const { end, run } = first.chained!.next!;
      first.chained = end;
      this.#append(run);
    }
  }

  #append(run: readonly Sending[]): void {
    if (this.#sent === this.#seen) this.#progressAt = Math.floor(run[0]!.at);
    this.#queue[this.#tail++] = run;
    this.#sent += run.length;
  }
}

/** Places that a connection with nothing unseen may keep. */
const MAX_IDLE_PLACES = 64;
