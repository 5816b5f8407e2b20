import { expect, test } from "vitest";
import type { OutgoingMessage } from "../../mod.ts";
import { encodeClientFrame } from "../../src/protocol/codec.ts";
import { MAX_UNSEEN } from "../../src/delivery/unseen.ts";
import { helloFrame } from "../gateway/wire.ts";
import { createStage, type Device, type DeviceOptions, type Stage } from "./stage.ts";

// Readers of a public topic who are abreast are passed together from their second message on. Nobody may notice.

const NEWS = { to: "*", channel: "news" };
const FULL = 900_000;
const upTo = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

interface Audience extends Stage {
  readonly devices: Device[];
  /** Publishes on `*\/news` unless told otherwise, and lets it arrive. @returns the id */
  say(content: string, message?: Partial<OutgoingMessage>): Promise<string>;
  pushed(): string[];
}

/** One device per name, with a push target, all of whom just got `"-"` on each channel and are abreast since. */
async function abreast(
  names: readonly string[],
  { channels = ["news"], ...rest }: DeviceOptions & { channels?: string[] } = {},
): Promise<Audience> {
  const stage = await createStage();
  const { engine, clock, provider } = stage;
  const devices: Device[] = [];
  for (const name of names) {
    for (const channel of channels) await engine.subscribe(name, { to: "*", channel });
    devices.push(await stage.device(name, { token: name, ...rest }));
  }
  const say: Audience["say"] = async (content, message) => {
    const { id } = await engine.publish({ ...NEWS, content, ...message });
    await clock.settle();
    return id;
  };
  for (const channel of channels) await say("-", { channel });
  for (const { frames } of devices) frames.length = 0;
  provider.sent.length = 0;
  // Until what watched over these is through.
  await clock.advance(10_000);
  const pushed = (): string[] =>
    provider.sent.map(({ token, notification: { topic, position } }) => `${token} ${topic.slice(2)} ${position.offset}`);
  return { ...stage, devices, say, pushed };
}

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
    ada.send({ type: "ack", seen: 1, cursors: [] });
  }
  await clock.advance(999);
  expect(ada.closedWith).toBeUndefined();
  await clock.advance(1);
  expect([ada.closedWith, bo.closedWith]).toEqual([4002, undefined]);
  expect([ada.contents, bo.contents]).toEqual([upTo(60), upTo(60)]);
});

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

test("the room that is kept for groups costs nobody a message: a burst to somebody who reads seven channels comes whole", async () => {
  const { clock, devices, engine } = await abreast(["ada", "bo"], { channels: [..."abcdefg"] });
  const [ada] = devices as [Device, Device];
  ada.habit = "mute";
  for (let i = 0; i < 300; i++) void engine.publish({ to: "ada", content: `${i}`, live: true });
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

test("a connection that ends while another one of the group is written to takes nothing from the others, and loses nothing", async () => {
  const stage = await abreast(["ada", "bo", "cy"]);
  const { clock, devices, engine, say } = stage;
  const [ada, bo, cy] = devices as [Device, Device, Device];
  await engine.subscribe("trigger", NEWS);
  let armed = false;
  const events = engine.accept({
    send() {
      if (armed) {
        armed = false;
        ada.drop();
        cy.drop();
        // Its own ack, too, may come before the others are written to.
        events.message(encodeClientFrame({ type: "ack", seen: 2, cursors: [] }));
      }
      return true;
    },
    bufferedAmount: 0,
    close() {},
  }, { url: "/peyk", headers: new Headers(), remoteAddress: undefined });
  events.message(encodeClientFrame(helloFrame("trigger")));
  await clock.settle();
  await say("0");
  // Abreast with the others from now on.
  armed = true;
  const id = await say("1");
  expect(bo.contents).toEqual(upTo(2));
  const back = await Promise.all(["ada", "cy"].map((user, i) => {
    const cursors = [{ ...[ada, cy][i]!.of("message")[0]!, topic: "*/news" }].map(({ topic, epoch, offset }) => ({
      topic,
      epoch,
      offset,
    }));
    return stage.device(user, { cursors });
  }));
  await say("2");
  for (const device of back) expect(device.contents).toEqual(["1", "2"]);
  expect(bo.contents).toEqual(upTo(3));
  expect((await engine.explain(id))!.counts["connected.live/alert"]).toBeGreaterThanOrEqual(1);
  await clock.advance(100_000);
  await engine.close();
  expect(clock.timers).toBe(0);
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

test("a group in the background is pushed per message by its rule: alerts now, quiet ones gathered, in-app and live ones never", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"], { visible: false });
  const ids = [
    await say("alert"),
    await say("quiet", { urgency: "low" }),
    await say("in app", { inApp: true }),
    await say("live", { live: true }),
    await say("alert again"),
  ];
  expect(pushed()).toEqual(["ada news 2", "bo news 2", "ada news 5", "bo news 5"]);
  await clock.advance(200_000);
  expect(pushed().slice(4).filter((push) => !push.endsWith("3"))).toEqual([]);
  for (const { contents } of devices) expect(contents).toEqual(["alert", "quiet", "in app", "live", "alert again"]);
  const counts = await Promise.all(ids.map(async (id) => (await engine.explain(id))?.counts));
  expect(counts).toEqual([
    { "backgrounded/alert": 2 },
    { "backgrounded/quiet": 2 },
    { "backgrounded/inApp": 2 },
    undefined,
    { "backgrounded/alert": 2 },
  ]);
});

test("a suspect connection is pushed for each further message at once, and no other of its channel", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo", "cy"]);
  for (const device of devices.slice(0, 2)) device.habit = "mute";
  await say("0");
  await clock.advance(3_000);
  expect(pushed()).toEqual(["ada news 2", "bo news 2"]);
  // From the second one on the two of them are abreast.
  for (let i = 1; i < 4; i++) {
    await say(`${i}`);
    expect(pushed().slice(2 * i)).toEqual([`ada news ${i + 2}`, `bo news ${i + 2}`]);
  }
  await clock.advance(20_000);
  expect(pushed()).toHaveLength(8);
});

test("each device is counted once per message, under the rule of its state when the message came", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo", "cy", "di", "ed"]);
  const [ada, bo, cy, di] = devices as [Device, Device, Device, Device];
  bo.state(false);
  cy.bufferedAmount = FULL;
  di.drop();
  const id = await say("1");
  const rules = { "connected.live/alert": 3, "backgrounded/alert": 1, "disconnected.recent/alert": 1 };
  expect((await engine.explain(id))!.counts).toEqual(rules);
  // Now the slow one reads from the log.
  const next = await say("2");
  expect((await engine.explain(next))!.counts).toEqual(rules);
  cy.drained();
  await clock.settle();
  expect((await engine.explain(next))!.counts).toEqual(rules);
  expect((await engine.explain(id))!.delivered).toBe(4);
  expect(ada.contents).toEqual(["1", "2"]);
});

test("a device whose buffer runs over is closed and counted once", async () => {
  const { devices, engine, say } = await abreast(["ada", "bo"]);
  devices[0]!.bufferedAmount = 3_000_000;
  const id = await say("1");
  expect(devices.map(({ closedWith }) => closedWith)).toEqual([4002, undefined]);
  expect((await engine.explain(id))!.counts).toEqual({ "connected.live/alert": 2 });
  expect(engine.counters().delivered).toBe(2 + 2);
});

test("live messages reach the whole group once, and move nobody's place in the log", async () => {
  const { devices, engine, say } = await abreast(["ada", "bo"]);
  await say("0");
  await say("1", { live: true });
  await say("2", { live: true });
  await say("3");
  for (const { contents, offsets } of devices) {
    expect(contents).toEqual(upTo(4));
    expect(offsets).toEqual([2, 3]);
  }
  expect(engine.counters().diverted).toBe(0);
});

test("those who joined one after the other get live and logged messages alike", async () => {
  const stage = await abreast(["ada"]);
  const { clock, engine, say } = stage;
  await engine.subscribe("bo", NEWS);
  const bo = await stage.device("bo");
  await say("0", { live: true });
  // In one tick: an entry, somebody who begins behind it, a live message, an entry.
  void engine.publish({ ...NEWS, content: "1" });
  const subscribed = engine.subscribe("bo", NEWS);
  void engine.publish({ ...NEWS, content: "2", live: true });
  void engine.publish({ ...NEWS, content: "3" });
  await subscribed;
  await clock.settle();
  await say("4");
  await say("5", { live: true });
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

test("who subscribes anew from the beginning reads the log again, then goes on with the others", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo"]);
  const [ada, bo] = devices as [Device, Device];
  for (let i = 0; i < 3; i++) await say(`${i}`);
  await engine.subscribe("ada", { ...NEWS, since: { epoch: 0, offset: 0 } });
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

test("a target that comes or goes changes what is pushed from the next message on, and nothing else", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"], { visible: false });
  const [ada, bo] = devices as [Device, Device];
  await say("0");
  await ada.request({ type: "target", ref: 0, provider: "fake", token: null });
  await say("1");
  await say("2");
  await ada.request({ type: "target", ref: 0, provider: "fake", token: "ada" });
  await say("3");
  await clock.advance(100_000);
  expect(pushed().filter((push) => push.startsWith("ada"))).toEqual(["ada news 2", "ada news 5"]);
  expect(pushed().filter((push) => push.startsWith("bo"))).toEqual(["bo news 2", "bo news 3", "bo news 4", "bo news 5"]);
  for (const device of [ada, bo]) expect(device.contents).toEqual(upTo(4));
});

test("who goes to the background and back while messages flow gets each once, and a push for each that came meanwhile", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  for (let i = 0; i < 12; i++) {
    if (i % 4 === 1) ada.state(false);
    if (i % 4 === 3) ada.state(true);
    await say(`${i}`);
    await clock.advance(100);
  }
  await clock.advance(100_000);
  for (const { contents } of devices) expect(contents).toEqual(upTo(12));
  expect(pushed()).toEqual([1, 2, 5, 6, 9, 10].map((i) => `ada news ${i + 2}`));
});

test("who comes to the foreground is live, in a group before or not, until something new is late", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"], { visible: false });
  const [ada] = devices as [Device, Device];
  ada.habit = "mute";
  await say("0");
  await clock.advance(2_000);
  await say("1");
  await clock.advance(2_000);
  ada.state(true);
  await clock.advance(0);
  expect(await engine.sessions("ada")).toMatchObject([{ state: "connected.live" }]);
  ada.ack();
  await say("2");
  ada.ack();
  await clock.advance(10_000);
  expect(pushed().filter((push) => push.startsWith("ada"))).toEqual(["ada news 2", "ada news 3"]);
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

test("closing the engine while groups are watched leaves no timer", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo", "cy"], { channels: ["news", "sport"] });
  devices[0]!.habit = "mute";
  devices[1]!.state(false);
  for (let i = 0; i < 3; i++) await say(`${i}`, { channel: i === 1 ? "sport" : "news" });
  await clock.advance(1_000);
  await engine.close();
  expect(clock.timers).toBe(0);
});
