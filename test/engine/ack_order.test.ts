import { describe, expect, test } from "vitest";
import { type OpenStorage, PeykError, type Storage } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import { type Device, surviving } from "./stage.ts";

/** A memory whose outbox does some things in another way. */
function spoilt(outbox: Partial<OpenStorage["outbox"]>): { storage: Storage } {
  const inner = surviving();
  return {
    storage: {
      async open(context) {
        const opened = await inner.open(context);
        return { ...opened, outbox: bound(opened.outbox, outbox) };
      },
    },
  };
}

/** A memory outbox keeps private fields: its methods must be called on itself. */
function bound(port: OpenStorage["outbox"], others: Partial<OpenStorage["outbox"]>): OpenStorage["outbox"] {
  return new Proxy(port, { get: (target, name) => name in others ? others[name as keyof typeof others] : bindTo(target, name) });
}

function bindTo<Port extends object>(port: Port, name: string | symbol): unknown {
  const value = Reflect.get(port, name, port) as unknown;
  return typeof value === "function" ? value.bind(port) : value;
}

/** A phone that has left, a laptop in front of a person, and a message that the laptop has not acked. */
async function waiting(): Promise<{ lives: Lives; laptop: Device }> {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { token: "laptop", attended: true, habit: "sees" });
  await lives.say("hi");
  return { lives, laptop };
}

function ackOf(device: Device): Parameters<Device["send"]>[0] {
  return { type: "ack", seen: device.of("message").length, cursors: device.cursors, idleMs: 0, waiting: 0 };
}

describe("an ack and a change of activity in one message", () => {
  test("read in front, then locked: it was read in front", async () => {
    const { lives, laptop } = await waiting();
    laptop.send(ackOf(laptop), { type: "state", visible: false, idleMs: 0 });
    laptop.leave();
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("locked, then acked in the background: it was not read, and the phone is pushed", async () => {
    const { lives, laptop } = await waiting();
    laptop.send({ type: "state", visible: false, idleMs: 0 }, ackOf(laptop));
    laptop.leave();
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("acked in the background, then in front: it was shown there, and handled nowhere else", async () => {
    const { lives, laptop } = await waiting();
    laptop.send({ type: "state", visible: false, idleMs: 0 }, ackOf(laptop), { type: "state", visible: true, idleMs: 0 });
    laptop.leave();
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });
});

test("an ack that brings a suspect connection back to life handles what it acks", async () => {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { attended: true, habit: "mute" });
  await lives.say("hi", { urgency: "low" });
  await lives.clock.advance(10_000);
  expect((await lives.engine.sessions("sara")).map(({ state }) => state)).toContain("connected.suspect");
  laptop.ack(laptop.cursors);
  await lives.clock.advance(600_000);
  expect(lives.pushed()).toEqual([]);
});

test("a suspect connection that acks some of what is overdue has handled that", async () => {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { attended: true, habit: "mute" });
  for (const content of ["1", "2"]) await lives.say(content, { urgency: "low" });
  await lives.clock.advance(10_000);
  const { topic, epoch, offset } = laptop.of("message")[0]!;
  laptop.ack([{ topic, epoch, offset }], 1);
  await lives.clock.advance(59_999);
  expect(lives.pushed()).toEqual(["phone 2"]);
});

describe("one device's", () => {
  test("ack at a wall tablet that nobody ever touches handles nothing, for any device", async () => {
    const lives = await createLives();
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.sara("wall", { habit: "acks" });
    await lives.say("hi");
    await lives.clock.settle();
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("ack is not lost when another device attaches in the same turn", async () => {
    const { lives, laptop } = await waiting();
    laptop.send(ackOf(laptop));
    await lives.sara("tablet", { token: "tablet" });
    await lives.restart();
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual([]);
  });
});

test("a push that could not be dropped when its message was shown is found by the last look, after a restart too", async () => {
  const { storage } = spoilt({ cancel: () => Promise.reject(new PeykError("unavailable", "not now", { retryable: true })) });
  const lives = await createLives({ storage });
  lives.provider.verdict = () => ({ verdict: "retry", afterMs: 30_000, reason: "off" });
  for (const name of ["phone", "watch"]) (await lives.sara(name, { token: name })).leave();
  await lives.clock.settle();
  await lives.say("one");
  await lives.say("two");
  (await lives.sara("phone", { idleMs: null })).leave();
  await lives.clock.settle();
  lives.provider.verdict = () => ({ verdict: "sent" });
  const asked = lives.provider.sent.length;
  // What the node remembers without the storage is gone.
  await lives.restart();
  await lives.clock.advance(120_000);
  expect(lives.pushed().slice(asked).sort()).toEqual(["watch one", "watch two"]);
});

describe("close()", () => {
  test("with pushes that are due asks no provider, and the next start sends them", async () => {
    const lives = await createLives();
    lives.provider.verdict = (_, attempt) =>
      attempt === 1 ? { verdict: "retry", afterMs: 1_000, reason: "off" } : { verdict: "sent" };
    for (const name of ["phone", "watch"]) (await lives.sara(name, { token: name })).leave();
    await lives.clock.settle();
    await lives.say("hi");
    const [refused, taken] = lives.pushed();
    expect([refused, taken].toSorted()).toEqual(["phone hi", "watch hi"]);
    // Time has passed; nobody has told the worker.
    const closing = lives.engine.close();
    const due = lives.clock.advance(2_000);
    await closing;
    await due;
    expect(lives.pushed()).toEqual([refused, taken]);
    await lives.restart();
    await lives.clock.advance(10_000);
    expect(lives.pushed()).toEqual([refused, taken, refused]);
  });

  test("while a push could not be queued leaves no timer behind, and the next start queues it", async () => {
    let failing = true;
    const inner = surviving();
    const storage: Storage = {
      async open(context) {
        const opened = await inner.open(context);
        const { users } = opened;
        const refused = Promise.reject(new PeykError("unavailable", "not now", { retryable: true }));
        refused.catch(() => {});
        const put: typeof users.put = (record, parts, rows) =>
          failing && rows !== undefined ? refused : users.put(record, parts, rows);
        return { ...opened, users: new Proxy(users, { get: (_, name) => name === "put" ? put : bindTo(users, name) }) };
      },
    };
    const lives = await createLives({ storage });
    await lives.sara("phone", { token: "phone", visible: false, habit: "sees" });
    await lives.say("hi");
    await lives.engine.close();
    expect(lives.clock.timers).toBe(0);
    failing = false;
    await lives.restart();
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("with hundreds of rows behind a provider that hangs begins no request, and ends at once", async () => {
    const lives = await createLives();
    const users = Array.from({ length: 500 }, (_, index) => `user ${index}`);
    for (const user of users) (await lives.device(user, { token: user })).leave();
    await lives.clock.settle();
    lives.provider.verdict = () => new Promise(() => {});
    for (const to of users) await lives.say(to, { to });
    const asked = lives.provider.sent.length;
    // As many as may be under way, but for those that are not worth a look.
    expect(asked).toBeGreaterThan(250);
    expect(asked).toBeLessThanOrEqual(384);
    const before = lives.clock.elapsed();
    await lives.engine.close();
    expect(lives.clock.elapsed()).toBe(before);
    expect(lives.provider.sent).toHaveLength(asked);
    expect(lives.clock.timers).toBe(0);
  });
});
