import { describe, expect, test } from "vitest";
import type { PublishResult } from "../../mod.ts";
import { a, b, c, cluster, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("one user on two nodes", () => {
  test("every message reaches both devices, in order, and is acked by both", async () => {
    const phone = await a.device("sara", { deviceId: "phone" });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    const results: PublishResult[] = [];
    for (let i = 1; i <= 30; i++) {
      results.push(await cluster.finish([a, b, c][i % 3]!.engine.publish({ to: "sara", content: `${i}`, id: `m${i}` })));
    }
    await cluster.clock.settle();
    const expected = Array.from({ length: 30 }, (_, index) => `${index + 1}`);
    expect(phone.contents).toEqual(expected);
    expect(laptop.contents).toEqual(expected);
    expect(phone.offsets).toEqual([...phone.offsets].sort((x, y) => x - y));
    expect((await cluster.finish(c.engine.explain(results[6]!)))?.delivered).toBe(2);
    await cluster.clock.advance(20_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("delivered and read reach the publisher's device on a third node, once each", async () => {
    const phone = await a.device("sara", { deviceId: "phone" });
    await b.device("sara", { deviceId: "laptop" });
    const publisher = await c.device("reza");
    await publisher.publish("sara/default", "hi", "m1");
    await cluster.clock.settle();
    const { topic, epoch, offset } = phone.of("message")[0]!;
    await phone.request({ type: "mark", ref: 0, kind: "read", topic, epoch, offset });
    await cluster.clock.settle();
    expect(publisher.of("receipt").map(({ kind, id }) => `${kind} ${id}`).sort()).toEqual([
      "delivered m1",
      "delivered m1",
      "read m1",
    ]);
  });

  test("an ephemeral message reaches both", async () => {
    const phone = await a.device("sara", { deviceId: "phone" });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(c.engine.publish({ to: "sara", content: "typing", ephemeral: true }));
    await cluster.clock.settle();
    expect([phone.contents, laptop.contents]).toEqual([["typing"], ["typing"]]);
  });
});

describe("sessions() and explain() on any node", () => {
  test("answer for all nodes", async () => {
    await a.device("sara", { deviceId: "phone", attended: true });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    laptop.state(false);
    const result = await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.settle();
    for (const node of [a, b, c]) {
      expect(await states(node, "sara")).toEqual(["backgrounded", "connected.live"]);
      const explanation = await cluster.finish(node.engine.explain(result));
      expect(explanation?.devices.map(({ state }) => state).sort()).toEqual(["backgrounded", "connected.live"]);
    }
  });

  test("with a stopped node: within their timeout, its sessions shown as recent", async () => {
    await a.device("sara", { deviceId: "phone" });
    await b.device("sara", { deviceId: "laptop" });
    const result = await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.settle();
    b.pause();
    const at = cluster.clock.elapsed();
    expect(await states(c, "sara")).toEqual(["connected.live", "disconnected.recent"]);
    expect((await cluster.finish(c.engine.explain(result)))?.devices.length).toBe(1);
    expect(cluster.clock.elapsed() - at).toBeLessThanOrEqual(1_200);
    await b.resume();
  });
});
