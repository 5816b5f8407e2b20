import type { Clock, Timer } from "../ports/clock.ts";

/** The longest that a timer waits: what is further off is looked at again. */
const LONGEST_MS = 3_600_000;

/** One time at which something is to be looked at. */
export class WakeUp {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** @param time milliseconds since 1970, instead of the former one; undefined: at none */
  at(time: number | undefined): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (time === undefined || this.#closed) return;
    this.#timer = this.#clock.setTimeout(() => this.#wake(), Math.min(Math.max(time - this.#clock.now(), 0), LONGEST_MS));
  }

  close(): void {
    this.#closed = true;
    this.at(undefined);
  }
}
