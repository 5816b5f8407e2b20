import type { Clock } from "./ports/clock.ts";

/**
 * The same clock, with a `now` that was read once and moves on with `elapsed`. What is compared within the life of a process
 * (when a push is due, when a message expires) is told by it, so that a wall clock that is set, in either direction, changes no wait.
 */
export function steadyClock(clock: Clock): Clock {
  const begin = clock.now() - clock.elapsed();
  return {
    now: () => Math.floor(begin + clock.elapsed()),
    elapsed: () => clock.elapsed(),
    setTimeout: (task, ms) => clock.setTimeout(task, ms),
    clearTimeout: (timer) => clock.clearTimeout(timer),
    defer: (task) => clock.defer(task),
  };
}
