import { describe, expect, test } from "vitest";
import { a, b, c, cluster, publish, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("a node that leaves in order", () => {
  test("drain moves its clients to another node without a push", async () => {
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
    await b.device("sara");
    b.cut();
    const revoked = a.engine.revoke("sara");
    await cluster.clock.advance(1_000);
    await cluster.finish(a.engine.close());
    await cluster.finish(revoked);
    await b.heal();
  });
});
