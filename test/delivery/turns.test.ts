import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { Turns } from "../../src/delivery/turns.ts";

test("of tasks that need not wait for anything a few run in a turn of the loop, in the order in which they were asked for", async () => {
  const turns = new Turns(4, createManualClock());
  const begun: number[] = [];
  const all = Array.from({ length: 30 }, (_, index) => index);
  const asked = all.map((index) =>
    turns.run(`key ${index}`, () => {
      begun.push(index);
      return Promise.resolve();
    })
  );
  for (let callback = 0; callback < 1_000; callback++) await Promise.resolve();
  expect(begun).toHaveLength(4);
  while (begun.length < 30) {
    const before = begun.length;
    await setImmediate();
    expect(begun.length).toBeGreaterThan(before);
    expect(begun.length).toBeLessThanOrEqual(before + 4);
  }
  expect(begun).toEqual(all);
  await Promise.all(asked);
});
