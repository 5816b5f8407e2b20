import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import type { ClusterDevice } from "./stage.ts";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

/** What the worker waits for: its answer is made and does not arrive. */
type Held = "take" | "record" | "entry";

/**
 * Queues a push to sara's phone, which is away. The worker on c, which holds none of her sessions, takes it and is held up.
 * @returns lets the answer arrive
 */
async function pushUnderWay(held: Held): Promise<() => Promise<void>> {
  const phone = await a.device("sara", { deviceId: "phone", token: "t" });
  await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "news" }));
  phone.leave();
  await cluster.clock.advance(1_000);

  const { history, outbox, users } = await cluster.storage.opened();
  let next: Held | undefined = "take";
  let arrive: (() => void) | undefined;
  const answer = async <T>(what: Held, asked: Promise<T>): Promise<T> => {
    const answer = await asked;
    if (what === held && next !== undefined && (what === "take" || next !== "take")) {
      next = undefined;
      await new Promise<void>((resolve) => arrive = resolve);
    } else if (what === next) next = held;
    return answer;
  };
  const [take, get, read] = [outbox.take.bind(outbox), users.get.bind(users), history!.read.bind(history)];
  const spies = [
    vi.spyOn(outbox, "take").mockImplementation((ids) => answer("take", take(ids))),
    vi.spyOn(users, "get").mockImplementation((userId) => answer("record", get(userId))),
    vi.spyOn(history!, "read").mockImplementation((...asked) => answer("entry", read(...asked))),
  ];
  onTestFinished(() => spies.forEach((spy) => spy.mockRestore()));

  for (const other of [a, b]) other.pause();
  await cluster.finish(c.engine.publish({ to: "*", channel: "news", content: "hi", id: "m1" }));
  await cluster.until(() => arrive !== undefined);
  for (const other of [a, b]) await other.resume();
  expect(cluster.tokens).toEqual([]);
  return async () => {
    arrive!();
    await cluster.clock.settle();
  };
}

/** Whether a call has returned. */
function returned(call: Promise<unknown>): () => boolean {
  let returned = false;
  void call.then(() => returned = true);
  return () => returned;
}

/** Whether a request was answered. */
function asked(device: ClusterDevice, frame: Extract<ClientFrame, { ref: number }>): () => boolean {
  device.send({ ...frame, ref: 99 });
  return () => device.of("ok").some(({ ref }) => ref === 99);
}

/** Her phone comes back, on b. It does not say that it has the message. */
function phone(): Promise<ClusterDevice> {
  return b.device("sara", { deviceId: "phone", habit: "mute" });
}

/** What ends something that a push may be under way for. Each says whether it has returned. */
const endings: Record<string, () => (() => boolean) | Promise<() => boolean>> = {
  "revoke": () => returned(b.engine.revoke("sara")),
  "unsubscribe": () => returned(b.engine.unsubscribe("sara", { to: "*", channel: "news" })),
  "a client's unsubscribe": async () => asked(await phone(), { type: "unsubscribe", ref: 0, topic: "*/news" }),
  "logout": async () => asked(await phone(), { type: "logout", ref: 0 }),
  "the removal of a target": async () =>
    asked(await phone(), { type: "target", ref: 0, provider: "fake", token: null, details: null }),
  "a token's move to another user": async () => {
    return asked(await b.device("reza"), { type: "target", ref: 0, provider: "fake", token: "t", details: null });
  },
  "a token's move to another device": async () => {
    const laptop = await b.device("sara", { deviceId: "laptop", habit: "mute" });
    return asked(laptop, { type: "target", ref: 0, provider: "fake", token: "t", details: null });
  },
  "another user's sign-in on the device": () => {
    const reza = b.connect("reza", { deviceId: "phone" });
    return () => reza.of("welcome").length > 0;
  },
};

describe.each(Object.entries(endings))("a push under way on a node without the user's sessions: %s", (_, end) => {
  test.each([["record", ["t"]], ["entry", []], ["take", []]] as const)(
    "returns when it is settled, held up at the %s",
    async (held, pushed) => {
      const arrive = await pushUnderWay(held);
      const hasReturned = await end();
      await cluster.clock.advance(2_000);
      expect(hasReturned()).toBe(false);
      expect(cluster.tokens).toEqual([]);
      await arrive();
      await cluster.until(hasReturned);
      // The record is read last: what was written before that drops the push.
      expect(cluster.tokens).toEqual(pushed);
      await cluster.clock.advance(300_000);
      expect(cluster.tokens).toEqual(pushed);
    },
  );
});

describe("a token that is replaced while a push for the former one is under way on another node", () => {
  test.each([["record", "t"], ["entry", "t2"], ["take", "t2"]] as const)(
    "waits for nothing: the push goes to the one that was read, held up at the %s",
    async (held, token) => {
      const arrive = await pushUnderWay(held);
      const hasReturned = asked(await phone(), { type: "target", ref: 0, provider: "fake", token: "t2", details: null });
      await cluster.until(hasReturned, 1_000);
      await arrive();
      await cluster.clock.advance(300_000);
      expect(cluster.tokens).toEqual([token]);
    },
  );
});

describe("whom the end of something waits for", () => {
  test("not a dead node, when no push is under way", async () => {
    const phone = await a.device("sara", { deviceId: "phone", token: "t" });
    await cluster.finish(a.engine.subscribe("sara", { to: "*", channel: "news" }));
    c.kill();
    const hasReturned = returned(b.engine.unsubscribe("sara", { to: "*", channel: "news" }));
    await cluster.clock.settle();
    expect(hasReturned()).toBe(true);
    expect(phone.of("unsubscribed")).toHaveLength(1);
  });

  test("a dead node with a push under way, until its lease has lapsed", async () => {
    await pushUnderWay("entry");
    c.kill();
    const before = cluster.clock.elapsed();
    await cluster.finish(b.engine.revoke("sara"), 12_000);
    expect(cluster.clock.elapsed() - before).toBeGreaterThan(5_000);
    expect(cluster.clock.elapsed() - before).toBeLessThan(9_500);
    await cluster.clock.advance(300_000);
    expect(cluster.tokens).toEqual([]);
  });

  test("a logout does not wait for a dead node that holds another device", async () => {
    const phone = await a.device("sara", { deviceId: "phone" });
    await c.device("sara", { deviceId: "laptop" });
    c.kill();
    const hasReturned = asked(phone, { type: "logout", ref: 0 });
    await cluster.clock.settle();
    expect(hasReturned()).toBe(true);
    expect(phone.closedWith).toBe(4103);
  });

  test("a stopped node asks no provider when it goes on, if its lease has lapsed", async () => {
    const arrive = await pushUnderWay("entry");
    c.pause();
    await cluster.finish(b.engine.revoke("sara"), 12_000);
    await arrive();
    await c.resume();
    await cluster.clock.advance(300_000);
    expect(cluster.tokens).toEqual([]);
  });

  test("a stopped node that was gathering what leaves together asks no provider when it goes on, if its lease has lapsed", async () => {
    const phone = await a.device("sara", { deviceId: "phone", token: "t" });
    phone.leave();
    await cluster.clock.advance(1_000);
    const low = { to: "sara", urgency: "low" } as const;
    await cluster.finish(c.engine.publish({ ...low, content: "1" }));
    await cluster.finish(c.engine.publish({ ...low, content: "2" }));
    await cluster.clock.advance(55_000);
    const { outbox } = await cluster.storage.opened();
    const take = outbox.take.bind(outbox);
    let taken = 0;
    let arrive: (() => void) | undefined;
    vi.spyOn(outbox, "take").mockImplementation(async (ids) => {
      const answer = await take(ids);
      if (++taken === 1) await new Promise<void>((resolve) => arrive = resolve);
      return answer;
    });
    for (const other of [a, b]) other.pause();
    await cluster.until(() => arrive !== undefined);
    for (const other of [a, b]) await other.resume();
    c.pause();
    await cluster.finish(b.engine.revoke("sara"), 12_000);
    arrive!();
    await c.resume();
    await cluster.clock.advance(300_000);
    expect(cluster.tokens).toEqual([]);
  });

  test("nodes without sessions of the user don't read the record for it", async () => {
    const arrive = await pushUnderWay("record");
    const { users } = await cluster.storage.opened();
    const read = vi.mocked(users.get);
    read.mockClear();
    const hasReturned = returned(b.engine.revoke("sara"));
    await cluster.clock.advance(2_000);
    await arrive();
    await cluster.until(hasReturned);
    expect(read).toHaveBeenCalledTimes(1);
  });

  test("when the storage does not say who lives, a logout ends without an answer", async () => {
    const arrive = await pushUnderWay("entry");
    const device = await phone();
    const { users } = await cluster.storage.opened();
    const live = vi.spyOn(users, "liveNodes").mockRejectedValue(new Error("away"));
    const hasReturned = asked(device, { type: "logout", ref: 0 });
    await cluster.clock.advance(2_000);
    live.mockRestore();
    await arrive();
    expect(hasReturned()).toBe(false);
    expect(device.closedWith).toBe(4103);
  });

  test("a logout writes nothing between the end of the session and the answer", async () => {
    const arrive = await pushUnderWay("entry");
    const device = await phone();
    const hasReturned = asked(device, { type: "logout", ref: 0 });
    await cluster.clock.advance(1_000);
    const frames = device.frames.length;
    await cluster.finish(a.engine.publish({ to: "sara", content: "late" }));
    await cluster.clock.advance(1_000);
    expect(device.frames).toHaveLength(frames);
    expect(device.isOpen).toBe(true);
    await arrive();
    await cluster.until(hasReturned);
    expect(device.closedWith).toBe(4103);
    expect(device.frames.slice(frames).map(({ type }) => type)).toEqual(["ok"]);
  });
});
