import { describe, expect, test } from "vitest";
import { Owed } from "../../bench/soak/owed.ts";
import { report } from "../../bench/soak/report.ts";
import type { Point } from "../../bench/soak/results.ts";
import { lineThrough } from "../../bench/soak/slope.ts";
import { growthOf, MAY_GROW } from "../../bench/soak/verdict.ts";
import { createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { createCounters } from "../../src/delivery/counters.ts";

/** Numbers that look like chance and are the same in every run. */
function noise(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647 - 0.5;
}

describe("the line through the points", () => {
  test("is the line that they are on, with no error", () => {
    const line = lineThrough([1, 2, 3, 4].map((x) => ({ x, y: 7 + 3 * x })));
    expect(line.slope).toBeCloseTo(3);
    expect(line.start).toBeCloseTo(7);
    expect(line.error).toBeCloseTo(0);
  });

  test("of noise alone has twice its error more than its slope in nineteen of twenty", () => {
    let within = 0;
    for (let run = 1; run <= 200; run++) {
      const next = noise(run * 7_919);
      const { error, slope } = lineThrough(Array.from({ length: 100 }, (_, x) => ({ x, y: next() })));
      if (Math.abs(slope) <= 2 * error) within++;
    }
    expect(within).toBeGreaterThan(180);
  });

  test("allows for noise that wanders", () => {
    let within = 0;
    for (let run = 1; run <= 200; run++) {
      const next = noise(run * 104_729);
      let y = 0;
      const { error, slope } = lineThrough(Array.from({ length: 200 }, (_, x) => ({ x, y: y = 0.8 * y + next() })));
      if (Math.abs(slope) <= 2 * error) within++;
    }
    expect(within).toBeGreaterThan(170);
  });
});

test("a slope is none when it is certainly small, and grows when it is certainly there and not small", () => {
  expect(growthOf({ slope: 3, error: 4 })).toBe("none");
  expect(growthOf({ slope: -40, error: 4 })).toBe("none");
  expect(growthOf({ slope: 3, error: 40 })).toBe("unclear");
  expect(growthOf({ slope: 100, error: 10 })).toBe("grows");
});

describe("the verdict on a soak of two minutes", () => {
  const counters = { ...createCounters(), connections: 1, sessions: 1, bytes: { ...createCacheBytes(), storage: 0 } };

  function faultsOf(grownBy: number, { queued = 0, faults = [] as string[], storage = "sqlite" } = {}): string[] {
    const points = Array.from({ length: 60 }, (_, index): Point => {
      const seconds = 2 * (index + 1);
      const held = 20_000 + (seconds < 40 ? -5_000 : grownBy * (seconds - 40) / 80);
      return { seconds, heap: held * 1_024, external: 0, rss: 1e8, counters, rows: undefined };
    });
    const end = { ...points.at(-1)!, counters: { ...counters, pushesQueued: queued } };
    return report({ points, end, faults, warnings: [] }, storage).faults;
  }

  test("is fine where memory grows only in its first third", () => {
    expect(faultsOf(0)).toEqual([]);
    expect(faultsOf(MAY_GROW * 0.5)).toEqual([]);
  });

  test("is fine where memory grows with what is stored in it", () => {
    expect(faultsOf(MAY_GROW * 10, { storage: "memory" })).toEqual([]);
  });

  test("names memory that grew, pushes without an end, and what was not delivered", () => {
    expect(faultsOf(MAY_GROW * 1.5)).toEqual([expect.stringContaining("memory grew")]);
    expect(faultsOf(0, { queued: 3 })).toEqual(["3 pushes have no end"]);
    expect(faultsOf(0, { queued: -1 })).toEqual(["1 pushes more have ended than were queued"]);
    expect(faultsOf(0, { faults: ["a did not come"] })).toEqual(["a did not come"]);
  });
});

test("what a device is owed: each message once, in whichever order it is told", () => {
  const owed = new Owed();
  owed.published("a");
  owed.came("b");
  expect([owed.missing, owed.surplus]).toEqual([["a"], ["b"]]);
  owed.came("a");
  owed.published("b");
  expect([owed.missing, owed.surplus]).toEqual([[], []]);
  owed.came("a");
  expect(owed.surplus).toEqual(["a"]);
});
