import { quantile } from "../fan_out/statistics.ts";

/** Keeps the process alive meanwhile, which the engine's own timers don't. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What `promise` gives, or undefined when that takes longer than `ms`. */
export async function notAfter<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), Math.max(ms, 0)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How long `task` took, milliseconds; undefined: longer than `limitMs`. It goes on then. */
export async function took(limitMs: number, task: () => Promise<unknown>): Promise<number | undefined> {
  const started = performance.now();
  return await notAfter(limitMs, task().then(() => performance.now() - started));
}

/** Waits until it is so. @returns whether it was within `limitMs` */
export async function until(limitMs: number, isSo: () => boolean | Promise<boolean>, lookMs = 2): Promise<boolean> {
  const end = performance.now() + limitMs;
  while (!await isSo()) {
    if (performance.now() >= end) return false;
    await sleep(lookMs);
  }
  return true;
}

/** Runs `task` at fixed moments, `everyMs` apart. It is told the moment that was meant, however late it is. */
export async function atMoments(count: number, everyMs: number, task: (index: number, meantAt: number) => void): Promise<void> {
  const started = performance.now();
  for (let index = 0; index < count; index++) {
    const meantAt = started + index * everyMs;
    if (meantAt > performance.now()) await sleep(meantAt - performance.now());
    task(index, meantAt);
  }
}

export function quantileOf(values: readonly number[], q: number): number {
  return quantile(values.toSorted((a, b) => a - b), q);
}
