import { describe, expect, test } from "vitest";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

describe("subscriptions are the user's, on whichever node a device is", () => {
  test("subscribing, resubscribing and unsubscribing on one node reaches the device on the other", async () => {
    const there = await b.device("sara", { deviceId: "laptop" });
    const here = await a.device("sara", { deviceId: "phone" });
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "old" }));
    await here.request({ type: "subscribe", ref: 0, topic: "*/news", since: null, anew: false });
    await cluster.clock.settle();
    expect(there.of("subscribed").map(({ topic, offset }) => [topic, offset])).toEqual([["*/news", 1]]);
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "one" }));
    await cluster.clock.settle();
    expect([here.contents, there.contents]).toEqual([["one"], ["one"]]);

    await cluster.finish(c.engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 } }));
    await cluster.clock.settle();
    expect(there.of("subscribed").length).toBe(1);
    await cluster.finish(
      c.engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 }, anew: true }),
    );
    await cluster.clock.settle();
    expect(there.of("subscribed").map(({ recovered }) => recovered)).toEqual([true, false]);
    expect([here.contents, there.contents]).toEqual([["one", "old", "one"], ["one", "old", "one"]]);

    await here.request({ type: "unsubscribe", ref: 0, topic: "*/news" });
    expect(there.of("unsubscribed").map(({ topic }) => topic)).toEqual(["*/news"]);
    await cluster.finish(a.engine.publish({ to: "*", channel: "news", content: "two" }));
    await cluster.clock.advance(1_000);
    expect(there.contents.length).toBe(3);
  });

  test("the node that was asked tells of a change, the others do not", async () => {
    const told: string[] = [];
    const ends = [a, b, c].map(({ engine }, i) =>
      engine.on("subscription", ({ kind, begins }) => told.push(`${"abc"[i]} ${kind} ${begins?.offset}`))
    );
    await b.device("sara", { deviceId: "laptop" });
    const here = await a.device("sara", { deviceId: "phone" });
    await here.request({ type: "subscribe", ref: 0, topic: "*/news", since: null, anew: false });
    await cluster.finish(c.engine.unsubscribe("sara", { to: "*", channel: "news" }));
    await cluster.clock.settle();
    expect(told).toEqual(["a subscribed 0", "c unsubscribed undefined"]);
    expect((await cluster.finish(b.engine.subscriptions("sara"))).map(({ topic }) => topic)).toEqual(["sara/default"]);
    ends.forEach((end) => end());
  });

  test("after unsubscribe returned, the other node writes nothing of it", async () => {
    const there = await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "news" }));
    let frames = Infinity;
    const publishes: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) publishes.push(c.engine.publish({ to: "*", channel: "news", content: `${i}` }));
    await cluster.finish(a.engine.unsubscribe("sara", { to: "*", channel: "news" }).then(() => frames = there.frames.length));
    for (let i = 0; i < 20; i++) publishes.push(c.engine.publish({ to: "*", channel: "news", content: `${i}` }));
    await cluster.finish(Promise.all(publishes));
    await cluster.clock.advance(2_000);
    expect(there.frames.slice(frames).filter(({ type }) => type === "message")).toEqual([]);
  });

  test("unsubscribing waits for a stopped node until its lease has lapsed, and what it had gathered is never written", async () => {
    const there = await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "news" }));
    b.pause();
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "late" }));
    await cluster.finish(a.engine.unsubscribe("sara", { to: "*", channel: "news" }), 12_000);
    await cluster.clock.advance(10_000);
    await b.resume("input");
    await cluster.clock.advance(1_000);
    expect(there.contents).toEqual([]);
  });

  test("a device that attaches while another node unsubscribes does not read on", async () => {
    for (const turns of [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30]) {
      const user = `user ${turns}`;
      await cluster.finish(a.engine.subscribe(user, { to: "*", channel: "news" }));
      const device = b.connect(user);
      for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => cluster.clock.defer(resolve));
      await cluster.finish(a.engine.unsubscribe(user, { to: "*", channel: "news" }));
      await cluster.clock.advance(1_000);
      await cluster.finish(a.engine.publish({ to: "*", channel: "news", content: "nobody's" }));
      await cluster.clock.settle();
      expect(device.contents, `after ${turns} turns`).toEqual([]);
      expect(device.isOpen).toBe(true);
    }
  });

  test("a device that attaches while another node subscribes reads the topic", async () => {
    for (const turns of [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30]) {
      const user = `user ${turns}`;
      await cluster.finish(a.engine.subscribe(user, { to: user, channel: "other" }));
      const device = b.connect(user);
      for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => cluster.clock.defer(resolve));
      await cluster.finish(a.engine.subscribe(user, { to: "*", channel: "news" }));
      await cluster.clock.advance(1_000);
      await cluster.finish(a.engine.publish({ to: "*", channel: "news", content: "one" }));
      await cluster.clock.settle();
      expect(device.contents, `after ${turns} turns`).toEqual(["one"]);
    }
  });

  test("a resubscription whose answer is late does not begin twice", async () => {
    const there = await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "news" }));
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "one" }));
    await cluster.clock.settle();
    b.pause();
    const again = a.engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 }, anew: true });
    // Asked several times by now.
    await cluster.clock.advance(3_000);
    await b.resume();
    await cluster.finish(again);
    await cluster.clock.advance(2_000);
    expect(there.contents).toEqual(["one", "one"]);
  });
});
