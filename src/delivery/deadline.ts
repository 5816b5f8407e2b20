import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import { PeykError } from "../protocol/errors.ts";

/** How long a callback of the embedding server may take, milliseconds. */
export const CALLBACK_MS = 10_000;

/** A callback of the embedding server did not answer in time. Another try may find it well. */
export class Unanswered extends PeykError {
  /** @param callback its name, with `()` */
  constructor(callback: string, ms: number = CALLBACK_MS) {
    super("unavailable", `${callback} did not answer within ${ms / 1_000} s`, { retryable: true, hint: "Try again later." });
  }
}

/**
 * Waits for a callback's answer, for so long at most. What is no promise is handed on as it is and costs no timer; what comes late,
 * an answer or a failure, goes nowhere.
 *
 * @throws {Unanswered} and what the callback failed with
 */
export function within<Value>(
  clock: Clock,
  callback: string,
  answer: Value | PromiseLike<Value>,
  ms: number = CALLBACK_MS,
): Value | Promise<Value> {
  if (!isThenable(answer)) return answer;
  let timer: Timer;
  const late = new Promise<never>((_, reject) => {
    timer = clock.setTimeout(() => reject(new Unanswered(callback, ms)), ms);
  });
  return Promise.race([answer, late]).finally(() => clock.clearTimeout(timer));
}

/** The same, and the logger hears of a callback that is given up. */
export async function answerInTime<Value>(
  { clock, logger }: { clock: Clock; logger: Logger },
  callback: string,
  answer: Value | PromiseLike<Value>,
): Promise<Value> {
  try {
    return await within(clock, callback, answer);
  } catch (error) {
    if (error instanceof Unanswered) logger.error(error.message);
    throw error;
  }
}

/** Handles the rejection of a value that should be no promise and may be one: an unhandled rejection ends the process. */
export function ignored(value: unknown): void {
  if (isThenable(value)) value.then(undefined, () => {});
}

/** Whether something is to be waited for. A promise of another kind counts as one. */
export function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
