/** A token bucket: `perSecond` on average, twice that at once. */
export class Rate {
  readonly #perSecond: number;
  #tokens: number;
  #at = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond * 2;
  }

  /**
   * Takes one token.
   * @param elapsed monotonic milliseconds
   * @returns 0, or in how many milliseconds the next token is there
   */
  take(elapsed: number): number {
    this.#tokens = Math.min(this.#perSecond * 2, this.#tokens + (elapsed - this.#at) * this.#perSecond / 1_000);
    this.#at = elapsed;
    if (this.#tokens < 1) return Math.ceil((1 - this.#tokens) * 1_000 / this.#perSecond);
    this.#tokens--;
    return 0;
  }
}
