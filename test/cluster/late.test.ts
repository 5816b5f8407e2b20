import { describe, expect, test } from "vitest";
import type { ClusterDevice } from "./stage.ts";
import { a, b, c, cluster, publish, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("the storage is away from everybody", () => {
  test.each([6, 20])("for %i s: nobody takes anybody over, connections stay, everything arrives once", async (seconds) => {
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
