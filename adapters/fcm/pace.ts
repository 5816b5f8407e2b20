import type { Clock } from "../../src/ports/clock.ts";

/** A push that would have to wait longer for its turn comes again later, so that it holds up nothing else here. */
const MAX_WAIT_MS = 5_000;
/** After a quiet moment as many leave at once as else would within this time. */
const BURST_MS = 50;

/**
 * At most so many pushes a second of one project, evenly over time. Nodes share: each takes its part of the whole.
 *
 * FCM's quota is 600,000 a minute and project (https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas).
 */
export class Pace {
  readonly #perSecond: number;
  readonly #clock: Pick<Clock, "elapsed" | "setTimeout" | "clearTimeout">;
  /** When the next push may leave, monotonic milliseconds. */
  #nextAt = -Infinity;

  constructor(perSecond: number, clock: Pick<Clock, "elapsed" | "setTimeout" | "clearTimeout">) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  /**
   * Waits until a push may leave, or until the signal aborts.
   * @param nodes how many share the pace
   * @returns 0 when it may leave; else it has no turn, and may come again in so many milliseconds
   */
  async turn(nodes: number, signal: AbortSignal): Promise<number> {
    const now = this.#clock.elapsed();
    const at = Math.max(this.#nextAt, now - BURST_MS);
    const waitMs = at - now;
    if (waitMs > MAX_WAIT_MS) return Math.ceil(waitMs);
    this.#nextAt = at + 1_000 * nodes / this.#perSecond;
    if (waitMs > 0) await this.#sleep(waitMs, signal);
    return 0;
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        this.#clock.clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, ms);
      signal.addEventListener("abort", end, { once: true });
    });
  }
}
