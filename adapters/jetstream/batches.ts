import { PeykError } from "../../src/protocol/errors.ts";
import type { Draft, Outcome } from "./state_format.ts";

/** Batches of this node under way. The server admits 50 per stream, from all nodes together. */
const AT_ONCE = 12;
/** Documents of several writes in one batch. The server admits 1,000. */
const MOST_TOGETHER = 250;

/** What is to be stored in one step, and who waits for it. */
interface Write {
  readonly drafts: readonly Draft[];
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/**
 * Writes of several documents each. While as many are under way as may be, those that come wait, and leave together as one batch:
 * what is written a second then grows with the number of those who write. A batch is all or nothing, so when one is refused its
 * halves are tried, down to the write that was in conflict.
 */
export class Batches {
  readonly #send: (drafts: readonly Draft[]) => Promise<Outcome>;
  #waiting: Write[] = [];
  /** Halves of batches that were refused: they leave as they are. */
  readonly #halves: Write[][] = [];
  #room = AT_ONCE;

  /** @param send stores documents in one step, each try once; throws for all that can't be stored */
  constructor(send: (drafts: readonly Draft[]) => Promise<Outcome>) {
    this.#send = send;
  }

  write(drafts: readonly Draft[]): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ drafts, resolve, reject });
      this.#go();
    });
  }

  #go(): void {
    while (this.#room > 0) {
      const writes = this.#halves.pop() ?? this.#take();
      if (writes.length === 0) return;
      this.#room--;
      void this.#store(writes).finally(() => {
        this.#room++;
        this.#go();
      });
    }
  }

  /** The next ones, as many as may leave together: no document may be in a batch twice, nor be expected where it is written. */
  #take(): Write[] {
    const subjects = new Set<string>();
    let together = 0;
    let count = 0;
    for (const { drafts } of this.#waiting) {
      const touched = drafts.flatMap(({ subject, expectedOf }) => expectedOf === undefined ? [subject] : [subject, expectedOf]);
      if (count > 0 && (together + drafts.length > MOST_TOGETHER || touched.some((subject) => subjects.has(subject)))) break;
      for (const subject of touched) subjects.add(subject);
      together += drafts.length;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #store(writes: Write[]): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = await this.#send(writes.flatMap(({ drafts }) => drafts));
    } catch (error) {
      // One that is too large must not keep the others back.
      if (writes.length > 1 && error instanceof PeykError && error.code === "too-large") return this.#split(writes);
      for (const { reject } of writes) reject(error);
      return;
    }
    if (outcome.kind === "conflict" && writes.length > 1) return this.#split(writes);
    if (outcome.kind !== "stored") return writes.forEach(({ resolve }) => resolve(outcome));
    // The documents stand one after the other, the last one where the outcome says.
    let { seq } = outcome;
    for (const { drafts, resolve } of writes.toReversed()) {
      resolve({ kind: "stored", seq });
      seq -= drafts.length;
    }
  }

  #split(writes: Write[]): void {
    const half = Math.ceil(writes.length / 2);
    this.#halves.push(writes.slice(0, half), writes.slice(half));
  }
}
