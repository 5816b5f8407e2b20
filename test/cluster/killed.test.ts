import { describe, expect, test } from "vitest";
import { a, b, c, cluster, publish, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("a killed node's sessions", () => {
  test("are held as recent by another node after its lease lapsed, never as away at once", async () => {
    await a.device("sara", { token: "t" });
    await publish(b, "one");
    a.kill();
    await publish(b, "two");
    const seen = new Set<string>();
    for (let second = 0; second < 17; second++) {
      await cluster.clock.advance(1_000);
      for (const state of await states(b, "sara")) seen.add(state);
    }
    expect([...seen]).toEqual(["disconnected.recent"]);
    expect([b, c].map(({ engine }) => engine.counters().sessions).sort()).toEqual([0, 1]);
    expect(cluster.pushes).toEqual([]);
  });

  test("are decided for within graceMs + activeElsewhereMs + 5 s after the last renewal", async () => {
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
