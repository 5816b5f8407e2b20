import { afterEach, describe, expect, test } from "vitest";
import type { EngineOptions, Identity } from "../../mod.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import { Cluster, type Node } from "./stage.ts";

let cluster: Cluster;

async function nodes(options: Partial<EngineOptions> = {}): Promise<[Node, Node, Node]> {
  cluster = new Cluster(options);
  return await cluster.start(3) as [Node, Node, Node];
}

afterEach(async () => {
  await cluster.close();
  expect(cluster.clock.timers, "a timer leaked").toBe(0);
});

const stored = async (userId: string) => (await (await cluster.storage.opened()).users.get(userId))?.sessions ?? [];

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => cluster.clock.defer(resolve));
}

describe("a hello on another node that was said before a revoke began", () => {
  test.each([true, false])("is not let in after it returned, whatever was under way (signed in before: %s)", async (isKnown) => {
    const [a, b] = await nodes();
    for (let head = 0; head < 40; head++) {
      const user = `sara ${head}`;
      if (isKnown) await a.device(user, { deviceId: "phone" });
      const laptop = b.connect(user, { deviceId: "laptop" });
      await turns(head);
      let then: unknown;
      await cluster.finish(a.engine.revoke(user).then(() => then = [laptop.closedWith, laptop.frames.length]));
      await cluster.clock.advance(1_000);
      expect(then, `${head} turns ahead`).toEqual([4103, laptop.frames.length]);
      await cluster.clock.advance(30_000);
      expect(await stored(user), `${head} turns ahead`).toEqual([]);
    }
    expect([a, b].map(({ engine }) => engine.counters().sessions)).toEqual([0, 0]);
  });

  test("is not let in, also where its token was being looked at", async () => {
    const asked = Promise.withResolvers<Identity>();
    const [a, b] = await nodes({ authenticate: () => asked.promise });
    const phone = b.connect("sara");
    await cluster.finish(a.engine.revoke("sara"));
    asked.resolve({ userId: "sara" });
    await cluster.clock.advance(1_000);
    expect([phone.of("welcome"), phone.closedWith]).toEqual([[], 4103]);
  });

  test.each(["input", "timer"] as const)(
    "is not let in by a node that stood still until nobody waited for it (%s first)",
    async (first) => {
      for (let head = 1; head < 12; head++) {
        const [a, b] = await nodes();
        const phone = b.connect("sara");
        await turns(head);
        b.pause();
        b.cut();
        const frames = phone.frames.length;
        await cluster.finish(a.engine.revoke("sara"), 12_000);
        await b.resume(first);
        await b.heal();
        await cluster.clock.advance(5_000);
        expect(phone.frames.slice(frames).map(({ type }) => type), `${head} turns ahead`).not.toContain("welcome");
        expect(phone.isOpen).toBe(false);
        await cluster.clock.advance(30_000);
        expect(await stored("sara")).toEqual([]);
        await cluster.close();
      }
      await nodes();
    },
  );

  test("is not let in by such a node, also where its token was being looked at until it went on", async () => {
    const asked = Promise.withResolvers<Identity>();
    const [a, b] = await nodes({ authenticate: () => asked.promise });
    const phone = b.connect("sara");
    await turns(1);
    b.pause();
    b.cut();
    await cluster.finish(a.engine.revoke("sara"), 12_000);
    await b.resume();
    await cluster.clock.advance(100);
    expect([phone.closedWith, cluster.clock.elapsed() < 10_000]).toEqual([4000, true]);
    await b.heal();
    asked.resolve({ userId: "sara" });
    await cluster.clock.advance(1_000);
    expect(phone.of("welcome")).toEqual([]);
    expect(await stored("sara")).toEqual([]);
  });
});

test("whoever says hello while a revoke is under way is in, or out, for the socket and the store alike", async () => {
  const [a, b] = await nodes();
  for (let head = 0; head < 40; head++) {
    const user = `sara ${head}`;
    await a.device(user, { deviceId: "phone" });
    const revoked = a.engine.revoke(user);
    await turns(head);
    const laptop = b.connect(user, { deviceId: "laptop" });
    await cluster.finish(revoked);
    await cluster.clock.advance(1_000);
    expect((await stored(user)).map(({ deviceId }) => deviceId), `${head} turns behind`).toEqual(laptop.isOpen ? ["laptop"] : []);
  }
});

describe("what waits in authorize on another node", () => {
  async function publishing() {
    const asked = Promise.withResolvers<boolean>();
    const [a, b, c] = await nodes({ authorize: () => asked.promise });
    await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "room" }));
    const phone = await b.device("sara", { deviceId: "phone" });
    const payload = encodePayload("hi", undefined);
    phone.send({ type: "publish", ref: 1, topic: "*/room", id: "m", options: null, payload });
    await cluster.clock.settle();
    return { a, b, c, phone, allow: () => asked.resolve(true) };
  }
  const accepted = (...all: Node[]) => all.map(({ engine }) => engine.counters().accepted);

  test("is not published after a revoke", async () => {
    const { a, b, c, allow } = await publishing();
    await cluster.finish(a.engine.revoke("sara"));
    allow();
    await cluster.clock.advance(1_000);
    expect(accepted(a, b, c)).toEqual([0, 0, 0]);
  });

  test("nor where the device has gone to a third node before", async () => {
    const { a, b, c, allow, phone } = await publishing();
    phone.drop();
    await c.device("sara", { deviceId: "phone" });
    await cluster.finish(a.engine.revoke("sara"));
    allow();
    await cluster.clock.advance(1_000);
    expect(accepted(a, b, c)).toEqual([0, 0, 0]);
  });

  test("nor by a node that stood still until nobody waited for it, as soon as it goes on", async () => {
    const { a, b, c, allow } = await publishing();
    b.pause();
    b.cut();
    await cluster.finish(a.engine.revoke("sara"), 12_000);
    allow();
    await b.resume("input");
    await b.heal();
    await cluster.clock.advance(5_000);
    expect(accepted(a, b, c)).toEqual([0, 0, 0]);
  });

  test("nor by such a node later on, for a connection that was lost before", async () => {
    const { a, b, c, allow, phone } = await publishing();
    phone.drop();
    await c.device("sara", { deviceId: "phone" });
    b.pause();
    b.cut();
    await cluster.finish(a.engine.revoke("sara"), 12_000);
    await b.resume();
    await b.heal();
    await cluster.clock.advance(5_000);
    allow();
    await cluster.clock.advance(1_000);
    expect(accepted(a, b, c)).toEqual([0, 0, 0]);
  });

  test("is not subscribed to, either, by such a node", async () => {
    const asked = Promise.withResolvers<boolean>();
    const [a, b, c] = await nodes({ authorize: () => asked.promise });
    const phone = await b.device("sara", { deviceId: "phone" });
    phone.send({ type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false });
    await cluster.clock.settle();
    phone.drop();
    await c.device("sara", { deviceId: "phone" });
    b.pause();
    b.cut();
    await cluster.finish(a.engine.revoke("sara"), 12_000);
    await b.resume();
    await b.heal();
    await cluster.clock.advance(5_000);
    asked.resolve(true);
    await cluster.clock.advance(1_000);
    const { users } = await cluster.storage.opened();
    expect(Object.keys((await users.get("sara"))!.subscriptions)).toEqual(["sara/default"]);
  });

  test("is published without one", async () => {
    const { a, b, c, allow } = await publishing();
    await cluster.finish(a.engine.revoke("omid"));
    allow();
    await cluster.clock.advance(1_000);
    expect(accepted(a, b, c)).toEqual([0, 1, 0]);
  });
});
