import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/conformance.ts";

test("advance runs timers in order, each at its own time, those set on the way included", async () => {
  const clock = createManualClock(1_000);
  const ran: [string, number][] = [];
  const note = (name: string) => () => void ran.push([name, clock.now()]);
  clock.setTimeout(note("late"), 30);
  clock.setTimeout(note("first"), 10);
  clock.setTimeout(note("first too"), 10);
  clock.setTimeout(() => {
    note("chain")();
    clock.setTimeout(note("link"), 5);
  }, 20);
  clock.setTimeout(note("beyond"), 31);
  await clock.advance(30);
  expect(ran).toEqual([["first", 1_010], ["first too", 1_010], ["chain", 1_020], ["link", 1_025], ["late", 1_030]]);
  expect([clock.now(), clock.elapsed(), clock.timers]).toEqual([1_030, 30, 1]);
});

test("between two timers everything the first one set off settles", async () => {
  const clock = createManualClock();
  const ran: string[] = [];
  clock.setTimeout(() => {
    clock.defer(() => {
      ran.push("deferred");
      void Promise.resolve().then(() => clock.defer(() => void ran.push("deferred by a promise")));
    });
  }, 1);
  clock.setTimeout(() => void ran.push("second timer"), 1);
  await clock.advance(1);
  expect(ran).toEqual(["deferred", "deferred by a promise", "second timer"]);
});

test("a cleared timer does not run, nor does one at a time that was not reached", async () => {
  const clock = createManualClock();
  const ran: string[] = [];
  const timer = clock.setTimeout(() => void ran.push("cleared"), 1);
  clock.setTimeout(() => void ran.push("early"), 10);
  clock.clearTimeout(timer);
  await clock.advance(9.9);
  expect([ran, clock.timers]).toEqual([[], 1]);
  await clock.advance(0.1);
  expect([ran, clock.timers]).toEqual([["early"], 0]);
});

test("nothing runs from inside setTimeout or defer, and deferred tasks need nobody to move time", async () => {
  const clock = createManualClock();
  const ran: string[] = [];
  clock.setTimeout(() => void ran.push("timer"), 0);
  const deferred = new Promise<void>((resolve) =>
    clock.defer(() => {
      ran.push("deferred");
      resolve();
    })
  );
  expect(ran).toEqual([]);
  await deferred;
  expect(ran).toEqual(["deferred"]);
  await clock.advance(0);
  expect(ran).toEqual(["deferred", "timer"]);
});
