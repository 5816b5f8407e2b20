import type { Clock, Timer } from "./ports/clock.ts";
import type { Logger } from "./ports/logger.ts";
import type { Random } from "./ports/random.ts";

/** The clock of the runtime. */
export function systemClock(): Clock {
  // Not every runtime has it; where it is missing, a zero timer is the next best end of a tick.
  const { setImmediate } = globalThis as { setImmediate?: (task: () => void) => unknown };
  return {
    now: () => Date.now(),
    elapsed: () => performance.now(),
    setTimeout(task, ms) {
      const timer = globalThis.setTimeout(task, ms) as Timer;
      // Where timers are objects they can be told not to keep the process alive.
      if (typeof timer === "object") (timer as { unref?: () => void }).unref?.();
      return timer;
    },
    clearTimeout: (timer) => globalThis.clearTimeout(timer as number),
    defer: setImmediate === undefined ? (task) => void globalThis.setTimeout(task, 0) : (task) => void setImmediate(task),
  };
}

/** 128 bits. */
const ID_BYTES = 16;

/** Chance from the runtime's cryptographic source. */
export function systemRandom(): Random {
  // Asking for a few at a time costs as much as asking for many.
  const drawn = new Uint8Array(256 * ID_BYTES);
  let used = drawn.length;
  return {
    id() {
      if (used === drawn.length) {
        crypto.getRandomValues(drawn);
        used = 0;
      }
      const bytes = drawn.subarray(used, used += ID_BYTES);
      return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    },
    fraction: () => Math.random(),
  };
}

/** Warnings and errors on the console, the rest nowhere. */
export function systemLogger(): Logger {
  return {
    info() {},
    warn: (message, fields) => console.warn(`peyk: ${message}`, ...(fields === undefined ? [] : [fields])),
    error: (message, fields) => console.error(`peyk: ${message}`, ...(fields === undefined ? [] : [fields])),
  };
}
