/** How much may be taken at once, as the time in which it becomes free again, milliseconds. */
const BURST_MS = 2_000;

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
}
