import { describe, expect, test } from "vitest";
import { a, b, c, cluster, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("the newest connection has the session, on whichever node", () => {
  test("the old one is closed for good, and only the new one gets what comes", async () => {
    const old = await a.device("sara");
    const now = await b.device("sara");
    await cluster.finish(a.engine.publish({ to: "sara", content: "one" }));
    await cluster.clock.settle();
    expect(old.closedWith).toBe(4101);
    expect(old.contents).toEqual([]);
    expect(now.contents).toEqual(["one"]);
    expect(a.engine.counters().sessions).toBe(0);
  });

  test("what the old node still had to write changes nothing", async () => {
    const old = await a.device("sara", { token: "t", habit: "mute" });
    await cluster.finish(c.engine.publish({ to: "sara", content: "one" }));
    await cluster.clock.settle();
    a.pause();
    // These reach the stopped node's kernel only.
    old.ack(old.cursors);
    old.leave();
    const now = await b.device("sara", { habit: "sees" });
    await a.resume("input");
    await cluster.clock.advance(5_000);
    expect(now.isOpen).toBe(true);
    expect(await states(c, "sara")).toEqual(["connected.live"]);
    now.drop();
    const third = await c.device("sara");
    expect(third.contents, "the old node's ack moved the cursor").toEqual(["one"]);
    expect(cluster.pushes).toEqual([]);
  });

  test("of two that connect at once on two nodes exactly one survives", async () => {
    for (let round = 0; round < 20; round++) {
      const devices = [a.connect("sara"), b.connect("sara"), ...round % 2 ? [c.connect("sara")] : []];
      await cluster.clock.advance(2_000);
      expect(devices.filter(({ isOpen }) => isOpen).length, `round ${round}`).toBe(1);
      expect(await states(a, "sara")).toEqual(["connected.live"]);
    }
  });

  test("a node that was slow to hear of its own attachment lets go of it", async () => {
    // A's record is written, the answer still travels: B takes the session over and A has nothing to let go of yet.
    const first = a.connect("sara");
    const { users } = await cluster.storage.opened();
    while ((await users.get("sara"))?.sessions.length !== 1) await new Promise<void>((resolve) => cluster.clock.defer(resolve));
    a.access.gate.pause();
    const second = b.connect("sara");
    for (let turn = 0; turn < 40; turn++) await new Promise<void>((resolve) => cluster.clock.defer(resolve));
    await a.resume("input");
    await cluster.clock.advance(1_000);
    expect([first.isOpen, second.isOpen]).toEqual([false, true]);
  });

  test("a connection that was given up while its node stood still does not take the session from the newer one", async () => {
    a.pause();
    const given = a.connect("sara");
    given.drop();
    const now = await b.device("sara");
    await a.resume("input");
    await cluster.clock.advance(2_000);
    expect(now.isOpen).toBe(true);
    expect(await states(c, "sara")).toEqual(["connected.live"]);
  });

  test("a node that could not be told lets go once it can be", async () => {
    const old = await a.device("sara");
    a.cut();
    const now = await b.device("sara");
    await cluster.clock.advance(3_000);
    await a.heal();
    await cluster.clock.advance(2_000);
    expect([old.closedWith, now.isOpen]).toEqual([4101, true]);
    expect(a.engine.counters().sessions).toBe(0);
  });
});

describe("another user on the same device, on another node", () => {
  test("the former session is suspended: its socket closed for good, nothing pushed there any more", async () => {
    const sara = await a.device("sara", { deviceId: "shared", token: "t" });
    await b.device("reza", { deviceId: "shared" });
    expect(sara.closedWith).toBe(4101);
    expect(await states(c, "sara")).toEqual(["disconnected.away"]);
    await cluster.finish(c.engine.publish({ to: "sara", content: "secret" }));
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("a late registration of the former user's does not bring the target back", async () => {
    const sara = await a.device("sara", { deviceId: "shared" });
    a.pause();
    sara.send({ type: "target", ref: 9, provider: "fake", token: "t", details: null });
    const reza = b.connect("reza", { deviceId: "shared" });
    await cluster.clock.advance(100);
    await a.resume("input");
    await cluster.until(() => reza.of("welcome").length > 0);
    await cluster.finish(c.engine.publish({ to: "sara", content: "secret" }));
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
  });
});
