import { afterEach, describe, expect, test } from "vitest";
import { Cluster, type Node } from "./stage.ts";

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

/** What each of a user's devices is in, by state. */
async function states(node: Node, userId: string): Promise<string[]> {
  return (await cluster.finish(node.engine.sessions(userId))).map(({ state }) => state).sort();
}

describe("one user on two nodes", () => {
  test("every message reaches both devices, in order, and is acked by both", async () => {
    await begin();
    const phone = await a.device("sara", { deviceId: "phone" });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    for (let i = 1; i <= 30; i++) {
      await cluster.finish([a, b, c][i % 3]!.engine.publish({ to: "sara", content: `${i}`, id: `m${i}` }));
    }
    await cluster.clock.settle();
    const expected = Array.from({ length: 30 }, (_, index) => `${index + 1}`);
    expect(phone.contents).toEqual(expected);
    expect(laptop.contents).toEqual(expected);
    expect(phone.offsets).toEqual([...phone.offsets].sort((x, y) => x - y));
    expect((await cluster.finish(c.engine.explain("m7")))?.delivered).toBe(2);
    await cluster.clock.advance(20_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("delivered and read reach the publisher's device on a third node, once each", async () => {
    await begin();
    const phone = await a.device("sara", { deviceId: "phone" });
    await b.device("sara", { deviceId: "laptop" });
    const publisher = await c.device("reza");
    await publisher.publish("sara/default", "hi", "m1");
    await cluster.clock.settle();
    const { topic, epoch, offset } = phone.of("message")[0]!;
    await phone.request({ type: "mark", ref: 0, kind: "read", topic, epoch, offset, id: "m1" });
    await cluster.clock.settle();
    expect(publisher.of("receipt").map(({ kind, id }) => `${kind} ${id}`).sort()).toEqual([
      "delivered m1",
      "delivered m1",
      "read m1",
    ]);
  });

  test("a live message reaches both", async () => {
    await begin();
    const phone = await a.device("sara", { deviceId: "phone" });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(c.engine.publish({ to: "sara", content: "typing", live: true }));
    await cluster.clock.settle();
    expect([phone.contents, laptop.contents]).toEqual([["typing"], ["typing"]]);
  });
});

describe("the newest connection has the session, on whichever node", () => {
  test("the old one is closed for good, and only the new one gets what comes", async () => {
    await begin();
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
    await begin();
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
    await begin();
    for (let round = 0; round < 20; round++) {
      const devices = [a.connect("sara"), b.connect("sara"), ...round % 2 ? [c.connect("sara")] : []];
      await cluster.clock.advance(2_000);
      expect(devices.filter(({ isOpen }) => isOpen).length, `round ${round}`).toBe(1);
      expect(await states(a, "sara")).toEqual(["connected.live"]);
    }
  });

  test("a node that was slow to hear of its own attachment lets go of it", async () => {
    await begin();
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
    await begin();
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
    await begin();
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
    await begin();
    const sara = await a.device("sara", { deviceId: "shared", token: "t" });
    await b.device("reza", { deviceId: "shared" });
    expect(sara.closedWith).toBe(4101);
    expect(await states(c, "sara")).toEqual(["disconnected.away"]);
    await cluster.finish(c.engine.publish({ to: "sara", content: "secret" }));
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
  });

  test("a late registration of the former user's does not bring the target back", async () => {
    await begin();
    const sara = await a.device("sara", { deviceId: "shared" });
    a.pause();
    sara.send({ type: "target", ref: 9, provider: "fake", token: "t" });
    const reza = b.connect("reza", { deviceId: "shared" });
    await cluster.clock.advance(100);
    await a.resume("input");
    await cluster.until(() => reza.of("welcome").length > 0);
    await cluster.finish(c.engine.publish({ to: "sara", content: "secret" }));
    await cluster.clock.advance(30_000);
    expect(cluster.pushes).toEqual([]);
  });
});

describe("subscriptions are the user's, on whichever node a device is", () => {
  test("subscribing, resubscribing and unsubscribing on one node reaches the device on the other", async () => {
    await begin();
    const there = await b.device("sara", { deviceId: "laptop" });
    const here = await a.device("sara", { deviceId: "phone" });
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "old" }));
    await here.request({ type: "subscribe", ref: 0, topic: "*/news", since: null });
    await cluster.clock.settle();
    expect(there.of("subscribed").map(({ topic, offset }) => [topic, offset])).toEqual([["*/news", 1]]);
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "one" }));
    await cluster.clock.settle();
    expect([here.contents, there.contents]).toEqual([["one"], ["one"]]);

    await cluster.finish(c.engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 } }));
    await cluster.clock.settle();
    expect(there.of("subscribed").length).toBe(2);
    expect([here.contents, there.contents]).toEqual([["one", "old", "one"], ["one", "old", "one"]]);

    await here.request({ type: "unsubscribe", ref: 0, topic: "*/news" });
    expect(there.of("unsubscribed").map(({ topic }) => topic)).toEqual(["*/news"]);
    await cluster.finish(a.engine.publish({ to: "*", channel: "news", content: "two" }));
    await cluster.clock.advance(1_000);
    expect(there.contents.length).toBe(3);
  });

  test("after unsubscribe returned, the other node writes nothing of it", async () => {
    await begin();
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
    await begin();
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
    await begin();
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
    await begin();
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
    await begin();
    const there = await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "news" }));
    await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "one" }));
    await cluster.clock.settle();
    b.pause();
    const again = a.engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 } });
    // Asked several times by now.
    await cluster.clock.advance(3_000);
    await b.resume();
    await cluster.finish(again);
    await cluster.clock.advance(2_000);
    expect(there.contents).toEqual(["one", "one"]);
  });
});

describe("push targets and the end of sessions, across nodes", () => {
  test("registering a token moves it from the session on the other node", async () => {
    await begin();
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
    await begin();
    const reza = await b.device("reza", { token: "t" });
    reza.state(false);
    await a.device("sara", { token: "t" });
    await cluster.finish(c.engine.publish({ to: "reza", content: "hi", id: "m1" }));
    await cluster.clock.advance(10_000);
    expect((await cluster.finish(a.engine.explain("m1")))?.devices[0]?.rule).toBe("backgrounded/alert/no-target");
  });

  test("revoke ends sessions on other nodes and returns when they have ended", async () => {
    await begin();
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
    await begin();
    const phone = await a.device("sara", { deviceId: "phone" });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    phone.send({ type: "logout", ref: 7 });
    await cluster.clock.advance(1_000);
    expect([phone.closedWith, laptop.isOpen]).toEqual([4103, true]);
    expect(await states(c, "sara")).toEqual(["connected.live"]);
  });

  test("with the owning node killed, revoke returns when its lease has lapsed", async () => {
    await begin();
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
      await begin();
      const there = await b.device("sara", { token: "t", habit: "sees" });
      b.pause();
      await cluster.finish(a.engine.publish({ to: "sara", content: "late" }));
      // Answers to these would be written, and a malformed one closes the connection after what waits for it.
      there.send({ type: "subscribe", ref: 5, topic: "*/news", since: null });
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

describe("the arbiter, across nodes", () => {
  /** The phone is away; the laptop on A is looked at. */
  async function scene(habit: "acks" | "sees"): Promise<Awaited<ReturnType<Node["device"]>>> {
    await begin();
    const phone = await b.device("sara", { deviceId: "phone", token: "phone" });
    const laptop = await a.device("sara", { deviceId: "laptop", attended: true, habit });
    phone.leave();
    await cluster.clock.advance(1_000);
    return laptop;
  }

  test("attended on one node holds the push that another decides, and its ack drops it", async () => {
    await scene("acks");
    for (let i = 0; i < 6; i++) {
      await cluster.finish([a, b, c][i % 3]!.engine.publish({ to: "sara", content: `${i}`, id: `m${i}` }));
    }
    await cluster.clock.advance(60_000);
    expect(cluster.pushes).toEqual([]);
    const kinds = (await cluster.finish(c.engine.explain("m1")))!.devices.flatMap(({ events }) => events.map(({ kind }) => kind));
    expect(kinds).toContain("push-held");
    expect(kinds).toContain("push-dropped");
  });

  test("whoever is about to push asks whether it was acked elsewhere", async () => {
    await begin();
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
    for (const { id, topic, offset } of laptop.messages) {
      const { epoch } = laptop.of("message")[0]!;
      await laptop.request({ type: "mark", ref: 0, kind: "read", topic, epoch, offset, id });
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

describe("sessions() and explain() on any node", () => {
  test("answer for all nodes", async () => {
    await begin();
    await a.device("sara", { deviceId: "phone", attended: true });
    const laptop = await b.device("sara", { deviceId: "laptop" });
    laptop.state(false);
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi", id: "m1" }));
    await cluster.clock.settle();
    for (const node of [a, b, c]) {
      expect(await states(node, "sara")).toEqual(["backgrounded", "connected.live"]);
      const explanation = await cluster.finish(node.engine.explain("m1"));
      expect(explanation?.devices.map(({ state }) => state).sort()).toEqual(["backgrounded", "connected.live"]);
    }
  });

  test("with a stopped node: within their timeout, its sessions shown as recent", async () => {
    await begin();
    await a.device("sara", { deviceId: "phone" });
    await b.device("sara", { deviceId: "laptop" });
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi", id: "m1" }));
    await cluster.clock.settle();
    b.pause();
    const at = cluster.clock.elapsed();
    expect(await states(c, "sara")).toEqual(["connected.live", "disconnected.recent"]);
    expect((await cluster.finish(c.engine.explain("m1")))?.devices.length).toBe(1);
    expect(cluster.clock.elapsed() - at).toBeLessThanOrEqual(1_200);
    await b.resume();
  });
});
