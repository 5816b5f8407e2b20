import { clearTimeout, setTimeout } from "node:timers";
import type { Clock, Timer } from "../../src/ports/clock.ts";

/** The runtime's clock, as far as it is needed here. */
export const systemClock: Omit<Clock, "defer"> = Object.freeze({
  now: () => Date.now(),
  elapsed: () => performance.now(),
  setTimeout: (task: () => void, ms: number): Timer => setTimeout(task, ms).unref(),
  clearTimeout: (timer: Timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
});
