import { describe, expect, test } from "vitest";
import { a, b, c, cluster, publish, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("a node that was stopped for 30 s", () => {
  test.each(["timer", "input"] as const)(
    "writes nothing for sessions that others took over, and sends them back (%s first)",
    async (first) => {
      const device = await a.device("sara", { token: "t" });
      a.pause();
      await publish(b, "late");
      await cluster.clock.advance(12_000);
      expect([b, c].map(({ engine }) => engine.counters().sessions).sort()).toEqual([0, 1]);
      await cluster.clock.advance(18_000);
      device.send({ type: "subscribe", ref: 5, topic: "*/news", since: null, anew: false });
      const frames = device.frames.length;
      const { length } = cluster.pushes;
      await a.resume(first);
      await cluster.clock.advance(5_000);
      expect(device.frames.slice(frames)).toEqual([]);
      expect(device.closedWith).toBe(4000);
      expect(cluster.pushes.slice(length)).toEqual([]);
      expect(cluster.tokens).toEqual(["t"]);
      expect(a.engine.counters().sessions).toBe(0);
    },
  );

  test("starts no provider request for what it was about to push", async () => {
    const device = await a.device("sara", { token: "t", habit: "mute" });
    await publish(b, "one");
    await cluster.clock.advance(2_900);
    a.pause();
    await cluster.clock.advance(9_000);
    const now = await b.device("sara");
    await cluster.clock.advance(18_000);
    await a.resume();
    await cluster.clock.advance(60_000);
    expect(now.contents).toEqual(["one"]);
    expect(device.isOpen).toBe(false);
    expect(cluster.pushes).toEqual([]);
  });

  test("sessions that nobody took over go on", async () => {
    b.kill();
    c.kill();
    const device = await a.device("sara", { token: "t" });
    a.pause();
    await cluster.clock.advance(30_000);
    await a.resume();
    await publish(a, "one");
    await cluster.clock.advance(20_000);
    expect(device.isOpen).toBe(true);
    expect(device.contents).toEqual(["one"]);
    expect(cluster.pushes).toEqual([]);
  });

  test("an adoption that crosses the node's return: it lets go of what it lost", async () => {
    c.kill();
    const device = await a.device("sara", { token: "t" });
    a.isolate();
    const { users } = await cluster.storage.opened();
    const liveNodes = users.liveNodes.bind(users);
    // B has found the orphan, and is slow from there on.
    users.liveNodes = () => (b.pause(), liveNodes());
    await cluster.until(() => !b.access.gate.isRunning);
    users.liveNodes = liveNodes;
    await a.heal();
    await cluster.clock.advance(3_000);
    expect([device.isOpen, a.engine.counters().sessions], "A has found its session to be its own").toEqual([true, 1]);
    await b.resume();
    await cluster.clock.advance(1_000);
    expect([a, b].map(({ engine }) => engine.counters().sessions)).toEqual([0, 1]);
    expect(device.closedWith).toBe(4000);
  });

  test("an adoption that crosses its look at all of its sessions: it looks again", async () => {
    c.kill();
    const sara = await a.device("sara", { token: "t" });
    const mina = await a.device("mina", { token: "u" });
    a.isolate();
    const { users } = await cluster.storage.opened();
    const { get, liveNodes } = users;
    // B has found the orphans, and is slow from there on.
    users.liveNodes = () => (b.pause(), liveNodes.call(users));
    await cluster.until(() => !b.access.gate.isRunning);
    // A has looked at Sara's record, and waits for Mina's, which it asked for before B wrote into it.
    const late = Promise.withResolvers<void>();
    let isLate = false;
    Object.assign(users, {
      liveNodes,
      get: async (userId: string) => {
        const record = await get.call(users, userId);
        if (userId === "mina" && !isLate) await (isLate = true, late.promise);
        return record;
      },
    });
    await a.heal();
    await cluster.until(() => isLate);
    await b.resume();
    await cluster.until(() => b.engine.counters().sessions === 2);
    await cluster.clock.advance(300);
    late.resolve();
    await cluster.clock.advance(2_000);
    expect([sara, mina].map(({ closedWith }) => closedWith)).toEqual([4000, 4000]);
    expect(a.engine.counters().sessions).toBe(0);
  });
});

test("a node that can't be reached is reminded of what it lost all at once, however many sessions that are", async () => {
  const names = Array.from({ length: 50 }, (_, index) => `user ${index}`);
  const stale = await Promise.all(names.map((name) => a.device(name)));
  a.cut();
  await Promise.all(names.map((name) => b.device(name)));
  const { users } = await cluster.storage.opened();
  const { liveNodes } = users;
  let looks = 0;
  users.liveNodes = () => (looks++, liveNodes.call(users));
  await cluster.clock.advance(10_000);
  // One node is asked for: that is some 14 times, whoever else looks at leases.
  expect(looks).toBeLessThan(50);
  expect(stale.every(({ isOpen }) => isOpen)).toBe(true);
  await a.heal();
  await cluster.clock.advance(2_000);
  expect(stale.map(({ closedWith }) => closedWith)).toEqual(names.map(() => 4101));
});

test("a node that is told that it lost sessions, and can't read which, looks again", async () => {
  const stale = await a.device("sara");
  a.cut();
  await b.device("sara");
  a.access.isAway = true;
  a.access.isCut = false;
  await cluster.clock.advance(3_000);
  expect(stale.isOpen, "it was told, and could not look").toBe(true);
  await a.heal();
  await cluster.clock.advance(1_000);
  expect(stale.closedWith).toBe(4101);
});

test("a node that was not told that it lost a session finds out when its device acks", async () => {
  const device = await a.device("sara", { token: "t" });
  await b.device("mina");
  const { users } = await cluster.storage.opened();
  const [record, other] = await Promise.all(["sara", "mina"].map((userId) => users.get(userId)));
  const { node } = other!.sessions[0]!;
  await users.put({ ...record!, sessions: record!.sessions.map((session) => ({ ...session, node })) }, "both");
  await cluster.clock.advance(5_000);
  expect(device.isOpen, "nobody has found out").toBe(true);
  await publish(c, "one");
  await cluster.clock.advance(2_500);
  expect(device.closedWith).toBe(4000);
  expect(a.engine.counters().sessions).toBe(0);
});
