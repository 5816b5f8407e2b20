import type { Clock, Timer } from "./ports/clock.ts";

/** A timer that fires so much too late tells that the event loop stood still, or the whole process did. */
const LATE_MS = 100;
/** Then what has arrived meanwhile is read within this time. */
const READ_MS = 10;

/**
 * The same clock, whose timers run after what has arrived was read when they are late: clients that have answered
 * meanwhile must not pass for silent ones. An event loop comes to its timers before it comes to its sockets.
 */
export function lateTimers(clock: Clock): Clock {
  return {
    now: () => clock.now(),
    elapsed: () => clock.elapsed(),
    setTimeout(task, ms) {
      const due = clock.elapsed() + ms;
      const waiting = {
        timer: clock.setTimeout(() => {
          if (clock.elapsed() - due < LATE_MS) task();
          else waiting.timer = clock.setTimeout(task, READ_MS);
        }, ms),
      };
      return waiting;
    },
    clearTimeout: (timer) => clock.clearTimeout((timer as { readonly timer: Timer }).timer),
    defer: (task) => clock.defer(task),
  };
}
