import { describe, expect, test } from "vitest";
import { memory, type OpenStorage, PeykError, type PushResult, type Storage, type TopicDecision } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import { surviving } from "./stage.ts";

const NEWS = { to: "*", channel: "news" };
const TOPIC = "*/news";

type Outbox = OpenStorage["outbox"];

/** An outbox that a test looks into, and whose `decide` it may replace. */
function watched(inner: Storage = surviving()) {
  const steps: { after: string | undefined; to: number | undefined; rows: number }[] = [];
  const held: {
    outbox?: Outbox;
    decide?: (go: () => Promise<number | undefined>) => Promise<number | undefined>;
    /** Called with each answer to how far a topic is decided, before that arrives. */
    decision?: (answer: TopicDecision | undefined) => Promise<void>;
  } = {};
  const storage: Storage = {
    async open(context) {
      const opened = await inner.open(context);
      const { outbox } = opened;
      held.outbox = outbox;
      const decide: Outbox["decide"] = async (decision, rows) => {
        const go = (): Promise<number | undefined> => outbox.decide(decision, rows);
        const version = await (held.decide?.(go) ?? go());
        if (version !== undefined) steps.push({ after: decision.pass?.after, to: decision.pass?.to, rows: rows.length });
        return version;
      };
      const decision: Outbox["decision"] = async (topic) => {
        const answer = await outbox.decision(topic);
        await held.decision?.(answer);
        return answer;
      };
      return {
        ...opened,
        outbox: new Proxy(outbox, {
          get(target, name) {
            if (name === "decision") return decision;
            const value = Reflect.get(target, name, target) as unknown;
            return name === "decide" ? decide : typeof value === "function" ? value.bind(target) : value;
          },
        }),
      };
    },
  };
  return { storage, steps, held };
}

/** So many members with a target each, all of them away. */
async function members(count: number, lives: Lives): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `user ${String(index).padStart(3, "0")}`);
  for (const name of names) {
    await lives.engine.subscribe(name, NEWS);
    (await lives.device(name, { token: name })).leave();
  }
  await lives.clock.settle();
  return names;
}

test("an explanation counts every device that was decided for, on whichever page of the members it stands", async () => {
  const { held, storage } = watched();
  const lives = await createLives({ storage });
  await members(230, lives);
  let go = (): void => {};
  const gate = new Promise<void>((resolve) => go = resolve);
  // Both messages are there when the pass begins, and half a page of members comes between them.
  held.decision = () => gate;
  await lives.engine.publish({ ...NEWS, content: "hi", id: "first" });
  for (let index = 0; index < 50; index++) {
    await lives.engine.subscribe(`late ${index}`, NEWS);
    (await lives.device(`late ${index}`, { token: `late ${index}` })).leave();
  }
  await lives.engine.publish({ ...NEWS, content: "hi", id: "second" });
  go();
  await lives.clock.advance(1_000);
  for (const [id, devices] of [["first", 230], ["second", 280]] as const) {
    expect((await lives.explain(id))?.counts).toEqual({ "disconnected.away/alert": devices });
  }
});

test("goes through the members in pages, each stored with its place, and decides once for each of them", async () => {
  const { storage, steps } = watched();
  const lives = await createLives({ storage });
  const names = await members(250, lives);
  await lives.say("hi", NEWS);
  expect(lives.pushed().toSorted()).toEqual(names.map((name) => `${name} hi`));
  // What is wanted, and three pages.
  expect(steps.map(({ rows }) => rows)).toEqual([0, 100, 100, 50]);
});

test("entries that come during a pass are decided about in the next one, all together", async () => {
  const { storage, steps, held } = watched();
  const lives = await createLives({ storage });
  const names = await members(150, lives);
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  held.decide = async (go) => {
    if (++calls === 2) await promise;
    return await go();
  };
  await lives.say("0", NEWS);
  for (const id of ["1", "2", "3"]) await lives.say(id, NEWS);
  resolve();
  await lives.clock.settle();
  expect(lives.pushed().toSorted()).toEqual(
    names.flatMap((name) => ["0", "1", "2", "3"].map((id) => `${name} ${id}`)).toSorted(),
  );
  const passes = steps.filter(({ rows }) => rows > 0);
  expect(passes.length).toBeLessThanOrEqual(2 + 3);
});

test("a push that is taken while another one is written in its place is counted as what it was: sent, and not merged too", async () => {
  const { storage, held } = watched();
  const lives = await createLives({ storage });
  await members(1, lives);
  // More than have rows of their own: one row stands for the last ones, and would stand for the next one too.
  for (let index = 0; index < 25; index++) await lives.say(`${index}`, { ...NEWS, urgency: "low" });
  const writing = Promise.withResolvers<void>();
  const sending = Promise.withResolvers<PushResult>();
  lives.provider.verdict = () => sending.promise;
  let calls = 0;
  held.decide = async (go) => {
    // The first one only says that there is something to decide.
    if (++calls === 2) await writing.promise;
    return await go();
  };
  await lives.say("late", { ...NEWS, urgency: "low" });
  expect(calls).toBe(2);
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toHaveLength(1);
  writing.resolve();
  await lives.clock.settle();
  sending.resolve({ verdict: "sent" });
  await lives.clock.settle();
  const { pushesMerged, pushesQueued, pushesSent } = lives.engine.counters();
  expect(pushesQueued - pushesSent - pushesMerged).toBe(await lives.waiting());
});

test("a message that comes while a run finds nothing more to do is decided about", async () => {
  const { storage, held } = watched();
  const lives = await createLives({ storage });
  await members(1, lives);
  const { promise, resolve } = Promise.withResolvers<void>();
  let isHeld = false;
  held.decision = async (answer) => {
    if (isHeld || answer === undefined || answer.decided < answer.goal) return;
    isHeld = true;
    await promise;
  };
  await lives.say("1", NEWS);
  expect(isHeld).toBe(true);
  await lives.say("2", NEWS);
  resolve();
  await lives.clock.settle();
  expect(lives.pushed()).toEqual(["user 000 1", "user 000 2"]);
});

test("waits while 2,000 of the topic's rows do, and another topic does not wait for it", async () => {
  const { storage, held } = watched();
  const lives = await createLives({ storage });
  lives.provider.verdict = () => new Promise(() => {});
  const names = await members(900, lives);
  await lives.engine.subscribe(names[0]!, { to: "*", channel: "other" });
  for (let index = 0; index < 10; index++) void lives.engine.publish({ ...NEWS, content: "x", id: `${index}` });
  await lives.clock.advance(5_000);
  const waiting = (): Promise<number> => held.outbox!.waitingIn(TOPIC, Infinity, 100_000);
  expect(await waiting()).toBeLessThanOrEqual(2_000);
  expect(await waiting()).toBeGreaterThan(1_500);
  expect((await held.outbox!.decision(TOPIC))!.decided).toBeLessThan(10);
  await lives.say("other", { to: "*", channel: "other" });
  expect((await held.outbox!.ofMessage("other")).length).toBe(1);
  await lives.engine.close();
});

describe("a pass that was broken off", () => {
  test("by close() ends between two pages, and the next start goes on behind the last one", async () => {
    const { storage, steps, held } = watched();
    const lives = await createLives({ storage });
    const names = await members(350, lives);
    let calls = 0;
    const { promise: second, resolve: arrived } = Promise.withResolvers<void>();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    held.decide = async (go) => {
      if (++calls === 3) {
        arrived();
        await gate;
      }
      return await go();
    };
    void lives.engine.publish({ ...NEWS, content: "hi", id: "hi" });
    await lives.clock.settle();
    await second;
    const closing = lives.engine.close();
    await lives.clock.settle();
    open();
    await closing;
    const before = steps.length;
    expect(steps.filter(({ rows }) => rows > 0).length).toBe(2);
    await lives.restart();
    await lives.clock.advance(10_000);
    expect(steps.slice(before).map(({ rows }) => rows)).toEqual([100, 50]);
    expect(lives.pushed().toSorted()).toEqual(names.map((name) => `${name} hi`));
  });

  test("by a store that refuses is gone on with", async () => {
    const { storage, held } = watched();
    const lives = await createLives({ storage });
    const names = await members(350, lives);
    let calls = 0;
    held.decide = (go) => {
      calls++;
      const refusal = new PeykError("unavailable", "not now", { retryable: true });
      if (calls === 3) return Promise.reject(refusal);
      // Written, and the answer is lost.
      return calls === 5 ? go().then(() => Promise.reject(refusal)) : go();
    };
    await lives.say("hi", NEWS);
    await lives.clock.advance(30_000);
    expect(lives.pushed().toSorted()).toEqual(names.map((name) => `${name} hi`));
  });
});

test("a device that was away gets what it missed without a push, however far the topic was decided", async () => {
  const lives = await createLives();
  const names = await members(2, lives);
  await Promise.all(
    Array.from({ length: 6 }, (_, index) => lives.engine.publish({ ...NEWS, content: `${index}`, id: `${index}` })),
  );
  await lives.clock.settle();
  // Three with their own words, one for the rest.
  expect(lives.pushed().length).toBe(2 * 4);
  const back = await lives.device(names[0]!, { visible: false });
  await lives.clock.advance(10_000);
  expect(back.contents.length).toBe(6);
  expect(lives.pushed().length).toBe(2 * 4);
});

test("a member who subscribes during a pass gets nothing of what was there before", async () => {
  const { storage, held } = watched();
  const lives = await createLives({ storage });
  const names = await members(150, lives);
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  held.decide = async (go) => {
    if (++calls === 2) await promise;
    return await go();
  };
  await lives.say("before", NEWS);
  (await lives.device("zed", { token: "zed" })).leave();
  await lives.engine.subscribe("zed", NEWS);
  await lives.clock.settle();
  await lives.say("after", NEWS);
  resolve();
  await lives.clock.settle();
  expect(lives.pushed().filter((push) => push.startsWith("zed"))).toEqual(["zed after"]);
  expect(lives.pushed().length).toBe(2 * names.length + 1);
});

test("a device of a node that died is decided for, though the topic was decided while it was there", async () => {
  const lives = await createLives({ storage: surviving(), policy: { graceMs: 1_000 } });
  await members(2, lives);
  await lives.engine.subscribe("sara", NEWS);
  const phone = await lives.sara("phone", { token: "sara", habit: "mute" });
  await lives.say("hi", NEWS);
  phone.drop();
  await lives.clock.advance(20_000);
  expect(lives.pushed().filter((push) => push.startsWith("sara"))).toEqual(["sara hi"]);
});

test("a message that comes while a subscription is stored is pushed to devices that are away", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isHeld = false;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { users } = opened;
      const put = users.put.bind(users);
      users.put = async (...given) => {
        if (isHeld) await promise;
        return await put(...given);
      };
      return opened;
    },
  };
  const lives = await createLives({ storage });
  await members(1, lives);
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  isHeld = true;
  const subscribed = lives.engine.subscribe("sara", NEWS);
  await lives.clock.settle();
  await lives.say("meanwhile", NEWS);
  isHeld = false;
  resolve();
  await subscribed;
  await lives.clock.settle();
  expect(lives.pushed().toSorted()).toEqual(["phone meanwhile", "user 000 meanwhile"]);
  await lives.say("after", NEWS);
  expect(lives.pushed().filter((push) => push.startsWith("phone"))).toEqual(["phone meanwhile", "phone after"]);
});

test("a public message costs no read of members who can't be pushed to", async () => {
  const read: string[] = [];
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { users } = opened;
      const get = users.get.bind(users);
      users.get = (userId) => (read.push(userId), get(userId));
      return opened;
    },
  };
  const lives = await createLives({ storage });
  for (const user of ["sara", "reza", "mina"]) {
    await lives.engine.subscribe(user, NEWS);
    (await lives.device(user, user === "sara" ? { token: user } : {})).leave();
  }
  await lives.clock.advance(60_000);
  read.length = 0;
  await lives.say("hi", NEWS);
  await lives.clock.advance(60_000);
  expect([...new Set(read)]).toEqual(["sara"]);
  expect(lives.pushed()).toEqual(["sara hi"]);
});
