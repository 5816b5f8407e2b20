import { expect, test } from "vitest";
import { abreast, FULL, oneByOne, upTo } from "./audience.ts";
import type { Device } from "./stage.ts";

// Connections that take less than the others of their group.

test("a slow reader leaves the group and gets everything once and in order; the others notice nothing", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo", "cy"]);
  const [ada, bo, cy] = devices as [Device, Device, Device];
  bo.bufferedAmount = FULL;
  for (let i = 0; i < 5; i++) await say(`${i}`);
  expect([ada.contents, cy.contents]).toEqual([upTo(5), upTo(5)]);
  // The one after which the connection had said that more waits than usual.
  expect(bo.contents).toEqual(upTo(1));
  expect(engine.counters().diverted).toBe(1);
  bo.drained();
  await clock.settle();
  expect(bo.contents).toEqual(upTo(5));
  for (let i = 5; i < 8; i++) await say(`${i}`);
  for (const { contents, offsets } of devices) {
    expect(contents).toEqual(upTo(8));
    expect(offsets).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  }
  expect(engine.counters().diverted).toBe(1);
});

test("a connection that is full before it is abreast with anybody gets the rest when it has drained", async () => {
  const { clock, devices, engine, say } = await oneByOne(["ada", "bo"]);
  const [ada, bo] = devices as [Device, Device];
  bo.bufferedAmount = FULL;
  for (let i = 0; i < 5; i++) await say(`${i}`);
  expect([ada.contents, bo.contents]).toEqual([upTo(5), upTo(1)]);
  expect(engine.counters().diverted).toBe(1);
  bo.drained();
  await clock.settle();
  expect(bo.contents).toEqual(upTo(5));
});

test("a connection that says that something waits, but not much, stays where it is", async () => {
  const { devices, engine, say } = await abreast(["ada", "bo"]);
  devices[0]!.bufferedAmount = 100_000;
  for (let i = 0; i < 5; i++) await say(`${i}`);
  for (const { contents } of devices) expect(contents).toEqual(upTo(5));
  expect(engine.counters().diverted).toBe(0);
});

test("a group that is written to over merged batches loses its slow ones as well", async () => {
  const { clock, devices, engine } = await abreast(["ada", "bo"], { channels: ["news", "sport"] });
  const [ada, bo] = devices as [Device, Device];
  ada.bufferedAmount = FULL;
  const burst = (): Promise<unknown> =>
    Promise.all(["news", "sport", "news"].map((channel) => engine.publish({ to: "*", channel, content: channel })));
  await burst();
  await clock.settle();
  await burst();
  await clock.settle();
  expect([ada.contents.length, bo.contents.length]).toEqual([3, 6]);
  ada.drained();
  await clock.settle();
  for (const topic of ["*/news", "*/sport"]) {
    const offsets = (device: Device): number[] => device.messages.filter((m) => m.topic === topic).map(({ offset }) => offset);
    expect(offsets(ada)).toEqual(offsets(bo));
  }
  expect(ada.contents).toHaveLength(6);
});

test("a device whose buffer runs over is closed and counted once", async () => {
  const { devices, engine, say } = await abreast(["ada", "bo"]);
  devices[0]!.bufferedAmount = 3_000_000;
  const result = await say("1");
  expect(devices.map(({ closedWith }) => closedWith)).toEqual([4002, undefined]);
  expect((await engine.explain(result))!.counts).toEqual({ "connected.live/alert": 2 });
  expect(engine.counters().delivered).toBe(2 + 2);
});
