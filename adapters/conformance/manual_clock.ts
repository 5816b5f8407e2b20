import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../../src/ports/clock.ts";

/** A clock that stands still until it is told to move. */
export interface ManualClock extends Clock {
  /**
   * Moves time on by `ms`: runs each timer that falls due, in order and at its own time, and lets everything it set off settle
   * before the next.
   */
  advance(ms: number): Promise<void>;
  /**
   * Resolves when no deferred task and no promise callback is left to run. `advance(0)` without the timers.
   * It does not wait for real input or output.
   */
  settle(): Promise<void>;
  /** Sets the wall clock forward by `ms`, or back. `elapsed` and the timers go on as if nothing was. */
  jump(ms: number): void;
  /** How many timers wait. 0 after a close: nothing leaked. */
  readonly timers: number;
}

interface Waiting {
  readonly due: number;
  readonly task: () => void;
}

/**
 * Makes a {@link ManualClock}. Deferred tasks need nobody to call `settle`: they run by themselves once the promise callbacks of
 * this tick are through, so code that awaits real sockets or files goes on; only time stands still.
 *
 * @param startMs what `now` says at first, milliseconds since 1970. Default: 2026-01-01. `elapsed` starts at 0.
 * @example
 * ```ts
 * const clock = createManualClock();
 * clock.setTimeout(() => console.log("a second later"), 1_000);
 * await clock.advance(1_000);
 * ```
 */
export function createManualClock(startMs: number = Date.UTC(2026, 0, 1)): ManualClock {
  let elapsed = 0;
  let jumped = 0;
  /** By due time; those of equal time in the order they were set. */
  const waiting: Waiting[] = [];
  let deferred: (() => void)[] = [];

  function flush(): void {
    const tasks = deferred;
    deferred = [];
    for (const task of tasks) task();
  }

  async function settle(): Promise<void> {
    // A turn ends after the flush that was asked for before it, and after every promise callback.
    do await new Promise<void>((resolve) => setImmediate(resolve)); while (deferred.length > 0);
  }

  return {
    now: () => startMs + jumped + elapsed,
    elapsed: () => elapsed,
    setTimeout(task, ms): Timer {
      const timer: Waiting = { due: elapsed + Math.max(0, ms), task };
      let low = 0;
      let high = waiting.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (waiting[middle]!.due <= timer.due) low = middle + 1;
        else high = middle;
      }
      waiting.splice(low, 0, timer);
      return timer;
    },
    clearTimeout(timer) {
      const index = waiting.indexOf(timer as unknown as Waiting);
      if (index >= 0) waiting.splice(index, 1);
    },
    defer(task) {
      if (deferred.length === 0) setImmediate(flush);
      deferred.push(task);
    },
    async advance(ms) {
      const target = elapsed + ms;
      await settle();
      for (let next = waiting[0]; next !== undefined && next.due <= target; next = waiting[0]) {
        waiting.shift();
        elapsed = Math.max(elapsed, next.due);
        next.task();
        await settle();
      }
      elapsed = Math.max(elapsed, target);
    },
    settle,
    jump(ms) {
      jumped += ms;
    },
    get timers() {
      return waiting.length;
    },
  };
}
