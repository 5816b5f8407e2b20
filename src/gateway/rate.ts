/** How much may be taken at once, as the time in which it becomes free again, milliseconds. */
const BURST_MS = 2_000;

/** Users whose rate is remembered at most. Of more, the user who has been quiet longest is forgotten. */
const REMEMBERED = 10_000;

/** The same limit for each user. */
export class Rates {
  readonly #perSecond: number;
  /** Those who took the longest ago come first. */
  readonly #rates = new Map<string, Rate>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** How many users are remembered. */
  get size(): number {
    return this.#rates.size;
  }

  /** Takes one of this user's, as {@link Rate.take} does. */
  take(userId: string, elapsed: number): number {
    const rate = this.#rates.get(userId) ?? new Rate(this.#perSecond);
    this.#rates.delete(userId);
    this.#rates.set(userId, rate);
    const wait = rate.take(elapsed);
    this.#forget(elapsed);
    return wait;
  }

  /** A rate of which everything is free again is as good as a new one: who publishes once does not stay. */
  #forget(elapsed: number): void {
    for (const [userId, rate] of this.#rates) {
      if (!rate.isFree(elapsed) && this.#rates.size <= REMEMBERED) break;
      this.#rates.delete(userId);
    }
  }
}

/** A limit of so many per second on average, twice that at once (the generic cell rate algorithm: one number to keep). */
export class Rate {
  readonly #costMs: number;
  /** When all that was taken will have become free again. Monotonic milliseconds. */
  #freeAt = 0;

  constructor(perSecond: number) {
    this.#costMs = 1_000 / perSecond;
  }

  /**
   * Takes one.
   * @param elapsed monotonic milliseconds
   * @returns 0, or in how many milliseconds the next one is free; then none was taken
   */
  take(elapsed: number): number {
    const freeAt = Math.max(this.#freeAt, elapsed) + this.#costMs;
    const wait = Math.ceil(freeAt - elapsed - BURST_MS);
    if (wait > 0) return wait;
    this.#freeAt = freeAt;
    return 0;
  }

  /** Nothing of what was taken counts any more. */
  isFree(elapsed: number): boolean {
    return this.#freeAt <= elapsed;
  }
}
