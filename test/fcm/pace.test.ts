import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { Pace } from "../../adapters/fcm/pace.ts";

const forever = new AbortController().signal;

/** How many of these have a turn by now. */
function counted(pace: Pace, pushes: number, nodes = 1) {
  const state = { gone: 0, later: [] as number[] };
  for (let i = 0; i < pushes; i++) {
    void pace.turn(nodes, forever).then((waitMs) => {
      if (waitMs === 0) state.gone++;
      else state.later.push(waitMs);
    });
  }
  return state;
}

test("lets as many leave as are allowed, and a few at once after a quiet moment", async () => {
  const clock = createManualClock();
  const pushes = counted(new Pace(1_000, clock), 2_000);
  await clock.settle();
  expect(pushes.gone).toBe(51);
  await clock.advance(100);
  expect(pushes.gone).toBe(151);
  await clock.advance(1_000);
  expect(pushes.gone).toBe(1_151);
  await clock.advance(1_000);
  expect(pushes).toEqual({ gone: 2_000, later: [] });
  expect(clock.timers).toBe(0);
});

test("lets a part of that leave where nodes share", async () => {
  const clock = createManualClock();
  const pushes = counted(new Pace(1_000, clock), 2_000, 4);
  await clock.advance(1_000);
  expect(pushes.gone).toBe(263);
});

test("makes none wait for more than 5 s: it comes again when its turn would be", async () => {
  const clock = createManualClock();
  const pace = new Pace(1, clock);
  const pushes = counted(pace, 8);
  await clock.advance(5_000);
  expect(pushes).toEqual({ gone: 6, later: [5_950, 5_950] });
  const again = counted(pace, 1);
  await clock.advance(950);
  expect(again.gone).toBe(1);
});

test("a push that is given up waits no longer", async () => {
  const clock = createManualClock();
  const pace = new Pace(1, clock);
  await pace.turn(1, forever);
  const controller = new AbortController();
  const turn = pace.turn(1, controller.signal);
  expect(clock.timers).toBe(1);
  controller.abort();
  await turn;
  expect(clock.timers).toBe(0);
});
