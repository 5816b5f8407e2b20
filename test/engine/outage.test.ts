import { describe, expect, onTestFinished, test } from "vitest";
import { memory, type Outbox, type PushResult, type PushTarget, type Storage } from "../../mod.ts";
import { createLives, PLACES } from "./lives.ts";
import { createStage, FakeProvider, type Stage } from "./stage.ts";

const SENT: PushResult = { verdict: "sent" };
const DOWN: PushResult = { verdict: "retry", reason: "no", scope: "service" };
const NEWS = { to: "*", channel: "news" };
const SECOND = 1_000;

/** A storage that counts what is written of rows of its outbox, and the most in one call. */
function counted() {
  const counts = { written: 0, most: 0, outbox: undefined as Outbox | undefined };
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { outbox } = opened;
      counts.outbox = outbox;
      for (const name of ["take", "retry", "postpone"] as const) {
        const write = outbox[name].bind(outbox) as (rows: readonly unknown[], ...rest: unknown[]) => never;
        outbox[name] = (rows: readonly unknown[], ...rest: unknown[]) => {
          counts.written += rows.length;
          counts.most = Math.max(counts.most, rows.length);
          return write(rows, ...rest);
        };
      }
      return opened;
    },
  };
  return Object.assign(counts, { storage });
}

/** Phones of users of that name and number that have left, each with its user's name as token. */
async function leave(stage: Stage, name: string, count: number, room?: { to: string; channel: string }): Promise<string[]> {
  const users = Array.from({ length: count }, (_, at) => `${name} ${at}`);
  for (const user of users) {
    if (room !== undefined) await stage.engine.subscribe(user, room);
    (await stage.device(user, { token: user })).leave();
  }
  await stage.clock.settle();
  return users;
}

async function open(options: Parameters<typeof createStage>[0] = {}): Promise<Stage> {
  const stage = await createStage(options);
  onTestFinished(() => stage.engine.close());
  return stage;
}

/** A provider whose lanes are what stands before a token's space. */
function laned(): FakeProvider {
  return Object.assign(new FakeProvider(), { lane: ({ token }: PushTarget) => token.split(" ")[0]! });
}

test("an hour of outage under 100 pushes a second loses none, writes little, and ends with a push for each target", {
  timeout: 120_000,
}, async () => {
  const counts = counted();
  const stage = await open({ storage: counts.storage });
  const { clock, engine, provider } = stage;
  const rooms = Array.from({ length: 10 }, (_, at) => `room ${at}`);
  for (const room of rooms) await leave(stage, room, 100, { to: "*", channel: room });
  provider.verdict = () => DOWN;
  for (let second = 0; second < 3_600; second++) {
    const channel = rooms[second % 10]!;
    void engine.publish({ to: "*", channel, content: "hi", id: `${second}`, ttl: 2 * 3_600 });
    await clock.advance(SECOND);
  }
  // A probe a minute, after those of the first minute.
  expect(provider.sent.length).toBeLessThan(500);
  // Of each target four rows wait in the end: three messages, and all that came after them.
  expect(counts.written / engine.counters().pushesQueued).toBeLessThan(3);
  expect(counts.most).toBeLessThanOrEqual(4_096);

  provider.verdict = () => SENT;
  provider.sent.length = 0;
  await clock.advance(120 * SECOND);
  expect(new Set(provider.tokens).size).toBe(1_000);
  expect(provider.sent).toHaveLength(1_000);
  for (const { notification } of provider.sent) expect(notification.waiting).toBeGreaterThan(100);
  expect(await counts.outbox!.due(Number.MAX_SAFE_INTEGER, 1)).toMatchObject({ rows: [] });
  expect(engine.counters()).toMatchObject({ expired: 0, pushesRejected: 0, pushesDropped: 0 });
});

describe("after an outage", () => {
  /** 3,000 users with a push each that waits for a service that has rested for ten minutes; it takes the next probe. */
  async function recovering() {
    const stage = await open();
    const { clock, engine, provider } = stage;
    const others = await leave(stage, "other", 60);
    const users = await leave(stage, "user", 3_000, NEWS);
    provider.verdict = () => DOWN;
    for (let n = 0; n < 3; n++) {
      await engine.publish({ ...NEWS, content: `news ${n}`, id: `news ${n}` });
      await clock.settle();
    }
    await clock.advance(600 * SECOND);
    provider.sent.length = 0;
    return { ...stage, others, users };
  }

  /** Lets time pass until the probe is taken. */
  async function probed({ clock, engine }: Stage): Promise<void> {
    while (engine.counters().pushesSent === 0) await clock.advance(100);
  }

  test("what is new for other targets leaves at once, though each push takes a while", async () => {
    const stage = await recovering();
    const { clock, engine, others, provider } = stage;
    provider.verdict = () => new Promise((resolve) => void clock.setTimeout(() => resolve(SENT), 3_000));
    await probed(stage);
    const delays: number[] = [];
    for (const user of others) {
      const at = clock.elapsed();
      await engine.publish({ to: user, content: "hi", id: user });
      while (!provider.tokens.includes(user)) await clock.advance(50);
      delays.push(clock.elapsed() - at);
      await clock.advance(100);
    }
    expect(provider.sent.length).toBeGreaterThan(500);
    expect(Math.max(...delays)).toBeLessThan(5 * SECOND);
    await clock.advance(120 * SECOND);
    expect(provider.sent).toHaveLength(3_060);
  });

  test("the others leave one for each target, slowly at first", async () => {
    const stage = await recovering();
    const { clock, provider, users } = stage;
    provider.verdict = () => SENT;
    await probed(stage);
    const counts: number[] = [];
    for (let second = 0; second < 30; second++) {
      const before = provider.sent.length;
      await clock.advance(SECOND);
      counts.push(provider.sent.length - before);
    }
    expect(counts[0]).toBeLessThan(130);
    expect(counts[5]).toBeGreaterThan(counts[0]!);
    expect(Math.max(...counts)).toBeLessThan(500);
    // All three in one, also of those that the service was asked to take before.
    expect(new Set(provider.tokens).size).toBe(users.length);
    expect(provider.sent.length).toBeLessThan(users.length * 1.2);
    expect(provider.sent.filter(({ notification: { waiting } }) => waiting === 3).length).toBeGreaterThan(users.length * 0.8);
  });

  test("what is new for a target waits for the others of it, and leaves with them", async () => {
    const stage = await recovering();
    const { clock, engine, provider } = stage;
    provider.verdict = () => SENT;
    await probed(stage);
    const user = "user 2999";
    await engine.publish({ ...NEWS, content: "fresh", id: "fresh" });
    await engine.publish({ to: user, content: "own", id: "own" });
    await clock.settle();
    expect(provider.tokens).not.toContain(user);
    await clock.advance(30 * SECOND);
    const own = provider.sent.filter(({ token }) => token === user);
    expect(own.map(({ notification: { waiting } }) => waiting)).toEqual([5]);
  });
});

test("what can't leave in one push leaves in order, and each of it", async () => {
  const stage = await open({ policy: { coalesceMs: 0 } });
  const { clock, engine, provider } = stage;
  await leave(stage, "user", 1);
  provider.verdict = () => DOWN;
  const say = async (id: string, message: object = {}): Promise<void> => {
    await engine.publish({ to: "user 0", content: "hi", id, ...message });
    await clock.settle();
  };
  await say("probe");
  await say("silent 1", { silent: true });
  await say("a");
  await say("b");
  await say("key", { notification: { collapseKey: "key" } });
  await say("silent 2", { silent: true });
  await say("c");
  await say("urgent", { urgency: "high" });
  await clock.advance(300 * SECOND);
  provider.sent.length = 0;
  provider.verdict = () => SENT;
  await clock.advance(70 * SECOND);
  expect(provider.sent.map(({ notification: { id, waiting } }) => `${id} ${waiting}`)).toEqual([
    "probe 4",
    "silent 1 1",
    "key 1",
    "silent 2 1",
    "urgent 1",
  ]);
});

test("a probe is one push, though many wait for its target that can't leave together", async () => {
  const counts = counted();
  const stage = await open({ storage: counts.storage });
  const { clock, engine, provider } = stage;
  const rooms = Array.from({ length: 10 }, (_, at) => ({ to: "*", channel: `room ${at}` }));
  for (const room of rooms) await engine.subscribe("user 0", room);
  await leave(stage, "user", 1);
  provider.verdict = () => DOWN;
  for (const room of rooms) await engine.publish({ ...room, content: "hi", silent: true });
  await clock.advance(3_600 * SECOND);
  expect(provider.sent.length).toBeGreaterThan(50);
  // What was asked for is taken and given back; the others wait.
  expect(counts.written).toBeLessThan(provider.sent.length * 4);
  provider.verdict = () => SENT;
  provider.sent.length = 0;
  await clock.advance(70 * SECOND);
  expect(provider.sent).toHaveLength(10);
});

test("when very many are due at once and their service rests, all are put off, and none is looked at twice", async () => {
  const counts = counted();
  const stage = await open({ storage: counts.storage, policy: { coalesceMs: 0 } });
  const { clock, engine, provider } = stage;
  const users = await leave(stage, "user", 2_600);
  provider.verdict = () => ({ verdict: "retry", reason: "busy", afterMs: 60 * SECOND });
  for (const user of users) void engine.publish({ to: user, content: "hi" });
  await clock.settle();
  expect(provider.sent).toHaveLength(2_600);
  provider.verdict = () => DOWN;
  await clock.advance(60 * SECOND);
  expect(provider.sent.length).toBeLessThan(2_600 + 400);
  expect(await counts.outbox!.due(clock.now(), 1)).toMatchObject({ rows: [] });
});

test("what is being given back when its service takes pushes again leaves soon all the same", async () => {
  const push = laned();
  const counts = counted();
  const stage = await open({ storage: counts.storage, push: [push] });
  const { clock, engine } = stage;
  const users = await leave(stage, "lane", 2);
  push.verdict = () => DOWN;
  await engine.publish({ to: users[0]!, content: "hi" });
  await clock.settle();
  const { promise, resolve } = Promise.withResolvers<void>();
  const retry = counts.outbox!.retry.bind(counts.outbox);
  counts.outbox!.retry = async (...what) => {
    await promise;
    return await retry(...what);
  };
  await engine.publish({ to: users[1]!, content: "hi" });
  await clock.settle();
  push.verdict = () => SENT;
  await clock.advance(2 * SECOND);
  expect(push.tokens).toEqual([users[0], users[0]]);
  resolve();
  await clock.advance(SECOND);
  expect(push.tokens).toEqual([users[0], users[0], users[1]]);
});

describe.each(PLACES)("on %s", (place) => {
  test("what was put off leaves soon after a restart", async () => {
    const lives = await createLives({}, place);
    for (const user of ["sara", "reza"]) (await lives.device(user, { token: user })).leave();
    await lives.clock.settle();
    lives.provider.verdict = () => ({ ...DOWN, afterMs: 3_600 * SECOND });
    await lives.say("one");
    await lives.say("two", { to: "reza" });
    await lives.clock.advance(2_000 * SECOND);
    await lives.say("three", { to: "reza" });
    await lives.restart();
    lives.provider.verdict = () => SENT;
    await lives.clock.advance(2 * SECOND);
    expect(lives.pushed().at(-1)).toBe("reza two");
    expect(lives.provider.sent.at(-1)?.notification.waiting).toBe(2);
  });

  test("what was asked for before it was put off leaves within a minute of a restart", async () => {
    const lives = await createLives({}, place);
    const users = Array.from({ length: 5 }, (_, at) => `user ${at}`);
    for (const user of users) (await lives.device(user, { token: user })).leave();
    await lives.clock.settle();
    lives.provider.verdict = () => new Promise((resolve) => void lives.clock.setTimeout(() => resolve(DOWN), SECOND));
    for (const user of users) void lives.say(user, { to: user });
    await lives.clock.advance(2_000 * SECOND);
    expect(new Set(lives.pushed()).size).toBe(5);
    await lives.restart();
    lives.provider.verdict = () => SENT;
    lives.provider.sent.length = 0;
    await lives.clock.advance(61 * SECOND);
    expect(lives.pushed().toSorted()).toEqual(users.map((user) => `${user} ${user}`));
  });

  test("what waits leaves when the service takes pushes again, whenever that is", async () => {
    const lives = await createLives({}, place);
    const users = Array.from({ length: 20 }, (_, at) => `user ${at}`);
    for (const user of users) (await lives.device(user, { token: user })).leave();
    await lives.clock.settle();
    for (const seconds of [5, 50, 500, 2_000]) {
      lives.provider.verdict = () => DOWN;
      for (const user of users) await lives.say(`${user} ${seconds}`, { to: user });
      await lives.clock.advance(seconds * SECOND);
      lives.provider.verdict = () => SENT;
      lives.provider.sent.length = 0;
      await lives.clock.advance(63 * SECOND);
      expect(lives.pushed().toSorted()).toEqual(users.map((user) => `${user} ${user} ${seconds}`).toSorted());
    }
  });
});

test("a target that is paced waits for its turn all the same, and what is urgent does not", async () => {
  const lives = await createLives();
  (await lives.device("sara", { token: "sara" })).leave();
  await lives.clock.settle();
  for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
  lives.provider.verdict = () => ({ ...DOWN, afterMs: 5 * SECOND });
  await lives.say("alarm 1", { urgency: "high" });
  await lives.say("m6");
  await lives.say("alarm 2", { urgency: "high" });
  lives.provider.verdict = () => SENT;
  lives.provider.sent.length = 0;
  await lives.clock.advance(10 * SECOND);
  expect(lives.pushed()).toEqual(["sara alarm 1", "sara alarm 2"]);
  await lives.say("m7");
  await lives.clock.advance(51 * SECOND);
  expect(lives.pushed().slice(2)).toEqual(["sara m6"]);
  expect(lives.provider.sent.at(-1)?.notification.waiting).toBe(2);
  expect((await lives.told("m6")).filter((line) => line.startsWith("push-held")).length).toBeLessThan(3);
});

test("of each message it is told once that it waits, and why", async () => {
  const lives = await createLives();
  for (const user of ["sara", "reza"]) (await lives.device(user, { token: user })).leave();
  await lives.clock.settle();
  lives.provider.verdict = () => DOWN;
  await lives.say("one");
  await lives.say("two", { to: "reza" });
  await lives.clock.advance(3_000 * SECOND);
  const held = (await lives.told("two")).filter((line) => line.startsWith("push-held"));
  expect(held).toEqual(["push-held its push service does not take pushes: waits for one that it takes"]);
});

describe("a lane that does not answer", () => {
  /** Lane "dead" with 1,000 targets in a room, which never answers, and lane "well" with some others. */
  async function twoLanes() {
    const push = laned();
    const stage = await open({ push: [push] });
    const well = await leave(stage, "well", 100);
    await leave(stage, "dead", 1_000, NEWS);
    push.verdict = (token) => token.startsWith("dead") ? new Promise<never>(() => {}) : SENT;
    return { ...stage, provider: push, well };
  }

  test("holds up no other lane of its provider", async () => {
    const { clock, engine, provider, well } = await twoLanes();
    const delays: number[] = [];
    await engine.publish({ ...NEWS, content: "all" });
    await clock.settle();
    for (const user of well) {
      const at = clock.elapsed();
      await engine.publish({ to: user, content: "hi" });
      await clock.settle();
      while (!provider.tokens.includes(user)) await clock.advance(10);
      delays.push(clock.elapsed() - at);
      await clock.advance(SECOND);
      if (delays.length % 10 === 0) await engine.publish({ ...NEWS, content: "all" });
    }
    expect(delays[0]).toBeLessThanOrEqual(1_100);
    expect(Math.max(...delays.slice(1))).toBeLessThanOrEqual(20);
  });

  test("holds up no member of a room that has another lane", async () => {
    const push = laned();
    const stage = await open({ push: [push] });
    await leave(stage, "dead", 3_000, NEWS);
    const well = await leave(stage, "well", 20, NEWS);
    push.verdict = (token) => token.startsWith("dead") ? new Promise<never>(() => {}) : SENT;
    await stage.engine.publish({ ...NEWS, content: "all" });
    await stage.clock.advance(5 * SECOND);
    expect(push.tokens.filter((token) => token.startsWith("well")).toSorted()).toEqual(well.toSorted());
  });

  test("is asked to take 384 at most, and rests when they had no answer", async () => {
    const { clock, engine, provider } = await twoLanes();
    await engine.publish({ ...NEWS, content: "all" });
    await clock.advance(29 * SECOND);
    expect(provider.sent).toHaveLength(384);
    await clock.advance(5 * SECOND);
    expect(provider.sent.length).toBeLessThanOrEqual(386);
    await clock.advance(600 * SECOND);
    expect(provider.sent.length).toBeLessThanOrEqual(396);
    provider.verdict = () => SENT;
    await clock.advance(120 * SECOND);
    expect(engine.counters().pushesSent).toBe(1_000);
  });
});
