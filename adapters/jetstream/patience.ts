import type { Clock } from "../../src/ports/clock.ts";

const FIRST_PAUSE_MS = 10;
const LAST_PAUSE_MS = 500;

/** How long something is tried again, with pauses that grow: `do … while (await patience.again())`. */
export class Patience {
  readonly #clock: Clock;
  readonly #closing: AbortSignal;
  readonly #end: number;
  #pause = FIRST_PAUSE_MS;

  /** @param closing cuts pauses short, since the next try will be refused */
  constructor(clock: Clock, closing: AbortSignal, ms: number) {
    this.#clock = clock;
    this.#closing = closing;
    this.#end = clock.elapsed() + ms;
  }

  /** Pauses. @returns false: no try is worth it any more */
  again(): Promise<boolean> {
    const pause = this.#pause;
    this.#pause = Math.min(pause * 2, LAST_PAUSE_MS);
    if (this.#closing.aborted || this.#clock.elapsed() + pause > this.#end) return Promise.resolve(false);
    return new Promise((resolve) => {
      const go = (): void => {
        this.#clock.clearTimeout(timer);
        this.#closing.removeEventListener("abort", go);
        resolve(true);
      };
      const timer = this.#clock.setTimeout(go, pause);
      this.#closing.addEventListener("abort", go);
    });
  }
}
