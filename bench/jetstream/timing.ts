import { quantile } from "../fan_out/statistics.ts";

/** How many are under way at a time, where many are. */
export const WIDTH = 64;

/** One after the other. @returns milliseconds each, sorted */
export async function inTurn(count: number, task: (index: number) => Promise<unknown>): Promise<Float64Array> {
  const took = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    await task(index);
    took[index] = performance.now() - started;
  }
  return took.sort();
}

export async function medianMs(count: number, task: (index: number) => Promise<unknown>): Promise<number> {
  return quantile(await inTurn(count, task), 0.5);
}

/** 64 at a time. @returns how many a second */
export async function perSecond(count: number, task: (index: number) => Promise<unknown>): Promise<number> {
  const started = performance.now();
  let index = 0;
  await Promise.all(Array.from({ length: WIDTH }, async () => {
    while (index < count) await task(index++);
  }));
  return count / (performance.now() - started) * 1_000;
}
