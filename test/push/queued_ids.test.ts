import { expect, test } from "vitest";
import { createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { QueuedIds } from "../../src/push/queued_ids.ts";

test("the last 5,000 queued pushes are known at least, 10,000 at most, and their bytes are counted", () => {
  const held = createCacheBytes();
  const known = new QueuedIds(held);
  const sizes = new Set<number>();
  for (let index = 0; index < 50_000; index++) {
    known.add(`row ${String(index).padStart(6, "0")}`);
    sizes.add(held.queued);
  }
  const knows = (index: number): boolean => known.has(`row ${String(index).padStart(6, "0")}`);
  expect([knows(49_999), knows(45_000), knows(39_999), knows(0)]).toEqual([true, true, false, false]);
  expect(held.queued).toBe(5_000 * 60);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(10_000 * 60);
});

test("an id that is added again counts once", () => {
  const held = createCacheBytes();
  const known = new QueuedIds(held);
  for (let time = 0; time < 10; time++) known.add("1234567890");
  expect(held.queued).toBe(60);
});

test("of long ids fewer are known", () => {
  const held = createCacheBytes();
  const known = new QueuedIds(held);
  let most = 0;
  for (let index = 0; index < 20_000; index++) {
    known.add(`${"x".repeat(1_000)} ${index}`);
    most = Math.max(most, held.queued);
  }
  expect(most).toBeLessThan(4.1 * 1024 * 1024);
  expect(known.has(`${"x".repeat(1_000)} 19999`)).toBe(true);
});
