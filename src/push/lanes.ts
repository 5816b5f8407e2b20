/** Runs tasks a few at a time, in the order they came. The tasks take care of their errors themselves. */
export class Lanes {
  readonly #width: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  add(task: () => Promise<void>): void {
    this.#waiting.push(task);
    if (this.#running < this.#width) void this.#lane();
  }

  async #lane(): Promise<void> {
    this.#running++;
    for (let task = this.#waiting.shift(); task !== undefined; task = this.#waiting.shift()) await task();
    this.#running--;
    if (this.#running === 0) { for (const resolve of this.#idle.splice(0)) resolve(); }
  }

  /** Resolves when nothing runs or waits. */
  idle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}
