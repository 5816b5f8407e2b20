import { expect, test } from "vitest";
import { memory, type SessionRecord, type Storage, type TopicListener, type Transport, type UserRecord } from "../../mod.ts";
import { positions } from "../../adapters/conformance/records.ts";
import { withProgressOf } from "../../src/delivery/progress.ts";
import { Reader, Session } from "../../src/delivery/session.ts";
import type { Feed } from "../../src/delivery/feed.ts";
import { createStage } from "./stage.ts";

test("offsets rise strictly at each device, and each frame names the offset before it", async () => {
  const { engine, clock, device } = await createStage();
  const phone = await device("sara");
  for (let i = 0; i < 50; i++) await engine.publish({ to: "sara", content: `${i}` });
  await clock.settle();
  const frames = phone.of("message");
  expect(frames.map(({ offset }) => offset)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  expect(frames.map(({ previous }) => previous)).toEqual(Array.from({ length: 50 }, (_, i) => i));
});

test("a user's first device reads the private log from its beginning", async () => {
  const { engine, clock, device } = await createStage();
  for (let i = 0; i < 250; i++) await engine.publish({ to: "sara", content: `${i}` });
  const phone = await device("sara");
  await clock.settle();
  expect(phone.of("welcome")[0]?.recovery).toMatchObject([{ topic: "sara/default", offset: 0, recovered: true }]);
  expect(phone.contents).toEqual(Array.from({ length: 250 }, (_, i) => `${i}`));
});

test("a later device begins at the user's furthest cursor", async () => {
  const { engine, clock, device } = await createStage();
  await device("sara", { deviceId: "laptop" });
  await engine.publish({ to: "sara", content: "old" });
  await clock.settle();
  const phone = await device("sara", { deviceId: "phone" });
  await engine.publish({ to: "sara", content: "new" });
  await clock.settle();
  expect(phone.contents).toEqual(["new"]);
});

test("a device that returns goes on after what it acked, whatever was only seen comes again", async () => {
  const { engine, clock, device } = await createStage();
  const before = await device("sara", { habit: "sees" });
  for (const content of ["one", "two", "three"]) await engine.publish({ to: "sara", content });
  await clock.settle();
  before.ack(before.cursors.map((cursor) => ({ ...cursor, offset: 1 })));
  before.drop();
  const after = await device("sara");
  await clock.settle();
  expect(after.contents).toEqual(["two", "three"]);
});

test("the device's own cursor counts where the store lags behind", async () => {
  const { engine, clock, device } = await createStage();
  const before = await device("sara", { habit: "mute" });
  for (const content of ["one", "two", "three"]) await engine.publish({ to: "sara", content });
  await clock.settle();
  const cursors = before.cursors.map((cursor) => ({ ...cursor, offset: 2 }));
  before.drop();
  const after = await device("sara", { cursors });
  await clock.settle();
  expect(after.contents).toEqual(["three"]);
});

test("catching up joins live with no gap and no overlap while messages keep coming", async () => {
  const { engine, clock, device } = await createStage();
  for (let i = 0; i < 400; i++) await engine.publish({ to: "sara", content: `${i}` });
  const joining = device("sara");
  for (let i = 400; i < 800; i++) {
    await engine.publish({ to: "sara", content: `${i}` });
    if (i % 7 === 0) await Promise.resolve();
  }
  const phone = await joining;
  for (let i = 800; i < 900; i++) await engine.publish({ to: "sara", content: `${i}` });
  await clock.settle();
  expect(phone.contents).toEqual(Array.from({ length: 900 }, (_, i) => `${i}`));
});

test("a return after the log was shortened says that recovery was not whole, and goes on with what is left", async () => {
  const { engine, clock, device } = await createStage({ storage: memory({ retention: { maxEntries: 10 } }) });
  const before = await device("sara");
  await engine.publish({ to: "sara", content: "0" });
  await clock.settle();
  before.drop();
  for (let i = 1; i <= 30; i++) await engine.publish({ to: "sara", content: `${i}` });
  const after = await device("sara");
  await clock.settle();
  expect(after.of("welcome")[0]?.recovery).toMatchObject([{ topic: "sara/default", offset: 21, recovered: false }]);
  expect(after.contents).toEqual(["21", "22", "23", "24", "25", "26", "27", "28", "29", "30"]);
  expect(engine.counters().gaps).toBe(1);
});

test("a cursor of another epoch is not recovered, and everything that is there comes", async () => {
  const { engine, clock, device } = await createStage();
  await engine.publish({ to: "sara", content: "here" });
  const phone = await device("sara", { cursors: [{ topic: "sara/default", epoch: 1, offset: 17 }] });
  await clock.settle();
  expect(phone.of("welcome")[0]?.recovery).toMatchObject([{ offset: 0, recovered: false }]);
  expect(phone.contents).toEqual(["here"]);
});

test("expired messages are stepped over and counted, which is no hole", async () => {
  const { engine, clock, device } = await createStage();
  const before = await device("sara");
  before.drop();
  await engine.publish({ to: "sara", content: "short", ttl: 1 });
  await engine.publish({ to: "sara", content: "shorter", ttl: 1 });
  await engine.publish({ to: "sara", content: "long" });
  await engine.publish({ to: "sara", content: "last", ttl: 1 });
  await clock.advance(2_000);
  const after = await device("sara");
  await clock.settle();
  expect(after.contents).toEqual(["long"]);
  expect(after.of("welcome")[0]?.recovery[0]?.recovered).toBe(true);
  // Whoever follows `previous` never sees a hole.
  const path = after.frames.filter((frame) => frame.type === "message" || frame.type === "advance");
  expect(path.map(({ type, offset }) => `${type} ${offset}`)).toEqual(["advance 2", "message 3", "advance 4"]);
  const advanced = after.of("advance");
  expect(advanced.reduce((sum, { expired }) => sum + expired, 0)).toBe(3);
  expect(advanced.at(-1)?.offset).toBe(4);
  expect(engine.counters()).toMatchObject({ expired: 3, gaps: 0 });
});

test("a message reaches every device of every subscriber of a public channel", async () => {
  const { engine, clock, device } = await createStage();
  const devices = [];
  for (const user of ["sara", "reza", "mina"]) {
    await engine.subscribe(user, { to: "*", channel: "news" });
    for (const name of ["phone", "laptop"]) devices.push(await device(user, { deviceId: `${user}-${name}` }));
  }
  await engine.publish({ to: "*", channel: "news", content: "all" });
  await clock.settle();
  expect(devices.map(({ contents }) => contents)).toEqual(devices.map(() => ["all"]));
});

test("a publish repeated under the same id is answered with the first receipt and delivered once", async () => {
  const { engine, clock, device } = await createStage();
  const phone = await device("sara");
  const first = await engine.publish({ to: "sara", id: "x", content: "one" });
  const second = await engine.publish({ to: "sara", id: "x", content: "two" });
  const other = await engine.publish({ to: "sara", id: "x", content: "by reza", from: "reza" });
  await clock.settle();
  expect(first.duplicate).toBe(false);
  expect(second).toMatchObject({ duplicate: true, position: first.position });
  expect(other.duplicate).toBe(false);
  expect(phone.contents).toEqual(["one", "by reza"]);
  expect(engine.counters()).toMatchObject({ accepted: 2, duplicates: 1 });
});

test("an id is remembered for a day", async () => {
  const { engine, clock } = await createStage();
  await engine.publish({ to: "sara", id: "x" });
  await clock.advance(24 * 3600_000 - 1);
  expect((await engine.publish({ to: "sara", id: "x" })).duplicate).toBe(true);
  await clock.advance(2);
  expect((await engine.publish({ to: "sara", id: "x" })).duplicate).toBe(false);
});

test("a slow reader is left to the log and loses nothing, the others notice nothing", async () => {
  const { engine, clock, device } = await createStage();
  for (const user of ["slow", "fast"]) await engine.subscribe(user, { to: "*", channel: "news" });
  const slow = await device("slow", { habit: "mute" });
  const fast = await device("fast");
  for (let i = 0; i < 2_500; i++) await engine.publish({ to: "*", channel: "news", content: `${i}` });
  await clock.settle();
  expect(fast.offsets).toHaveLength(2_500);
  expect(slow.offsets).toHaveLength(2_000);
  expect(engine.counters().diverted).toBeGreaterThan(0);
  slow.habit = "acks";
  slow.ack();
  await clock.settle();
  expect(slow.offsets).toEqual(fast.offsets);
});

test("a connection whose kernel buffer is full gets nothing more until it has drained", async () => {
  const { engine, clock, device } = await createStage();
  const phone = await device("sara");
  phone.bufferedAmount = 2 ** 20;
  await engine.publish({ to: "sara", content: "first" });
  await clock.settle();
  for (let i = 0; i < 20; i++) await engine.publish({ to: "sara", content: `${i}` });
  await clock.settle();
  expect(phone.contents).toEqual(["first"]);
  phone.drained();
  await clock.settle();
  expect(phone.contents.slice(1)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
});

test("a connection that ends in the middle of what is written to it takes nobody else's messages with it, and gets its own later", async () => {
  const { engine, clock, device, provider } = await createStage();
  const phone = await device("sara", { token: "t" });
  const other = await device("nima");
  phone.bufferedAmount = 3_000_000;
  const ids = Array.from({ length: 40 }, (_, index) => `${index}`);
  await Promise.all(ids.flatMap((id) => ["sara", "nima"].map((to) => engine.publish({ to, id, content: "x".repeat(60_000) }))));
  await clock.settle();
  expect(phone.closedWith).toBe(4002);
  expect(other.messages.map(({ id }) => id)).toEqual(ids);
  await clock.advance(60_000);
  expect(provider.sent.length).toBeGreaterThan(0);
  const back = await device("sara");
  expect(back.messages.map(({ id }) => id)).toEqual(ids);
  await engine.close();
});

test("a reader that makes no progress for a minute is closed, told to come back, and decided for", async () => {
  const { engine, clock, device, provider } = await createStage();
  const phone = await device("sara", { habit: "mute", token: "t" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(59_999);
  expect(phone.closedWith).toBeUndefined();
  await clock.advance(1);
  expect(phone.closedWith).toBe(4002);
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(1);
});

test("the minute without progress begins with a burst when there was nothing to confirm before it", async () => {
  const { engine, clock, device } = await createStage({ heartbeatMs: 600_000 });
  const phone = await device("sara");
  await clock.advance(120_000);
  phone.habit = "mute";
  for (const content of ["one", "two", "three"]) void engine.publish({ to: "sara", content });
  await clock.advance(59_999);
  expect(phone.closedWith).toBeUndefined();
  await clock.advance(1);
  expect(phone.closedWith).toBe(4002);
});

test("what waits in the log for a connection that turns out dead is pushed as well", async () => {
  const { engine, clock, device, provider } = await createStage({ policy: { coalesceMs: 0 } });
  const phone = await device("sara", { habit: "mute", token: "t" });
  for (let i = 0; i < 1_100; i++) await engine.publish({ to: "sara", content: `${i}` });
  await clock.advance(3_000);
  // The first ones with their own words, all others as part of one, which counts up to a hundred.
  expect(provider.sent.map(({ notification: { waiting } }) => waiting)).toEqual([...Array<number>(20).fill(1), 101]);
  expect(provider.sent.at(-1)!.notification.position.offset).toBe(1_100);
  // It was decided, for when the device leaves too.
  phone.drop();
  await clock.advance(60_000);
  expect(provider.sent).toHaveLength(21);
});

test("when somebody leaves a public channel the others go on reading it", async () => {
  const { engine, clock, device } = await createStage();
  const devices = [];
  for (const user of ["a", "b", "c"]) {
    await engine.subscribe(user, { to: "*", channel: "news" });
    devices.push(await device(user));
  }
  await engine.unsubscribe("a", { to: "*", channel: "news" });
  await engine.publish({ to: "*", channel: "news", content: "still here" });
  await clock.settle();
  expect(devices.map(({ contents }) => contents)).toEqual([[], ["still here"], ["still here"]]);
});

test("progress of a former attachment is not written over a newer one's", () => {
  const stored: SessionRecord = { deviceId: "phone", generation: 2, node: "n", changedAt: 0, targets: [] };
  const topic = "sara/default";
  const record: UserRecord = {
    ...{ userId: "sara", version: 1, seenAt: 0, sessions: [stored], positions: positions() },
    subscriptions: { [topic]: { epoch: 1, offset: 0 } },
  };
  const written = (former: Partial<SessionRecord>, known = record): UserRecord => {
    const session = new Session("sara", { ...stored, ...former }, 0);
    const progress = { epoch: 1, from: 0, acked: 3, shown: 3, decided: 3 };
    session.readers = [new Reader(session, { topic } as Feed<Reader>, progress)];
    return withProgressOf(known, session);
  };
  const once = written({});
  expect(once.positions.progress["phone"]?.[topic]).toMatchObject({ acked: 3 });
  expect(written({}, once), "the second time it says nothing new").toBe(once);
  expect(written({ generation: 1 })).toBe(record);
  expect(written({ node: "another" })).toBe(record);
});

test("whoever joins in the middle of a burst gets and counts for what came after that, and for nothing else", async () => {
  const { engine, clock, device } = await createStage();
  await engine.subscribe("early", { to: "*", channel: "news" });
  const [early, late] = [await device("early"), await device("late")];
  const publish = (content: string) => engine.publish({ to: "*", channel: "news", content });
  const [first] = [await publish("1"), await publish("2"), await publish("3")];
  await engine.subscribe("late", { to: "*", channel: "news" });
  const [, last] = [await publish("4"), await publish("5")];
  await clock.settle();
  expect([early.contents, late.contents]).toEqual([["1", "2", "3", "4", "5"], ["4", "5"]]);
  expect((await engine.explain(first!))?.counts).toEqual({ "connected.live/alert/no-target": 1 });
  expect((await engine.explain(last!))?.counts).toEqual({ "connected.live/alert/no-target": 2 });
});

test("where nothing is kept, devices are told of what a transport missed, and that they were not recovered", async () => {
  const listeners: TopicListener[] = [];
  const forgetful: Storage = {
    async open(context) {
      const { history: _history, work: _work, transport, ...rest } = await memory().open(context);
      const live: Transport = {
        durable: false,
        async publish(topic, bytes) {
          transport.signal(topic, bytes);
          return await Promise.resolve({ position: null, duplicate: false, durability: "memory" as const });
        },
        async subscribe(topic, listener) {
          listeners.push(listener);
          return await transport.subscribe(topic, listener);
        },
        signal: (topic, bytes) => transport.signal(topic, bytes),
      };
      return { ...rest, transport: live };
    },
  };
  const { engine, clock, device } = await createStage({ storage: forgetful });
  const first = await device("sara");
  await engine.publish({ to: "sara", content: "hello" });
  await clock.settle();
  expect(first.contents).toEqual(["hello"]);
  listeners.forEach((listener) => listener.gap());
  await clock.settle();
  expect(first.of("gap").map(({ topic }) => topic)).toEqual(["sara/default"]);
  first.drop();
  const second = await device("sara");
  expect(second.of("welcome")[0]!.recovery.map(({ recovered }) => recovered)).toEqual([false]);
  expect(engine.counters().gaps).toBe(2);
});
