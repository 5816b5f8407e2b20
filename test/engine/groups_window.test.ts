import { expect, test } from "vitest";
import { CHAIN_ROOM, MAX_UNSEEN } from "../../src/delivery/unseen.ts";
import { abreast, NEWS, oneByOne, upTo } from "./audience.ts";
import type { Device } from "./stage.ts";

// What is unseen of those who are passed together: never too much, and in the order in which it left.

test(`of ${MAX_UNSEEN} unseen frames there is never one more, whatever channels and bursts they come from, and acks bring the rest`, async () => {
  const channels = ["a", "b", "c", "d", "e"];
  const { clock, devices, engine } = await abreast(["mute", "quick"], { channels });
  const [mute, quick] = devices as [Device, Device];
  mute.habit = "mute";
  let sent = 0;
  for (let round = 0; sent < 2.6 * MAX_UNSEEN; round++) {
    const burst = [1, 1, 7, 40, 1, 130][round % 6]!;
    const several = round % 4 === 3;
    for (let i = 0; i < burst; i++, sent++) {
      const channel = channels[(several ? i : round) % channels.length]!;
      void engine.publish({ to: "*", channel, content: `${sent}` });
    }
    await clock.settle();
    expect(mute.contents.length).toBeLessThanOrEqual(MAX_UNSEEN);
  }
  expect(mute.contents.length).toBeGreaterThan(0.7 * MAX_UNSEEN);
  expect(quick.contents).toHaveLength(sent);
  let confirmed = mute.contents.length + channels.length;
  for (let acks = 0; mute.contents.length < sent && acks < 20; acks++) {
    const before = mute.contents.length;
    mute.ack([], confirmed);
    await clock.settle();
    expect(mute.contents.length - before).toBeLessThanOrEqual(MAX_UNSEEN);
    confirmed += mute.contents.length - before;
  }
  for (const channel of channels) {
    const of = (device: Device): number[] => device.messages.filter((m) => m.topic === `*/${channel}`).map((m) => m.offset);
    expect(of(mute)).toEqual(of(quick));
  }
  expect([mute.closedWith, quick.closedWith]).toEqual([undefined, undefined]);
});

test(`who has ${MAX_UNSEEN - 10} frames unseen already gets ten of a burst, and the rest with the acks`, async () => {
  const { clock, devices, engine, say } = await oneByOne(["ada", "bo"]);
  const [ada, bo] = devices as [Device, Device];
  ada.habit = "mute";
  for (let i = 0; i < MAX_UNSEEN - 10; i++) void engine.publish({ to: "ada", content: "own" });
  await clock.settle();
  const news = (): (string | undefined)[] => ada.contents.filter((content) => content !== "own");
  await say("0");
  for (let i = 1; i < 100; i++) void engine.publish({ ...NEWS, content: `${i}` });
  await clock.settle();
  expect(bo.contents).toEqual(upTo(100));
  expect(news()).toEqual(upTo(10));
  expect(ada.contents).toHaveLength(MAX_UNSEEN);
  ada.ack();
  await clock.settle();
  expect(news()).toEqual(upTo(100));
});

test("a burst to those whose room is just what is kept for one chain fills it to the last frame, and not beyond", async () => {
  const { clock, devices, engine } = await abreast(["ada", "bo"]);
  const [ada, bo] = devices as [Device, Device];
  ada.habit = "mute";
  const burst = async (count: number): Promise<void> => {
    const before = bo.contents.length;
    for (let i = 0; i < count; i++) void engine.publish({ ...NEWS, content: `${before + i}` });
    await clock.settle();
  };
  await burst(MAX_UNSEEN - CHAIN_ROOM);
  await burst(CHAIN_ROOM + 100);
  expect([ada.contents, bo.contents]).toEqual([upTo(MAX_UNSEEN), upTo(MAX_UNSEEN + 100)]);
  ada.ack();
  await clock.settle();
  expect(ada.contents).toEqual(bo.contents);
});

test("the room that is kept for groups costs nobody a message: a burst to somebody who reads seven channels comes whole", async () => {
  const { clock, devices, engine } = await abreast(["ada", "bo"], { channels: [..."abcdefg"] });
  const [ada] = devices as [Device, Device];
  ada.habit = "mute";
  for (let i = 0; i < 300; i++) void engine.publish({ to: "ada", content: `${i}`, ephemeral: true });
  await clock.settle();
  expect(ada.contents).toEqual(upTo(300));
  ada.habit = "acks";
  ada.ack();
  await engine.publish({ to: "*", channel: "a", content: "300" });
  await clock.settle();
  expect(ada.contents).toEqual(upTo(301));
  expect([ada.closedWith, engine.counters().diverted]).toEqual([undefined, 0]);
});

test("frames of several channels are seen in the order in which they left, whether one by one or in bursts", async () => {
  const channels = ["a", "b", "c"];
  const { clock, devices, engine, pushed } = await abreast(["ada", "bo"], { channels });
  const [ada] = devices as [Device, Device];
  ada.habit = "mute";
  let sent = 0;
  for (const burst of [1, 1, 2, 1, 5, 1, 3]) {
    for (let i = 0; i < burst; i++, sent++) {
      void engine.publish({ to: "*", channel: channels[(sent * 2 + burst) % 3]!, content: `${sent}` });
    }
    await clock.settle();
  }
  expect(ada.contents).toHaveLength(14);
  // It has seen the warming up and nine more, in the order in which its connection brought them.
  ada.ack([], 3 + 9);
  await clock.advance(3_000);
  const left = ada.messages.slice(9).map(({ topic, offset }) => `ada ${topic.slice(2)} ${offset}`);
  expect(pushed().sort()).toEqual(left.sort());
});

test("what was read from a log in this tick leaves before what is handed to a group directly", async () => {
  const { clock, devices, engine, pushed } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  await engine.publish({ to: "*", channel: "old", content: "from the log" });
  ada.habit = "mute";
  await engine.subscribe("ada", { to: "*", channel: "old", since: { epoch: 0, offset: 0 } });
  // The page is read without waiting for anything; the tick is not over.
  for (let i = 0; i < 20; i++) await Promise.resolve();
  expect(ada.contents).toEqual([]);
  void engine.publish({ ...NEWS, content: "live" });
  await clock.settle();
  expect(ada.contents).toEqual(["from the log", "live"]);
  ada.ack([], 1 + 1);
  await clock.advance(3_000);
  expect(pushed()).toEqual(["ada news 2"]);
});
