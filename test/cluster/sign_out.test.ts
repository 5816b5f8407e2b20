import { describe, expect, test } from "vitest";
import { a, b, c, cluster, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("push targets and the end of sessions, across nodes", () => {
  test("registering a token moves it from the session on the other node", async () => {
    const reza = await b.device("reza", { token: "t" });
    await a.device("sara", { token: "t" });
    reza.leave();
    await cluster.clock.advance(1_000);
    await cluster.finish(c.engine.publish({ to: "reza", content: "hi" }));
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
    expect((await cluster.finish(b.engine.sessions("reza")))[0]!.targets).toEqual([]);
  });

  test("the session that lost its target knows: nothing is queued for it", async () => {
    const reza = await b.device("reza", { token: "t" });
    reza.state(false);
    await a.device("sara", { token: "t" });
    const result = await cluster.finish(c.engine.publish({ to: "reza", content: "hi" }));
    await cluster.clock.advance(10_000);
    expect((await cluster.finish(a.engine.explain(result)))?.devices[0]?.rule).toBe("backgrounded/alert/no-target");
  });

  test("revoke ends sessions on other nodes and returns when they have ended", async () => {
    const phone = await a.device("sara", { deviceId: "phone", token: "1" });
    const laptop = await b.device("sara", { deviceId: "laptop", token: "2" });
    let codes: unknown;
    expect(await cluster.finish(c.engine.revoke("sara").then((count) => (codes = [phone.closedWith, laptop.closedWith], count))))
      .toBe(2);
    expect(codes).toEqual([4103, 4103]);
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
    expect([a, b].map(({ engine }) => engine.counters().sessions)).toEqual([0, 0]);
  });

  test("a device's logout leaves the user's device on another node alone", async () => {
    const phone = await a.device("sara", { deviceId: "phone" });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    phone.send({ type: "logout", ref: 7 });
    await cluster.clock.advance(1_000);
    expect([phone.closedWith, laptop.isOpen]).toEqual([4103, true]);
    expect(await states(c, "sara")).toEqual(["connected.live"]);
  });

  test("with the owning node killed, revoke returns when its lease has lapsed", async () => {
    await b.device("sara", { token: "t" });
    b.kill();
    const before = cluster.clock.elapsed();
    await cluster.finish(c.engine.revoke("sara"), 12_000);
    expect(cluster.clock.elapsed() - before).toBeLessThan(9_500);
    expect(cluster.clock.elapsed() - before).toBeGreaterThan(5_000);
  });

  test.each(["input", "timer"] as const)(
    "a stopped node writes nothing of a revoked session after it goes on (%s first)",
    async (first) => {
      const there = await b.device("sara", { token: "t", habit: "sees" });
      b.pause();
      await cluster.finish(a.engine.publish({ to: "sara", content: "late" }));
      // Answers to these would be written, and a malformed one closes the connection after what waits for it.
      there.send({ type: "subscribe", ref: 5, topic: "*/news", since: null, anew: false });
      await cluster.finish(c.engine.revoke("sara"), 12_000);
      await cluster.clock.advance(20_000);
      there.raw(new Uint8Array([0xc1]));
      const frames = there.frames.length;
      await b.resume(first);
      await cluster.clock.advance(10_000);
      expect(there.frames.slice(frames)).toEqual([]);
      expect(there.isOpen).toBe(false);
      expect(cluster.pushes).toEqual([]);
    },
  );
});
