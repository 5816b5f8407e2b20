import { afterEach, expect, test } from "vitest";
import { createStage, type Device, type Stage } from "./stage.ts";

// A device that sees in time what it is sent, and whose app is slow: it is not closed, not pushed to, and not sent more than 2,000 ahead.

const stages: Stage[] = [];

afterEach(async () => {
  for (const { engine } of stages.splice(0)) await engine.close();
});

const AHEAD = 2_000;
const room = { to: "*", channel: "room" } as const;

async function waiter(): Promise<Stage & { phone: Device }> {
  const stage = await createStage();
  stages.push(stage);
  const phone = await stage.device("sara", { habit: "waits", token: "phone" });
  return { ...stage, phone };
}

async function say(
  { engine, clock }: Stage,
  count: number,
  to: { to: string; channel?: string } = { to: "sara" },
): Promise<void> {
  const all = Array.from({ length: count }, (_, i) => engine.publish({ ...to, content: `${i}` }));
  await Promise.all(all);
  await clock.settle();
}

test("2,000 entries are sent ahead of the app, the rest stays in the log; it comes as the app makes room, each once, in order", async () => {
  const stage = await waiter();
  const { clock, phone, provider } = stage;
  await say(stage, 5_000);
  expect([phone.offsets.length, phone.waiting]).toEqual([AHEAD, AHEAD]);
  phone.handle(999);
  await clock.settle();
  expect(phone.offsets).toHaveLength(AHEAD);
  for (let round = 0; phone.waiting > 0; round++) {
    expect(round).toBeLessThan(20);
    phone.handle(500);
    await clock.settle();
    expect(phone.waiting).toBeLessThanOrEqual(AHEAD);
  }
  expect(phone.offsets).toEqual(Array.from({ length: 5_000 }, (_, i) => i + 1));
  await clock.advance(60_000);
  expect([phone.closedWith, provider.sent]).toEqual([undefined, []]);
});

test("a message that comes is not pushed, and comes once, while the app has no room for minutes and the client goes on acking", async () => {
  const stage = await waiter();
  const { clock, phone, provider } = stage;
  await say(stage, AHEAD + 100);
  for (let minute = 0; minute < 10; minute++) {
    await say(stage, 1);
    for (let second = 0; second < 60; second++) await clock.advance(1_000);
  }
  expect([phone.closedWith, provider.sent, phone.offsets.length]).toEqual([undefined, [], AHEAD]);
  phone.handle(AHEAD);
  await clock.settle();
  expect(phone.offsets).toEqual(Array.from({ length: AHEAD + 110 }, (_, i) => i + 1));
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
});

test.each(["before", "after"])(
  "a socket that goes silent while its app has no room is suspect: a message that comes %s is pushed",
  async (when) => {
    const stage = await waiter();
    const { clock, engine, phone, provider } = stage;
    await say(stage, AHEAD);
    if (when === "before") await engine.publish({ to: "sara", id: "late" });
    await clock.advance(10_000);
    expect(provider.sent).toEqual([]);
    phone.habit = "mute";
    if (when === "after") await engine.publish({ to: "sara", id: "late" });
    // It is asked every 3 s, and has 3 s to answer.
    for (let second = 0; second < 7; second++) await clock.advance(1_000);
    expect(provider.sent.map(({ notification }) => notification.id)).toEqual(["late"]);
    expect((await engine.sessions("sara"))[0]?.state).toBe("connected.suspect");
  },
);

test("a silent socket that answers again is trusted again: what comes then is not pushed, what was pushed is not pushed twice", async () => {
  const stage = await waiter();
  const { clock, engine, phone, provider } = stage;
  await say(stage, AHEAD);
  phone.habit = "mute";
  await engine.publish({ to: "sara", id: "pushed" });
  for (let second = 0; second < 7; second++) await clock.advance(1_000);
  expect(provider.sent).toHaveLength(1);
  phone.habit = "waits";
  phone.ack();
  await clock.settle();
  expect((await engine.sessions("sara"))[0]?.state).toBe("connected.live");
  await engine.publish({ to: "sara", id: "not pushed" });
  for (let second = 0; second < 20; second++) await clock.advance(1_000);
  phone.handle(AHEAD);
  for (let second = 0; second < 20; second++) await clock.advance(1_000);
  expect(phone.messages.slice(AHEAD).map(({ id }) => id)).toEqual(["pushed", "not pushed"]);
  expect(provider.sent).toHaveLength(1);
});

test("who waits for its app is asked for a sign of life every 3 s at most, and nobody who has room", async () => {
  const stage = await waiter();
  const { clock, phone } = stage;
  await say(stage, AHEAD + 1);
  const pings = () => phone.of("ping").length;
  const before = pings();
  for (let second = 0; second < 20; second++) {
    await clock.advance(1_000);
    phone.ack();
  }
  expect(pings() - before).toBeGreaterThanOrEqual(6);
  expect(pings() - before).toBeLessThanOrEqual(8);
  phone.handle(AHEAD + 1);
  await clock.advance(3_000);
  const after = pings();
  await clock.advance(18_000);
  expect(pings() - after).toBeLessThanOrEqual(1);
});

test("it is asked too when what was overdue has been seen at last", async () => {
  const stage = await waiter();
  const { clock, phone } = stage;
  phone.habit = "mute";
  await say(stage, AHEAD + 1);
  await clock.advance(4_000);
  phone.habit = "waits";
  phone.ack();
  const before = phone.of("ping").length;
  await clock.advance(3_500);
  expect(phone.of("ping").length).toBeGreaterThan(before);
});

test("a lost connection while entries wait in the log: they are pushed when the grace is over, and come with the next one, which begins at 0", async () => {
  const stage = await waiter();
  const { clock, phone, provider } = stage;
  await say(stage, AHEAD + 3);
  phone.handle(10);
  phone.drop();
  await clock.advance(16_000);
  const pushed = provider.sent.reduce((sum, { notification }) => sum + notification.waiting, 0);
  expect(pushed).toBeGreaterThan(0);
  const again = await stage.device("sara", { habit: "waits", cursors: [{ ...phone.of("message")[9]! }] });
  expect(again.offsets).toEqual(Array.from({ length: AHEAD - 7 }, (_, i) => i + 11));
  expect(again.waiting).toBe(AHEAD - 7);
});

test("a topic whose app hangs holds up no other one: its entries come, and so does what is in no log", async () => {
  const stage = await waiter();
  const { clock, engine, phone } = stage;
  await engine.subscribe("sara", room);
  await clock.settle();
  await say(stage, AHEAD + 500);
  expect(phone.waiting).toBe(AHEAD);
  const news = () => phone.messages.filter(({ topic }) => topic === "*/room").length;
  await say(stage, 1, room);
  expect(news()).toBe(1);
  await say(stage, 200, room);
  expect(news()).toBe(1); // Its app is busy with the first one.
  for (let round = 0; news() < 201 || phone.waiting > AHEAD; round++) {
    expect(round).toBeLessThan(10);
    phone.handle(100, "*/room");
    await clock.settle();
    expect(phone.waiting).toBeLessThanOrEqual(AHEAD + 32);
  }
  await engine.publish({ to: "sara", content: "now", ephemeral: true });
  await clock.settle();
  expect(phone.of("ephemeral")).toHaveLength(1);
  expect(phone.closedWith).toBeUndefined();
});

test("that room is for who sees what it is sent, and whose connection takes it", async () => {
  const stage = await waiter();
  const { clock, engine, phone } = stage;
  await engine.subscribe("sara", room);
  phone.habit = "mute";
  await say(stage, AHEAD);
  await say(stage, 5, room);
  expect(phone.offsets).toHaveLength(AHEAD);
  phone.habit = "waits";
  phone.ack();
  await clock.settle();
  phone.handle(5, "*/room");
  await clock.settle();
  expect([phone.offsets.length, phone.waiting]).toEqual([AHEAD + 5, AHEAD]);
  // More than the kernel takes, noticed with the next write.
  phone.bufferedAmount = 1.5 * 1024 * 1024;
  for (let i = 0; i < 6; i++) {
    void engine.publish({ ...room, content: "x".repeat(60_000), urgency: i % 2 === 0 ? "low" : "normal" });
  }
  await clock.settle();
  expect(phone.offsets.length).toBeLessThan(AHEAD + 5 + 6);
  phone.drained();
  phone.ack();
  for (let round = 0; round < 5; round++) {
    phone.handle(AHEAD);
    await clock.settle();
  }
  expect(phone.offsets).toHaveLength(AHEAD + 11);
  expect(phone.closedWith).toBeUndefined();
});

test("many topics at once: 2,000 ahead over all of them, and a little of each where nothing waits", async () => {
  const stage = await waiter();
  const { clock, engine, phone, provider } = stage;
  const rooms = Array.from({ length: 10 }, (_, i) => ({ to: "*", channel: `room ${i}` }));
  for (const one of rooms) await engine.subscribe("sara", one);
  await clock.settle();
  for (const one of rooms) await say(stage, 500, one);
  expect(phone.waiting).toBeLessThanOrEqual(AHEAD + 10 * 32);
  for (let round = 0; phone.waiting > 0; round++) {
    expect(round).toBeLessThan(100);
    phone.handle(300);
    await clock.settle();
    expect(phone.waiting).toBeLessThanOrEqual(AHEAD + 10 * 32);
  }
  for (const { channel } of rooms) {
    const offsets = phone.messages.filter(({ topic }) => topic === `*/${channel}`).map(({ offset }) => offset);
    expect(offsets).toEqual(Array.from({ length: 500 }, (_, i) => i + 1));
  }
  expect(provider.sent).toEqual([]);
});

test("those who read a room together leave the group when their app is slow, and come back to it", async () => {
  const stage = await waiter();
  const { clock, engine, phone } = stage;
  const quick = await stage.device("omid");
  for (const user of ["sara", "omid"]) await engine.subscribe(user, room);
  await clock.settle();
  for (let i = 0; i < 30; i++) {
    await say(stage, 100, room);
    expect(phone.waiting).toBeLessThanOrEqual(AHEAD);
  }
  expect(quick.offsets).toHaveLength(3_000);
  phone.handle(AHEAD);
  await clock.settle();
  phone.handle(AHEAD);
  await say(stage, 10, room);
  expect(phone.offsets).toEqual(quick.offsets);
});

test.each([
  ["more than it has seen", 11, "bad-order"],
  ["all that it has seen", 10, undefined],
])("a client that says that %s waits", async (_name, waiting, code) => {
  const stage = await waiter();
  const { clock, phone } = stage;
  await say(stage, 10);
  phone.send({ type: "ack", seen: 10, cursors: [], idleMs: null, waiting });
  await clock.settle();
  expect(phone.of("error")[0]?.code).toBe(code);
  expect(phone.closedWith).toBe(code && 4102);
});
