/**
 * Lets a few do something at the same time. When many wait for their turn, it is the newest one's: whoever has waited for long is
 * about to give up and come again.
 */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param width how many at the same time */
  constructor(width: number) {
    this.#free = width;
  }

  async take(task: () => Promise<void>): Promise<void> {
    if (this.#free === 0) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#free--;
    try {
      await task();
    } finally {
      const next = this.#waiting.pop();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
