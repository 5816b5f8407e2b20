import { expect, test } from "vitest";
import { encodeClientFrame } from "../../src/protocol/codec.ts";
import { helloFrame } from "../gateway/wire.ts";
import type { ConnectionEvents } from "../../src/ports/connection.ts";
import { abreast, FULL, NEWS, oneByOne, upTo } from "./audience.ts";
import { createStage, type Device, type Stage } from "./stage.ts";

// Whoever comes or goes while others are passed together: nothing is lost, nothing comes twice.

/** Somebody like the others who reads the news, and while whose connection is written to something else happens, once. */
async function jumpy({ clock, engine }: Stage, meanwhile: (self: ConnectionEvents) => void): Promise<{ armed: boolean }> {
  const trigger = { armed: false };
  await engine.subscribe("jumpy", NEWS);
  const events = engine.accept({
    send() {
      const now = trigger.armed;
      trigger.armed = false;
      if (now) meanwhile(events);
      return true;
    },
    bufferedAmount: 0,
    close() {},
  }, { url: "/peyk", headers: new Headers(), remoteAddress: undefined });
  events.message(encodeClientFrame(helloFrame("jumpy")));
  await clock.settle();
  events.message(encodeClientFrame({ type: "target", ref: 1, provider: "fake", token: "jumpy", details: null }));
  await clock.settle();
  return trigger;
}

test("connections that end while another one of the group is written to take nothing from the others, and lose nothing", async () => {
  const stage = await abreast(["ada", "bo", "cy", "di"]);
  const { clock, devices, engine, say } = stage;
  const [ada, bo, cy, di] = devices as [Device, Device, Device, Device];
  const trigger = await jumpy(stage, (self) => {
    ada.drop();
    cy.drop();
    // Its own ack, too, may come before the others are written to.
    self.message(encodeClientFrame({ type: "ack", seen: 3, cursors: [], idleMs: null, waiting: 0 }));
  });
  await say("0");
  // These two come behind it in the group.
  for (const device of [cy, di]) for (const visible of [false, true]) device.state(visible);
  await say("1");
  const cursors = di.cursors;
  // Full, and gone before anybody looks how full.
  ada.bufferedAmount = FULL;
  trigger.armed = true;
  const result = await say("2");
  expect(trigger.armed).toBe(false);
  expect((await engine.explain(result))!.counts).toEqual({ "connected.live/alert": 5 });
  const back = await Promise.all(["ada", "cy"].map((user) => stage.device(user, { cursors })));
  await say("3");
  for (const { contents } of back) expect(contents).toEqual(["2", "3"]);
  for (const { contents } of [bo, di]) expect(contents).toEqual(upTo(4));
  await clock.advance(100_000);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("a connection that ends when another one's batch is full harms nobody, and has all of it when it is back", async () => {
  const stage = await abreast(["ada", "cy"]);
  const { clock, devices, engine, say } = stage;
  const [ada, cy] = devices as [Device, Device];
  const trigger = await jumpy(stage, () => cy.drop());
  await say("0");
  // It comes behind the other one in the group.
  for (const visible of [false, true]) cy.state(visible);
  await say("1");
  const { cursors } = cy;
  trigger.armed = true;
  const big = Array.from({ length: 6 }, (_, i) => `${i} ${"x".repeat(60_000)}`);
  await Promise.all(big.map((content) => engine.publish({ ...NEWS, content })));
  await clock.settle();
  expect(trigger.armed).toBe(false);
  const back = await stage.device("cy", { cursors });
  await clock.settle();
  expect([ada.contents.slice(2), back.contents]).toEqual([big, big]);
});

test("who leaves a group while another group is written to gets what was noted for it before, once", async () => {
  const stage = await abreast(["ada", "bo", "cy"]);
  const { devices, say } = stage;
  const [ada, bo, cy] = devices as [Device, Device, Device];
  for (const device of [bo, cy]) device.state(false);
  const trigger = await jumpy(stage, () => bo.state(true));
  await say("0");
  // Now there is a group of those who look, and a second one of those who do not.
  trigger.armed = true;
  await say("1");
  expect(trigger.armed).toBe(false);
  await say("2");
  for (const { contents, offsets } of [ada, bo, cy]) {
    expect(contents).toEqual(upTo(3));
    expect(offsets).toEqual([2, 3, 4]);
  }
});

test("a connection that ends just after it was written to alone is passed with nobody, and the others go on", async () => {
  const stage = await oneByOne(["ada", "bo"]);
  const { clock, devices, say } = stage;
  const [ada, bo] = devices as [Device, Device];
  const trigger = await jumpy(stage, () => ada.drop());
  trigger.armed = true;
  await say("0");
  await say("1");
  expect([ada.contents, bo.contents]).toEqual([["0"], upTo(2)]);
  // Its ack of the first one was still on its way.
  const back = await stage.device("ada");
  await say("2");
  await clock.settle();
  expect([back.contents, bo.contents]).toEqual([upTo(3), upTo(3)]);
});

test("what is somebody's own is decided for each of their devices by name, also where these are abreast", async () => {
  const { clock, device, engine } = await createStage();
  const devices = [await device("ada", { deviceId: "phone" }), await device("ada", { deviceId: "laptop" })];
  for (let i = 0; i < 3; i++) {
    const result = await engine.publish({ to: "ada", content: `${i}` });
    await clock.settle();
    const explained = (await engine.explain(result))!.devices.map(({ events }) => events.map(({ kind }) => kind));
    expect(explained).toEqual([["routed", "seen", "acked"], ["routed", "seen", "acked"]]);
  }
  for (const { contents } of devices) expect(contents).toEqual(upTo(3));
});

test("who drops out of a group is pushed for what it had not seen when it does not come back, and only for that", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  await say("0");
  ada.habit = "mute";
  await say("1");
  await say("2");
  ada.drop();
  await say("3");
  await clock.advance(14_999);
  expect(pushed()).toEqual([]);
  await clock.advance(1);
  expect(pushed()).toEqual(["ada news 3", "ada news 4", "ada news 5"]);
});

test("ephemeral messages reach the whole group once, and move nobody's place in the log", async () => {
  const { devices, engine, say } = await abreast(["ada", "bo"]);
  await say("0");
  await say("1", { ephemeral: true });
  await say("2", { ephemeral: true });
  await say("3");
  for (const { contents, offsets } of devices) {
    expect(contents).toEqual(upTo(4));
    expect(offsets).toEqual([2, 3]);
  }
  expect(engine.counters().diverted).toBe(0);
});

test("those who joined one after the other get ephemeral and logged messages alike", async () => {
  const stage = await abreast(["ada"]);
  const { clock, engine, say } = stage;
  await engine.subscribe("bo", NEWS);
  const bo = await stage.device("bo");
  await say("0", { ephemeral: true });
  // In one tick: an entry, somebody who begins behind it, an ephemeral message, an entry.
  void engine.publish({ ...NEWS, content: "1" });
  const subscribed = engine.subscribe("bo", NEWS);
  void engine.publish({ ...NEWS, content: "2", ephemeral: true });
  void engine.publish({ ...NEWS, content: "3" });
  await subscribed;
  await clock.settle();
  await say("4");
  await say("5", { ephemeral: true });
  expect(stage.devices[0]!.contents).toEqual(upTo(6));
  // What came before it began anew was its former subscription's.
  expect([...new Set(bo.contents)]).toEqual(upTo(6));
  expect(bo.contents).toHaveLength(6);
  expect(bo.closedWith).toBeUndefined();
});

test("who unsubscribes hears nothing more of that channel, all of the others, and may confirm what it had", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo"], { channels: ["news", "sport"] });
  const [ada, bo] = devices as [Device, Device];
  ada.habit = bo.habit = "mute";
  await say("0");
  await say("1", { channel: "sport" });
  void engine.publish({ ...NEWS, content: "2" });
  await engine.unsubscribe("ada", NEWS);
  await say("3");
  await say("4", { channel: "sport" });
  await say("5", { channel: "sport" });
  expect(ada.contents).toEqual(["0", "1", "2", "4", "5"]);
  expect(bo.contents).toEqual(upTo(6));
  ada.ack();
  bo.ack();
  await clock.advance(30_000);
  expect([ada.closedWith, bo.closedWith]).toEqual([undefined, undefined]);
  expect(await engine.sessions("ada")).toMatchObject([{ state: "connected.live" }]);
});

test("who subscribes anew from the beginning reads the log again, then goes on with the others", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo"]);
  const [ada, bo] = devices as [Device, Device];
  for (let i = 0; i < 3; i++) await say(`${i}`);
  await engine.subscribe("ada", { ...NEWS, since: { epoch: 0, offset: 0 }, anew: true });
  await clock.settle();
  await say("3");
  await say("4");
  expect(ada.contents).toEqual(["0", "1", "2", "-", "0", "1", "2", "3", "4"]);
  expect(bo.contents).toEqual(upTo(5));
  await clock.advance(30_000);
  expect([ada.closedWith, bo.closedWith]).toEqual([undefined, undefined]);
});

test("a newer connection of a device takes its place: the former hears nothing more, the newer goes on where the device was", async () => {
  const stage = await abreast(["ada", "bo"]);
  const { devices, say, pushed, clock } = stage;
  const [ada, bo] = devices as [Device, Device];
  ada.habit = "mute";
  await say("0");
  const newer = await stage.device("ada", { habit: "acks" });
  expect(ada.closedWith).toBe(4101);
  await say("1");
  await say("2");
  expect([ada.contents, newer.contents, bo.contents]).toEqual([["0"], upTo(3), upTo(3)]);
  await clock.advance(100_000);
  expect(pushed()).toEqual([]);
  expect(newer.closedWith).toBeUndefined();
});
