/** Requests under way at first, and at most. */
const FIRST = 32;
const MOST = 1_000;

/**
 * How many requests a service is asked to bear at a time. It grows with each answer, by its double at first and by one a round later,
 * and is halved when the service asks for less or is late, once for what was under way then.
 */
export class Window {
  #width = FIRST;
  /** Beyond this it grows slowly. */
  #threshold = MOST;
  /** Monotonic milliseconds. */
  #narrowedAt = -Infinity;

  get width(): number {
    return Math.floor(this.#width);
  }

  /** A request that began then was answered, and the service bears it. */
  widen(): void {
    this.#width = Math.min(MOST, this.#width + (this.#width < this.#threshold ? 1 : 1 / this.#width));
  }

  /** A request that began then was answered by "less", or not in time. */
  narrow(startedAt: number, now: number): void {
    if (startedAt < this.#narrowedAt) return;
    this.#narrowedAt = now;
    this.#threshold = Math.max(1, this.#width / 2);
    this.#width = this.#threshold;
  }
}
