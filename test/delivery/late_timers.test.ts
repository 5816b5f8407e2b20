import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { lateTimers } from "../../src/late_timers.ts";

/** A clock whose event loop can stand still. */
function standing() {
  const base = createManualClock();
  let stoodStill = 0;
  const clock = lateTimers({ ...base, elapsed: () => base.elapsed() + stoodStill });
  return { base, clock, standStill: (ms: number) => void (stoodStill += ms) };
}

test("a timer runs at its time", async () => {
  const { base, clock } = standing();
  const ran: number[] = [];
  clock.setTimeout(() => ran.push(clock.elapsed()), 1_000);
  await base.advance(5_000);
  expect(ran).toEqual([1_000]);
});

test("one that is late by a tenth of a second waits until what has arrived was read", async () => {
  const { base, clock, standStill } = standing();
  const ran: number[] = [];
  clock.setTimeout(() => ran.push(base.elapsed()), 1_000);
  standStill(100);
  await base.advance(1_009);
  expect(ran).toEqual([]);
  await base.advance(1);
  expect(ran).toEqual([1_010]);
  // What is less late does not.
  clock.setTimeout(() => ran.push(base.elapsed()), 1_000);
  standStill(99);
  await base.advance(1_000);
  expect(ran).toEqual([1_010, 2_010]);
});

test("what is cleared does not run, before its time and while it waits for what is read", async () => {
  const { base, clock, standStill } = standing();
  const ran: string[] = [];
  const early = clock.setTimeout(() => ran.push("early"), 1_000);
  clock.clearTimeout(early);
  const late = clock.setTimeout(() => ran.push("late"), 1_000);
  standStill(4_000);
  await base.advance(1_005);
  clock.clearTimeout(late);
  await base.advance(5_000);
  expect([ran, base.timers]).toEqual([[], 0]);
});
