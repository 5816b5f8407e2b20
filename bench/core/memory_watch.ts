import process from "node:process";

/** Resident memory: the most that it grew by. */
export class MemoryWatch {
  readonly #idle: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #most = 0;

  constructor() {
    (globalThis as { gc?: () => void }).gc?.();
    this.#idle = process.memoryUsage().rss;
    this.#timer = setInterval(() => this.#look(), 100);
  }

  /** Ends it. @returns MB */
  grownBy(): number {
    clearInterval(this.#timer);
    this.#look();
    return Math.max(0, this.#most - this.#idle) / 1e6;
  }

  #look(): void {
    this.#most = Math.max(this.#most, process.memoryUsage().rss);
  }
}
