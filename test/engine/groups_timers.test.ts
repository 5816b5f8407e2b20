import { expect, test } from "vitest";
import { abreast, FULL, NEWS, upTo } from "./audience.ts";
import type { Device } from "./stage.ts";

// How those who are passed together are watched: one timer for all of them, and nobody is found late any earlier or later.

test("who stops acking is pushed exactly when the ack timeout is over, while the group goes on", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo", "cy"]);
  const [, bo] = devices as [Device, Device, Device];
  await say("1");
  await clock.advance(1_000);
  bo.habit = "mute";
  await say("2");
  await clock.advance(1_500);
  await say("3");
  await clock.advance(1_499);
  expect(pushed()).toEqual([]);
  await clock.advance(1);
  expect(pushed()).toEqual(["bo news 3"]);
  expect((await engine.sessions("bo"))[0]!.state).toBe("connected.suspect");
  await clock.advance(1_499);
  expect(pushed()).toHaveLength(1);
  await clock.advance(1);
  expect(pushed()).toEqual(["bo news 3", "bo news 4"]);
  bo.ack();
  bo.habit = "acks";
  await say("4");
  await clock.advance(10_000);
  expect(pushed()).toHaveLength(2);
  for (const { contents } of devices) expect(contents).toEqual(["1", "2", "3", "4"]);
});

test("what comes just before, or just after, the time of the message that began the watch has its own full time", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"]);
  await say("1");
  for (const device of devices) device.habit = "mute";
  await clock.advance(2_999);
  await say("2");
  await clock.advance(1);
  await say("3");
  await clock.advance(2_998);
  expect(pushed()).toEqual([]);
  await clock.advance(1);
  expect(pushed()).toEqual(["ada news 3", "bo news 3"]);
  await clock.advance(1);
  expect(pushed().slice(2)).toEqual(["ada news 4", "bo news 4"]);
});

test("who was late once and has caught up since is watched as closely as before", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  ada.habit = "mute";
  await say("1");
  await clock.advance(3_000);
  ada.ack();
  await say("2");
  ada.ack();
  await clock.advance(5_000);
  await say("3");
  await clock.advance(2_999);
  expect(pushed()).toEqual(["ada news 2"]);
  await clock.advance(1);
  expect(pushed()).toEqual(["ada news 2", "ada news 4"]);
});

test("what was sent together is late in its own time, though what was sent to somebody alone since is not", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  await engine.subscribe("ada", { to: "*", channel: "sport" });
  ada.habit = "mute";
  await say("0");
  await clock.advance(1_000);
  await say("1", { channel: "sport" });
  await clock.advance(1_999);
  expect(pushed()).toEqual([]);
  await clock.advance(1);
  expect(pushed()).toEqual(["ada news 2"]);
  await clock.advance(999);
  expect(pushed()).toHaveLength(1);
  await clock.advance(1);
  expect(pushed()).toEqual(["ada news 2", "ada sport 1"]);
});

test("what was sent together is watched on for whoever leaves the group before it is seen", async () => {
  for (const leave of ["slow", "other channel"] as const) {
    const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"], { channels: ["news", "sport"] });
    const [ada] = devices as [Device, Device];
    ada.habit = "mute";
    if (leave === "slow") ada.bufferedAmount = FULL;
    await say("1");
    await clock.advance(1_000);
    if (leave === "other channel") await engine.unsubscribe("ada", { to: "*", channel: "sport" });
    expect(pushed(), leave).toEqual([]);
    await clock.advance(1_999);
    expect(pushed(), leave).toEqual([]);
    await clock.advance(1);
    expect(pushed(), leave).toEqual(["ada news 2"]);
  }
});

test.each([true, false])("a minute without a frame seen closes, whatever comes meanwhile (visible: %s)", async (visible) => {
  const { clock, devices, say } = await abreast(["ada", "bo"], { visible });
  const [ada, bo] = devices as [Device, Device];
  ada.habit = "mute";
  await say("0");
  for (let second = 1; second < 60; second++) {
    await clock.advance(1_000);
    await say(`${second}`);
    // It lives, but confirms nothing.
    ada.send({ type: "ack", seen: 1, cursors: [], idleMs: null, waiting: 0 });
  }
  await clock.advance(999);
  expect(ada.closedWith).toBeUndefined();
  await clock.advance(1);
  expect([ada.closedWith, bo.closedWith]).toEqual([4002, undefined]);
  expect([ada.contents, bo.contents]).toEqual([upTo(60), upTo(60)]);
});

test("a minute without a frame seen closes to the millisecond, also when something is found late just before", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo"]);
  const [ada, bo] = devices as [Device, Device];
  ada.state(false);
  ada.habit = "mute";
  await say("0");
  await clock.advance(56_800);
  ada.state(true);
  await clock.advance(100);
  // From this one on it is abreast with the other one, live as it is.
  await say("1");
  await clock.advance(600);
  await say("2");
  await clock.advance(2_400);
  expect(await engine.sessions("ada")).toMatchObject([{ state: "connected.suspect" }]);
  await clock.advance(99);
  expect(ada.closedWith).toBeUndefined();
  await clock.advance(1);
  expect([ada.closedWith, bo.closedWith]).toEqual([4002, undefined]);
});

test("who leaves the channel of what it has not seen is found suspect all the same", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"]);
  devices[0]!.habit = "mute";
  await say("0");
  await clock.advance(1_000);
  await engine.unsubscribe("ada", NEWS);
  await clock.advance(1_999);
  expect(await engine.sessions("ada")).toMatchObject([{ state: "connected.live" }]);
  await clock.advance(1);
  expect(await engine.sessions("ada")).toMatchObject([{ state: "connected.suspect" }]);
  expect(pushed()).toEqual([]);
});

test("a group that has nothing to watch keeps no timer, and neither does one that everybody left", async () => {
  const { clock, devices, say } = await abreast(["ada", "bo"]);
  const idle = clock.timers;
  await say("0");
  expect(clock.timers).toBe(idle + 1);
  await clock.advance(3_000);
  expect(clock.timers).toBe(idle);
  await say("1");
  for (const device of devices) device.leave();
  await clock.settle();
  expect(clock.timers).toBeLessThanOrEqual(idle);
});

test("a group has one timer, whatever it is sent", async () => {
  const { clock, devices, say } = await abreast(["ada", "bo", "cy"]);
  const idle = clock.timers;
  for (const device of devices) device.habit = "mute";
  await say("0");
  await say("1", { ephemeral: true });
  await say("2");
  expect(clock.timers).toBe(idle + 1);
});

test("who drops out of a group has the timer of its grace, and none for what it had not seen", async () => {
  const { clock, devices, say } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  const idle = clock.timers;
  ada.habit = "mute";
  await say("0");
  ada.drop();
  await clock.settle();
  // The other one is the group's.
  expect(clock.timers).toBe(idle + 2);
});

test("closing the engine while groups are watched leaves no timer", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo", "cy"], { channels: ["news", "sport"] });
  devices[0]!.habit = "mute";
  devices[1]!.state(false);
  for (let i = 0; i < 3; i++) await say(`${i}`, { channel: i === 1 ? "sport" : "news" });
  await clock.advance(1_000);
  await engine.close();
  expect(clock.timers).toBe(0);
});
