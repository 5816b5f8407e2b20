/** Milliseconds since 1970 with fractions: the same clock in every process of the machine, on Node and on Deno. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
