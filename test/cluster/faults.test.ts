import { afterEach, describe, expect, test } from "vitest";
import { Cluster, type ClusterDevice, type Node } from "./stage.ts";

let cluster: Cluster;
let a: Node;
let b: Node;
let c: Node;

async function begin(): Promise<void> {
  cluster = new Cluster();
  [a, b, c] = await cluster.start(3) as [Node, Node, Node];
}

afterEach(async () => {
  await cluster.close();
  expect(cluster.clock.timers, "a timer leaked").toBe(0);
});

async function states(node: Node, userId: string): Promise<string[]> {
  return (await cluster.finish(node.engine.sessions(userId))).map(({ state }) => state).sort();
}

function publish(node: Node, content: string, id = content): Promise<unknown> {
  return cluster.finish(node.engine.publish({ to: "sara", content, id }));
}

describe("a killed node's sessions", () => {
  test("are held as recent by another node after its lease lapsed, never as away at once", async () => {
    await begin();
    await a.device("sara", { token: "t" });
    await publish(b, "one");
    a.kill();
    await publish(b, "two");
    const seen = new Set<string>();
    for (let second = 0; second < 20; second++) {
      await cluster.clock.advance(1_000);
      for (const state of await states(b, "sara")) seen.add(state);
    }
    expect([...seen]).toEqual(["disconnected.recent"]);
    expect([b, c].map(({ engine }) => engine.counters().sessions).sort()).toEqual([0, 1]);
    expect(cluster.pushes).toEqual([]);
  });

  test("are decided for within graceMs + activeElsewhereMs + 5 s after the last renewal", async () => {
    await begin();
    await a.device("sara", { token: "t" });
    a.kill();
    const at = cluster.clock.elapsed();
    await publish(b, "one");
    await cluster.clock.advance(25_000);
    expect(cluster.pushes.map(({ notification }) => notification.id)).toEqual(["one"]);
    expect(cluster.pushes[0]!.at - at).toBeLessThanOrEqual(25_000);
    await cluster.clock.advance(60_000);
    expect(cluster.pushes.length).toBe(1);
  });

  test("whoever comes back within the grace gets everything once and no push", async () => {
    await begin();
    const before = await a.device("sara", { token: "t" });
    await publish(b, "one");
    await cluster.clock.settle();
    a.kill();
    await publish(b, "two");
    await cluster.clock.advance(12_000);
    const after = await b.device("sara", { cursors: before.cursors });
    await publish(c, "three");
    await cluster.clock.advance(60_000);
    expect([...before.contents, ...after.contents]).toEqual(["one", "two", "three"]);
    expect(cluster.pushes).toEqual([]);
  });

  test("sessions of the same user on living nodes are left where they are", async () => {
    await begin();
    await a.device("sara", { deviceId: "phone", token: "phone" });
    const laptop = await c.device("sara", { deviceId: "laptop", token: "laptop" });
    a.kill();
    await cluster.clock.advance(40_000);
    await publish(b, "one");
    await cluster.clock.advance(30_000);
    expect(laptop.isOpen).toBe(true);
    expect(laptop.contents).toEqual(["one"]);
    expect(await states(c, "sara")).toEqual(["connected.live", "disconnected.away"]);
    expect(c.engine.counters().sessions).toBe(1);
    expect(cluster.tokens).toEqual(["phone"]);
  });

  test("are shared by those who live, who don't get in each other's way", async () => {
    await begin();
    const names = Array.from({ length: 60 }, (_, index) => `user ${index}`);
    await Promise.all(names.map((name) => a.device(name)));
    const { users } = await cluster.storage.opened();
    const put = users.put.bind(users);
    let conflicts = 0;
    users.put = async (...args) => {
      const version = await put(...args);
      if (version === undefined) conflicts++;
      return version;
    };
    a.kill();
    await cluster.clock.advance(10_000);
    const held = [b, c].map(({ engine }) => engine.counters().sessions);
    expect(held[0]! + held[1]!).toBe(60);
    expect(Math.min(...held)).toBeGreaterThan(15);
    expect(conflicts).toBe(0);
  });

  test("are taken over whole when one of those who live does not get to it", async () => {
    await begin();
    const names = Array.from({ length: 60 }, (_, index) => `user ${index}`);
    await Promise.all(names.map((name) => a.device(name)));
    a.kill();
    await cluster.clock.advance(5_000);
    c.pause();
    await cluster.clock.advance(5_000);
    expect(b.engine.counters().sessions).toBe(60);
    await c.resume();
  });

  test("pushes that waited there leave from another node", async () => {
    await begin();
    const phone = await a.device("sara", { deviceId: "phone", token: "phone" });
    phone.leave();
    await a.device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
    await cluster.clock.advance(500);
    await publish(a, "one");
    await cluster.clock.advance(1_000);
    a.kill();
    await cluster.clock.advance(6_000);
    expect(cluster.tokens).toEqual(["phone"]);
    expect(cluster.pushes[0]!.node).not.toBe(a);
  });

  test("so does one whose request was under way, once its time is over", async () => {
    await begin();
    const phone = await a.device("sara", { deviceId: "phone", token: "phone" });
    phone.leave();
    await cluster.clock.advance(500);
    for (const node of cluster.nodes) node.provider.verdict = () => new Promise(() => {});
    await publish(a, "one");
    await cluster.clock.advance(500);
    const [first] = cluster.pushes;
    first!.node.kill();
    for (const node of cluster.nodes) node.provider.verdict = () => ({ verdict: "sent" });
    await cluster.clock.advance(115_000);
    expect(cluster.pushes.length).toBe(1);
    await cluster.clock.advance(10_000);
    expect(cluster.pushes.length).toBe(2);
    expect(cluster.pushes[1]!.notification.collapseId).toBe(first!.notification.collapseId);
    await cluster.clock.advance(130_000);
    expect(cluster.pushes.length).toBe(2);
  });

  test("a survivor that had lost the session to the dead node takes it over as well", async () => {
    await begin();
    const stale = await a.device("sara", { token: "t" });
    a.cut();
    const now = await b.device("sara");
    expect(now.isOpen).toBe(true);
    b.kill();
    c.kill();
    await publish(a, "one");
    await cluster.clock.advance(40_000);
    expect(stale.isOpen).toBe(false);
    expect(await states(a, "sara")).toEqual(["disconnected.away"]);
    expect(cluster.tokens).toEqual(["t"]);
  });
});

describe("a node that was stopped for 30 s", () => {
  test.each(["timer", "input"] as const)(
    "writes nothing for sessions that others took over, and sends them back (%s first)",
    async (first) => {
      await begin();
      const device = await a.device("sara", { token: "t" });
      a.pause();
      await publish(b, "late");
      await cluster.clock.advance(12_000);
      expect([b, c].map(({ engine }) => engine.counters().sessions).sort()).toEqual([0, 1]);
      await cluster.clock.advance(18_000);
      device.send({ type: "subscribe", ref: 5, topic: "*/news", since: null });
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
    await begin();
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
    cluster = new Cluster();
    [a] = await cluster.start(1) as [Node];
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
    await begin();
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
    await begin();
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
  await begin();
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
  await begin();
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
  await begin();
  const device = await a.device("sara", { token: "t" });
  await b.device("mina");
  const { users } = await cluster.storage.opened();
  const [record, other] = await Promise.all(["sara", "mina"].map((userId) => users.get(userId)));
  const { node } = other!.sessions[0]!;
  await users.put({ ...record!, sessions: record!.sessions.map((session) => ({ ...session, node })) });
  await cluster.clock.advance(5_000);
  expect(device.isOpen, "nobody has found out").toBe(true);
  await publish(c, "one");
  await cluster.clock.advance(2_500);
  expect(device.closedWith).toBe(4000);
  expect(a.engine.counters().sessions).toBe(0);
});

describe("the storage is away from everybody", () => {
  test.each([6, 20])("for %i s: nobody takes anybody over, connections stay, everything arrives once", async (seconds) => {
    await begin();
    const phone = await a.device("sara", { deviceId: "phone", token: "1" });
    const laptop = await b.device("sara", { deviceId: "laptop", token: "2" });
    await publish(c, "one");
    await cluster.clock.settle();
    await cluster.setStorageAway(true);
    await expect(cluster.finish(c.engine.publish({ to: "sara", content: "refused" }))).rejects.toMatchObject({ retryable: true });
    await cluster.clock.advance(seconds * 1_000);
    await cluster.setStorageAway(false);
    await cluster.clock.advance(4_000);
    await publish(c, "two");
    await cluster.clock.advance(60_000);
    for (const device of [phone, laptop]) {
      expect(device.isOpen).toBe(true);
      expect(device.contents).toEqual(["one", "two"]);
    }
    expect([a, b, c].map(({ engine }) => engine.counters().sessions)).toEqual([1, 1, 0]);
    expect(cluster.pushes).toEqual([]);
  });

  test("what this node alone missed is read from the log, also when nothing comes after it", async () => {
    await begin();
    const phone = await a.device("sara", { token: "t" });
    a.access.isAway = true;
    await publish(b, "missed");
    await cluster.clock.advance(2_000);
    await a.heal();
    await cluster.clock.advance(1_000);
    expect(phone.contents).toEqual(["missed"]);
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("what was missed is found also when the log can't be read at once", async () => {
    await begin();
    const phone = await a.device("sara", { token: "t" });
    a.access.isAway = true;
    await publish(b, "missed");
    cluster.storage.heal(a.access);
    await cluster.setStorageAway(true);
    await cluster.clock.advance(3_000);
    await cluster.setStorageAway(false);
    await cluster.clock.advance(2_000);
    expect(phone.isOpen).toBe(true);
    expect(phone.contents).toEqual(["missed"]);
  });

  test("what was missed is pushed to whoever is in the background, as if it had come in time", async () => {
    await begin();
    const phone = await a.device("sara", { token: "t" });
    phone.state(false);
    a.access.isAway = true;
    await publish(b, "missed");
    await cluster.clock.advance(2_000);
    await a.heal();
    await cluster.clock.advance(5_000);
    expect(phone.contents).toEqual(["missed"]);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("whoever leaves meanwhile is decided for afterwards", async () => {
    await begin();
    const phone = await a.device("sara", { token: "t" });
    await cluster.setStorageAway(true);
    phone.leave();
    await cluster.clock.advance(3_000);
    await cluster.setStorageAway(false);
    await cluster.clock.advance(5_000);
    await publish(b, "one");
    await cluster.clock.advance(10_000);
    expect(await states(c, "sara")).toEqual(["disconnected.away"]);
    expect(cluster.tokens).toEqual(["t"]);
    expect(a.engine.counters().sessions).toBe(0);
  });

  test("a push that could not be queued meanwhile is queued afterwards", async () => {
    await begin();
    const phone = await a.device("sara", { token: "t", habit: "mute" });
    await publish(b, "one");
    await cluster.clock.advance(1_000);
    await cluster.setStorageAway(true);
    await cluster.clock.advance(4_000);
    await cluster.setStorageAway(false);
    await cluster.clock.advance(10_000);
    expect(phone.isOpen).toBe(true);
    expect(cluster.tokens).toEqual(["t"]);
  });
});

describe("entries arrive late at a node", () => {
  test("what came just before a session left is decided by its node, though it was not told of it yet", async () => {
    await begin();
    const phone = await a.device("sara", { token: "t" });
    // Somebody else reads the same topic there.
    await a.device("sara", { deviceId: "laptop" });
    a.access.lagMs = 1_500;
    await publish(b, "one");
    await cluster.clock.advance(500);
    phone.leave();
    await cluster.clock.advance(10_000);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("a device that is further than the node it comes to gets nothing twice and misses nothing", async () => {
    await begin();
    const other = await a.device("sara", { deviceId: "laptop" });
    const before = await b.device("sara", { deviceId: "phone", token: "t" });
    a.access.lagMs = 3_000;
    await publish(c, "one");
    await publish(c, "two");
    await cluster.clock.advance(500);
    const after: ClusterDevice = await a.device("sara", { deviceId: "phone", cursors: before.cursors });
    await publish(c, "three");
    await cluster.clock.advance(20_000);
    expect([...before.contents, ...after.contents]).toEqual(["one", "two", "three"]);
    expect(after.of("welcome")[0]!.recovery.map(({ offset, recovered }) => [offset, recovered])).toEqual([[2, true]]);
    expect(other.contents).toEqual(["one", "two", "three"]);
    expect(cluster.pushes).toEqual([]);
  });
});

describe("a node that leaves in order", () => {
  test("drain moves its clients to another node without a push", async () => {
    await begin();
    const before = await a.device("sara", { token: "t" });
    await publish(b, "one");
    const drained = a.engine.drain();
    await cluster.clock.advance(2_000);
    expect(before.of("drain").length).toBe(1);
    const after = await b.device("sara", { cursors: before.cursors });
    expect(before.closedWith).toBe(4101);
    await cluster.finish(drained);
    await publish(c, "two");
    await cluster.finish(a.engine.close());
    await cluster.clock.advance(60_000);
    expect([...before.contents, ...after.contents]).toEqual(["one", "two"]);
    expect(cluster.pushes).toEqual([]);
  });

  test("close releases the lease: others take its sessions over at once, as recent", async () => {
    await begin();
    const device = await a.device("sara", { token: "t" });
    await cluster.finish(a.engine.close());
    expect(device.closedWith).toBe(4000);
    await cluster.clock.advance(1_200);
    expect([b, c].map(({ engine }) => engine.counters().sessions).sort()).toEqual([0, 1]);
    expect(await states(b, "sara")).toEqual(["disconnected.recent"]);
    await publish(b, "one");
    await cluster.clock.advance(10_000);
    expect(cluster.pushes).toEqual([]);
    await cluster.clock.advance(10_000);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("close gives up what it still insists on", async () => {
    await begin();
    await b.device("sara");
    b.cut();
    const revoked = a.engine.revoke("sara");
    await cluster.clock.advance(1_000);
    await cluster.finish(a.engine.close());
    await cluster.finish(revoked);
    await b.heal();
  });
});
