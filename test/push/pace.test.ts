import { expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { newRow } from "../../adapters/conformance/records.ts";
import type { OutboxRow } from "../../src/ports/outbox.ts";
import { Pace } from "../../src/push/pace.ts";

interface Stage {
  clock: ManualClock;
  pace: Pace;
  /** A push to the target: whether it may leave, and it does then. */
  push(targetId: string, note?: string): boolean;
}

function createPace(): Stage {
  const clock = createManualClock();
  const pace = new Pace(60_000, clock);
  return {
    clock,
    pace,
    push(targetId, note) {
      const row = { ...newRow("row", { targetId }), note };
      const mayLeave = pace.mayLeave(row);
      if (mayLeave) pace.leave(row)(true);
      return mayLeave;
    },
  };
}

test("targets that got a push some time ago are not remembered", async () => {
  const { clock, pace, push } = createPace();
  for (let second = 0; second < 600; second++) {
    push(`target ${second}`);
    await clock.advance(1_000);
  }
  expect(pace.remembered).toBeLessThan(70);
});

test("a target that something waited for, and that nothing came to since, keeps no others in memory", async () => {
  const { clock, pace, push } = createPace();
  const left = Array.from({ length: 6 }, () => push("paced"));
  expect(left).toEqual([true, true, true, true, true, false]);
  for (let second = 0; second < 600; second++) {
    push(`target ${second}`);
    await clock.advance(1_000);
  }
  expect(pace.remembered).toBeLessThan(70);
  // What waited leaves as one push, and the next one waits again.
  expect([pace.isPaced("paced"), push("paced", "it waited"), push("paced")]).toEqual([true, true, false]);
});

test("of more than 10,000 at once those that nothing came to for the longest are forgotten, waited for or not", () => {
  const { pace, push } = createPace();
  for (let time = 0; time < 6; time++) push("paced");
  for (let index = 0; index < 12_000; index++) push(`target ${index}`);
  expect([pace.remembered, pace.isPaced("paced")]).toEqual([10_000, false]);
});

test("a target that something waited for before a restart keeps its turn, at most a minute off whatever the clock says", async () => {
  const note = "not asked: many came within a minute: waits for the next push that may leave";
  const { clock, pace, push } = createPace();
  const row = (targetId: string, ms: number): OutboxRow => ({
    ...newRow("row", { targetId, dueAt: clock.now() + ms }),
    ...{ attempts: 0, note, status: "pending", covers: [], changedAt: 0 },
  });
  pace.restored([
    ...[row("soon", 20_000), row("expires first", 20_000), row("expires first", 5_000), row("set back", 3_600_000)],
    { ...row("something else", 20_000), note: "not asked: it rests" },
  ]);
  expect(push("something else")).toBe(true);
  await clock.advance(19_999);
  expect([push("soon"), push("expires first"), push("set back")]).toEqual([false, false, false]);
  await clock.advance(1);
  expect([push("soon", note), push("expires first", note), push("set back")]).toEqual([true, true, false]);
  await clock.advance(40_000);
  expect(push("set back", note)).toBe(true);
});
