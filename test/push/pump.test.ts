import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { Pump } from "../../src/push/pump.ts";

/** Something that can happen next to a pump under test. */
type Step = "read" | "land" | "add";

/** Rows in the queue before the pump is rung, and those that are added one by one while it works. */
interface Scene {
  readonly width: number;
  readonly first: number;
  readonly added: number;
  /** Promise callbacks that run before every other step, and before those between. */
  readonly callbacks: readonly [number, number];
}

/** Runs a pump along one order of steps; where the order has no word for what is next, the first possible step is taken. */
async function play(scene: Scene, order: readonly number[]): Promise<{ choices: number[]; unfinished: number; most: number }> {
  let waiting = scene.first;
  let unfinished = scene.first + scene.added;
  let toAdd = scene.added;
  let underWay = 0;
  let most = 0;
  let read: (() => void) | undefined;
  const flights: (() => void)[] = [];
  const pump = new Pump(scene.width, createManualClock(), (room) =>
    new Promise((resolve) => {
      read = () => {
        read = undefined;
        const count = Math.min(room, waiting);
        waiting -= count;
        underWay += count;
        most = Math.max(most, underWay);
        const begun = Array.from({ length: count }, () =>
          new Promise<void>((land) =>
            flights.push(() => {
              underWay--;
              unfinished--;
              land();
            })
          ));
        resolve({ flights: begun, more: count > 0 });
      };
    }));
  pump.ring();
  const choices: number[] = [];
  for (let at = 0;; at++) {
    for (let callback = scene.callbacks[at % 2]!; callback > 0; callback--) await Promise.resolve();
    let possible = steps();
    if (possible.length === 0) {
      // Nothing is left to happen from outside: what runs by itself gets all the time it wants.
      for (let callback = 0; callback < 50; callback++) await Promise.resolve();
      possible = steps();
      if (possible.length === 0) break;
    }
    choices.push(possible.length);
    const step = possible[order[at] ?? 0]!;
    if (step === "read") read!();
    else if (step === "land") flights.shift()!();
    else {
      toAdd--;
      waiting++;
      pump.ring();
    }
  }
  await pump.close();
  return { choices, unfinished, most };

  function steps(): Step[] {
    return [
      ...(read === undefined ? [] : ["read" as const]),
      ...(flights.length === 0 ? [] : ["land" as const]),
      ...(toAdd === 0 ? [] : ["add" as const]),
    ];
  }
}

const scenes = [1, 2].flatMap((width) =>
  [{ first: 3, added: 0 }, { first: 1, added: 2 }, { first: 0, added: 3 }].flatMap((rows) =>
    Array.from({ length: 36 }, (_, pair): Scene => ({ width, ...rows, callbacks: [Math.floor(pair / 6), pair % 6] }))
  )
);

test("in every order of wake-ups, reads and landings all work is done, and never more at a time than is wanted", async () => {
  let orders = 0;
  for (const scene of scenes) {
    let order: number[] | undefined = [];
    while (order !== undefined) {
      const { choices, unfinished, most } = await play(scene, order);
      orders++;
      const said = `${JSON.stringify(scene)}, order ${order}`;
      expect(unfinished, said).toBe(0);
      expect(most, said).toBeLessThanOrEqual(scene.width);
      order = next(order, choices);
    }
  }
  expect(orders).toBeGreaterThan(5_000);
});

/** The order behind this one, as an odometer counts; undefined: that was the last. */
function next(order: readonly number[], choices: readonly number[]): number[] | undefined {
  const whole = choices.map((_, at) => order[at] ?? 0);
  for (let at = whole.length - 1; at >= 0; at--) {
    if (whole[at]! + 1 < choices[at]!) return [...whole.slice(0, at), whole[at]! + 1];
  }
  return undefined;
}

test("close waits for the look under way, and begins nothing after it", async () => {
  const looks: (() => void)[] = [];
  const pump = new Pump(
    1,
    createManualClock(),
    () => new Promise((resolve) => looks.push(() => resolve({ flights: [], more: true }))),
  );
  pump.ring();
  await Promise.resolve();
  let closed = false;
  const closing = pump.close().then(() => closed = true);
  await Promise.resolve();
  expect(closed).toBe(false);
  looks[0]!();
  await closing;
  pump.ring();
  await Promise.resolve();
  expect(looks).toHaveLength(1);
});

test("what takes longer than a second gives its place up to others, at most so many of them that three times the width is held", async () => {
  const clock = createManualClock();
  const flights: (() => void)[] = [];
  const pump = new Pump(4, clock, (room) => {
    const begun = Array.from({ length: room }, () => new Promise<void>((land) => flights.push(land)));
    return Promise.resolve({ flights: begun, more: false });
  }, 1_000);
  const counts: number[] = [];
  for (let second = 0; second < 6; second++) {
    pump.ring();
    await clock.settle();
    pump.ring();
    await clock.settle();
    counts.push(flights.length);
    await clock.advance(1_000);
  }
  expect(counts).toEqual([4, 8, 12, 16, 16, 16]);
  expect(pump.room).toBe(0);
  const landed = pump.close().then(() => pump.landed());
  for (const land of flights) land();
  await landed;
  expect(clock.timers).toBe(0);
});
