import { expect, test } from "vitest";
import { createBench } from "./wire.ts";

test("a silent connection is asked every heartbeat, and given up as lost after two without a word", async () => {
  const { clock, engine, open, state } = await createBench({ heartbeatMs: 10_000 });
  const sara = await open("sara");
  await clock.advance(10_000);
  expect(sara.of("ping")).toHaveLength(1);
  await clock.advance(10_000);
  expect(sara.of("ping")).toHaveLength(2);
  await clock.advance(9_999);
  expect(sara.closedWith).toBeUndefined();
  await clock.advance(1);
  expect(sara.closedWith).toBe(4004);
  expect(sara.late).toBe(0);
  expect(await state("sara")).toBe("disconnected.recent");
  expect(engine.counters().connections).toBe(0);
});

test("whoever comes in the middle of a heartbeat is asked within one, and given up after two to three", async () => {
  const { clock, open } = await createBench({ heartbeatMs: 10_000 });
  const first = await open("first");
  const alive = (): void => first.send({ type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 });
  for (let i = 0; i < 30; i++) {
    await clock.advance(330);
    const sara = await open(`user${i}`);
    await clock.advance(9_200);
    expect(sara.of("ping")).toHaveLength(0);
    await clock.advance(800);
    expect(sara.of("ping")).toHaveLength(1);
    alive();
    await clock.advance(10_000);
    expect(sara.closedWith).toBeUndefined();
    alive();
    await clock.advance(10_000);
    expect(sara.closedWith).toBe(4004);
  }
  expect(first.closedWith).toBeUndefined();
});

test("an answer keeps a connection for ever", async () => {
  const { clock, open, state } = await createBench({ heartbeatMs: 10_000 });
  const sara = await open("sara");
  for (let i = 1; i <= 30; i++) {
    await clock.advance(10_000);
    expect(sara.of("ping")).toHaveLength(i);
    if (i % 2 === 0) sara.send({ type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 });
  }
  expect(sara.closedWith).toBeUndefined();
  expect(await state("sara")).toBe("connected.live");
});

test("pings of many connections are the same bytes, spread over the heartbeat, and one timer serves them all", async () => {
  const { clock, open } = await createBench({ heartbeatMs: 10_000 });
  const before = clock.timers;
  const wires = [];
  for (let i = 0; i < 50; i++) {
    wires.push(await open(`user${i}`));
    await clock.advance(100);
  }
  expect(clock.timers).toBe(before + 1);
  await clock.advance(10_000);
  const pings = wires.map(({ sends }) => sends[1]!);
  expect(new Set(pings).size).toBe(1);
});

test("no timer is left when no connection is, and none at all after close", async () => {
  const { clock, engine, open } = await createBench();
  const before = clock.timers;
  const wires = [await open("sara"), await open("omid")];
  expect(clock.timers).toBe(before + 1);
  for (const connection of wires) connection.leave();
  await clock.settle();
  expect(clock.timers).toBe(before);
  await open("sara");
  const closing = engine.close();
  await clock.settle();
  await closing;
  expect(clock.timers).toBe(0);
});
