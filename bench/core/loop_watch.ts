import { quantileOf } from "./time.ts";

/** How much later than asked for a timer of 1 ms runs is how long something else held the event loop. The same on all runtimes. */
export class LoopWatch {
  readonly #late: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#wait();
  }

  get p99Ms(): number {
    return quantileOf(this.#late, 0.99);
  }

  get longestMs(): number {
    return this.#late.reduce((longest, late) => Math.max(longest, late), 0);
  }

  /** Forgets what was. */
  begin(): void {
    this.#late.length = 0;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const due = performance.now() + 1;
    this.#timer = setTimeout(() => {
      this.#late.push(Math.max(0, performance.now() - due));
      this.#wait();
    }, 1);
  }
}
