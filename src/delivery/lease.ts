import type { Clock } from "../ports/clock.ts";

/**
 * Until when this node may act for its sessions. Alone on its storage: always. Among others only as long as its word that it lives
 * is good, because after that they take its sessions over. Once it has lapsed it stays lapsed until somebody has looked what
 * became of them: a process that was stopped must not write what it was about to write.
 */
export class Lease {
  readonly #clock: Clock;
  #until = Infinity;
  #lapsed = false;
  #term = 0;
  /** How many nodes had a live lease when it was looked last, this one included. */
  nodes = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the node may act now. Looks at the clock. */
  get isHeld(): boolean {
    if (this.#until !== Infinity && this.#clock.elapsed() >= this.#until) this.#lapsed = true;
    return !this.#lapsed;
  }

  /** Another one since it lapsed and began anew: what was found out before that may no longer be so. */
  get term(): number {
    return this.#term;
  }

  /** @param until monotonic milliseconds */
  extend(until: number): void {
    this.#until = until;
  }

  /** A new one, after what became of the sessions is known. */
  begin(until: number): void {
    this.#lapsed = false;
    this.#term++;
    this.#until = until;
  }
}
