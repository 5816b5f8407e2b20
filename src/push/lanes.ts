/** Runs tasks a few at a time, in the order they came. The tasks take care of their errors themselves. */
export class Lanes {
  readonly #width: number;
  /** A list of links: taking the first out of a long array moves all others, and a public message may bring a task per person. */
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  add(task: () => Promise<void>): void {
    const waiting: Waiting = { task, next: undefined };
    if (this.#first === undefined) this.#first = waiting;
    else this.#last!.next = waiting;
    this.#last = waiting;
    if (this.#running < this.#width) void this.#lane();
  }

  async #lane(): Promise<void> {
    this.#running++;
    for (let next = this.#first; next !== undefined; next = this.#first) {
      this.#first = next.next;
      await next.task();
    }
    this.#running--;
    if (this.#running === 0) { for (const resolve of this.#idle.splice(0)) resolve(); }
  }

  /** Resolves when nothing runs or waits. */
  idle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}

interface Waiting {
  readonly task: () => Promise<void>;
  next: Waiting | undefined;
}
