/**
 * Where time comes from. Everything that waits goes through here, so that a test can hold the clock.
 *
 * An implementer MUST keep timers and `elapsed` monotonic (a wall clock that jumps moves only `now`), MUST run timers of
 * equal due time in the order they were set, and MUST NOT run any callback from inside `setTimeout` or `defer`.
 */
export interface Clock {
  /**
   * Milliseconds since 1970, whole. The one that an engine is given tells the wall clock, which may be set. The one that an engine
   * hands on to its storage was read once and moves on with `elapsed`: it never jumps.
   */
  now(): number;
  /** Monotonic milliseconds from an arbitrary start. For durations. */
  elapsed(): number;
  /** Runs `task` once, `ms` from now. Timers do not keep the process alive. */
  setTimeout(task: () => void, ms: number): Timer;
  clearTimeout(timer: Timer): void;
  /** Runs `task` after everything this tick of the event loop still brings: the moment to flush what piled up. */
  defer(task: () => void): void;
}

/** What `setTimeout` gave. Opaque. */
export type Timer = object | number;
