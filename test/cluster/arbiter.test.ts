import { describe, expect, test } from "vitest";
import type { PublishResult } from "../../mod.ts";
import type { ClusterDevice } from "./stage.ts";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("the arbiter, across nodes", () => {
  /** The phone is away; the laptop on A is looked at. */
  async function scene(habit: "acks" | "sees"): Promise<ClusterDevice> {
    const phone = await b.device("sara", { deviceId: "phone", token: "phone" });
    const laptop = await a.device("sara", { deviceId: "laptop", attended: true, habit });
    phone.leave();
    await cluster.clock.advance(1_000);
    return laptop;
  }

  test("attended on one node holds the push that another decides, and its ack drops it", async () => {
    await scene("acks");
    const results: PublishResult[] = [];
    for (let i = 0; i < 6; i++) {
      results.push(await cluster.finish([a, b, c][i % 3]!.engine.publish({ to: "sara", content: `${i}`, id: `m${i}` })));
    }
    await cluster.clock.advance(60_000);
    expect(cluster.pushes).toEqual([]);
    const kinds = (await cluster.finish(c.engine.explain(results[1]!)))!.devices.flatMap(({ events }) =>
      events.map(({ kind }) => kind)
    );
    expect(kinds).toContain("push-held");
    expect(kinds).toContain("push-dropped");
  });

  test("whoever is about to push asks whether it was acked elsewhere", async () => {
    const phone = await a.device("sara", { deviceId: "phone", token: "phone" });
    await c.device("sara", { deviceId: "laptop", attended: true });
    phone.leave();
    await cluster.clock.advance(1_000);
    for (let i = 0; i < 6; i++) await cluster.finish(b.engine.publish({ to: "sara", content: `${i}` }));
    await cluster.clock.advance(60_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("held no longer than activeElsewhereMs when nobody acks", async () => {
    await scene("sees");
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    const at = cluster.clock.elapsed();
    await cluster.clock.advance(4_900);
    expect(cluster.pushes).toEqual([]);
    await cluster.clock.advance(1_200);
    expect(cluster.tokens).toEqual(["phone"]);
    expect(cluster.pushes[0]!.at - at).toBeGreaterThanOrEqual(4_990);
  });

  test.each(["pause", "cut"] as const)("when in doubt, push: the node that would know does not answer (%s)", async (fault) => {
    await scene("acks");
    a[fault]();
    // What the node itself decides it may hold; it gets no more than its turn.
    for (let i = 0; i < 3; i++) {
      await cluster.finish(c.engine.publish({ to: "sara", content: `${i}` }));
      await cluster.clock.advance(1_200);
    }
    expect(cluster.tokens).toContain("phone");
    if (fault === "pause") await a.resume();
    await a.heal();
  });

  test("read on one node drops what another has queued", async () => {
    const laptop = await scene("sees");
    for (const id of ["m1", "m2", "m3"]) await cluster.finish(c.engine.publish({ to: "sara", content: id, id }));
    await cluster.clock.advance(1_000);
    for (const { topic, offset } of laptop.messages) {
      const { epoch } = laptop.of("message")[0]!;
      await laptop.request({ type: "mark", ref: 0, kind: "read", topic, epoch, offset });
    }
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("a push that was held for a device is dropped when that device itself has it, on another node", async () => {
    await scene("sees");
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi", id: "m1" }));
    await cluster.clock.advance(4_000);
    const phone = await c.device("sara", { deviceId: "phone" });
    await cluster.clock.advance(30_000);
    expect(phone.contents).toEqual(["hi"]);
    expect(cluster.pushes).toEqual([]);
  });
});
