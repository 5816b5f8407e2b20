import { expect, test } from "vitest";
import type { ErrorFrame } from "../../src/protocol/frames.ts";
import { decodePayload } from "../../src/protocol/codec.ts";
import type { Gap } from "../../src/client/client.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

function accepted(frame: { ref: number; id: string; topic: string }, offset = 1) {
  const { ref, id, topic } = frame;
  return {
    type: "ok" as const,
    ref,
    value: { id, topic, epoch: 3, offset, durable: true, durability: "majority", duplicate: false },
  };
}

function refused(ref: number, changes: Partial<ErrorFrame> = {}): ErrorFrame {
  return { type: "error", ref, code: "forbidden", retryable: false, retryAfterMs: null, hint: "Not you.", ...changes };
}

test("publish sends the message and resolves with the engine's receipt", async () => {
  const world = new World();
  const client = await world.connected();
  const publish = client.publish({ to: "omid", channel: "work", content: "hi", data: { n: 1 }, urgency: "low", ttl: 60 });
  await quiet();
  const frame = world.socket.one("publish");
  expect(frame).toMatchObject({ topic: "omid/work", options: { urgency: "low", ttl: 60 } });
  expect(frame.id).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(decodePayload(frame.payload)).toEqual({ content: "hi", data: { n: 1 } });
  await world.socket.say(accepted(frame));
  expect(await publish).toEqual({
    id: frame.id,
    topic: "omid/work",
    position: { epoch: 3, offset: 1 },
    durable: true,
    durability: "majority",
    duplicate: false,
  });
  await client.close();
});

test("a publish made offline is kept, sent when connected, and sent again under the same id until it is answered", async () => {
  const world = new World();
  const client = world.connect();
  const publish = client.publish({ to: "omid", content: "hi" });
  await quiet();
  await world.socket.welcome();
  const { id } = world.socket.one("publish");
  await world.again();
  const again = world.socket.one("publish");
  expect(again.id).toBe(id);
  await world.socket.say(accepted(again));
  expect((await publish).id).toBe(id);
  await world.again();
  expect(world.socket.take("publish")).toEqual([]);
  await client.close();
});

test("publishes leave in the order they were made, 32 at a time", async () => {
  const world = new World();
  const client = world.connect();
  const all = Promise.all(Array.from({ length: 100 }, (_, i) => client.publish({ to: "omid", id: `m${i}` })));
  await quiet();
  await world.socket.welcome();
  const order: string[] = [];
  for (let most = 0; order.length < 100;) {
    const frames = world.socket.take("publish");
    most += frames.length;
    expect(most).toBeLessThanOrEqual(32);
    most -= frames.length;
    order.push(...frames.map(({ id }) => id));
    await world.socket.say(...frames.map((frame) => accepted(frame)));
  }
  expect(order).toEqual(Array.from({ length: 100 }, (_, i) => `m${i}`));
  await all;
  await client.close();
});

test("the 1,001st request that waits is refused with too-many, the others stay", async () => {
  const world = new World();
  const client = world.connect();
  const kept = Array.from({ length: 1_000 }, () => client.publish({ to: "omid" }));
  const outcomes = Promise.allSettled(kept);
  await expect(client.publish({ to: "omid" })).rejects.toMatchObject({ code: "too-many", retryable: true });
  await client.close();
  for (const outcome of await outcomes) expect(outcome).toMatchObject({ status: "rejected", reason: { code: "closed" } });
});

test("a refusal that can't succeed later rejects with the engine's code and hint", async () => {
  const world = new World();
  const client = await world.connected();
  const publish = client.publish({ to: "omid" });
  await quiet();
  await world.socket.say(refused(world.socket.one("publish").ref));
  await expect(publish).rejects.toMatchObject({ name: "PeykError", code: "forbidden", retryable: false, hint: "Not you." });
  await client.close();
});

test("an ephemeral publish is for now: refused offline, when the connection is lost, and when the engine puts it off", async () => {
  const world = new World();
  const client = world.connect();
  await expect(client.publish({ to: "omid", ephemeral: true })).rejects.toMatchObject({ code: "unavailable", retryable: true });
  await quiet();
  await world.socket.welcome();
  const first = client.publish({ to: "omid", ephemeral: true });
  await quiet();
  const { ref, id, topic, options } = world.socket.one("publish");
  expect(options).toEqual({ ephemeral: true });
  await world.socket.say({
    type: "ok",
    ref,
    value: { id, topic, epoch: null, offset: null, durable: false, durability: "memory", duplicate: false },
  });
  expect(await first).toEqual({ id, topic, position: undefined, durable: false, durability: "memory", duplicate: false });
  const second = client.publish({ to: "omid", ephemeral: true });
  await quiet();
  const late = refused(world.socket.one("publish").ref, { code: "unavailable", retryable: true });
  await Promise.all([expect(second).rejects.toMatchObject({ code: "unavailable" }), world.socket.say(late)]);
  const third = client.publish({ to: "omid", ephemeral: true });
  await quiet();
  await Promise.all([expect(third).rejects.toMatchObject({ code: "unavailable" }), world.again()]);
  expect(world.socket.take("publish")).toEqual([]);
  await client.close();
});

test("what the engine would close the connection for is refused before it is sent", async () => {
  const world = new World();
  const client = await world.connected();
  const bad = { content: 5, ttl: "x", urgency: "soon", ephemeral: 1, notification: "n" };
  for (const [key, value] of Object.entries(bad)) {
    await expect(client.publish({ to: "omid", [key]: value } as never)).rejects.toMatchObject({ code: "bad-message" });
  }
  await expect(client.publish({ to: "omid", content: "\ud800" })).rejects.toMatchObject({ code: "bad-message" });
  await expect(client.publish({ to: "omid", data: () => {} })).rejects.toMatchObject({ code: "bad-message" });
  await expect(client.publish({ to: "a/b" })).rejects.toMatchObject({ code: "bad-name" });
  await expect(client.publish({} as never)).rejects.toMatchObject({ code: "bad-name" });
  await expect(client.publish({ to: "omid", id: "" })).rejects.toMatchObject({ code: "bad-name" });
  await expect(client.publish({ to: "omid", content: "x".repeat(65_536) })).rejects.toMatchObject({ code: "too-large" });
  await expect(client.subscribe({ to: "*", channel: "a/b" })).rejects.toMatchObject({ code: "bad-name" });
  await expect(client.unsubscribe({ to: "*", channel: "" })).rejects.toMatchObject({ code: "bad-name" });
  await expect(client.registerPush({ provider: "", token: "t" })).rejects.toMatchObject({ code: "bad-name" });
  await expect(client.registerPush({ provider: "fcm", token: {} as never })).rejects.toMatchObject({ code: "bad-message" });
  expect(world.socket.received).toEqual([]);
  await client.close();
});

/** A client that reads the news from offset 9, has handled the entry 10 and is busy with 11. */
async function busy() {
  const world = new World();
  const client = await world.connected([at("*/news", 9)]);
  const got: (string | undefined)[] = [];
  const gaps: Gap[] = [];
  let finish = () => {};
  client.onGap((gap) => void gaps.push(gap));
  client.onMessage(({ content }) => {
    got.push(content);
    return content === "10" ? undefined : new Promise<void>((resolve) => finish = resolve);
  });
  await world.socket.say(entry(10, "*/news"), entry(11, "*/news"));
  await world.time.pass(1_000);
  world.socket.take("ack");
  const acked = async () => {
    await world.time.pass(1_000);
    return world.socket.take("ack").flatMap(({ cursors }) => cursors.map(({ offset }) => offset));
  };
  return { world, client, got, gaps, acked, finish: () => finish() };
}

test("subscribe anew begins a topic where the engine says, also when this device had been further", async () => {
  const { world, client, got, gaps, acked, finish } = await busy();
  const subscribe = client.subscribe({ to: "*", channel: "news", since: { epoch: 0, offset: 0 }, anew: true });
  await quiet();
  const frame = world.socket.one("subscribe");
  expect(frame).toMatchObject({ topic: "*/news", since: { epoch: 0, offset: 0 }, anew: true });
  await world.socket.say({ type: "ok", ref: frame.ref, value: { epoch: 7, offset: 8, recovered: true } });
  expect(await subscribe).toEqual({ epoch: 7, offset: 8 });
  finish(); // Of the subscription that was: not an ack of what the new one still has to bring.
  expect(await acked()).toEqual([]);
  await world.socket.say(entry(9, "*/news"));
  finish();
  await quiet();
  await world.socket.say(entry(10, "*/news"));
  expect([got, gaps]).toEqual([["10", "11", "9", "10"], []]);
  await client.close();
});

test("subscribe anew that passes entries over tells where it begins as a gap", async () => {
  const { world, client, got, gaps } = await busy();
  const subscribe = client.subscribe({ to: "*", channel: "news", anew: true });
  await quiet();
  await world.socket.say(
    { type: "ok", ref: world.socket.one("subscribe").ref, value: { epoch: 7, offset: 20, recovered: false } },
    entry(21, "*/news"),
  );
  expect(await subscribe).toEqual({ epoch: 7, offset: 20 });
  expect(gaps).toEqual([{ topic: "*/news", position: { epoch: 7, offset: 20 } }]);
  expect(got).toEqual(["10", "11", "21"]);
  expect(world.sockets).toHaveLength(1);
  await client.close();
});

test("subscribing again to a topic that is read already moves and repeats nothing", async () => {
  const { world, client, got, gaps, acked, finish } = await busy();
  const subscribe = client.subscribe({ to: "*", channel: "news", since: { epoch: 0, offset: 0 } });
  await quiet();
  const frame = world.socket.one("subscribe");
  expect(frame).toMatchObject({ anew: false });
  await world.socket.say({ type: "ok", ref: frame.ref, value: { epoch: 7, offset: 3, recovered: true } }, entry(12, "*/news"));
  expect(await subscribe).toEqual({ epoch: 7, offset: 3 });
  expect(got).toEqual(["10", "11"]);
  finish();
  expect(await acked()).toEqual([11]);
  expect([got, gaps, world.sockets.length]).toEqual([["10", "11", "12"], [], 1]);
  await client.close();
});

test("a subscribe whose answer got lost is made again, and does no harm to what is read already", async () => {
  const world = new World();
  const client = await world.connected();
  const got: (string | undefined)[] = [];
  client.onMessage(({ content }) => void got.push(content));
  const subscribe = client.subscribe({ to: "*", channel: "news" });
  await quiet();
  expect(world.socket.one("subscribe")).toMatchObject({ topic: "*/news", since: null, anew: false });
  await world.again([at("sara/default", 0), at("*/news", 4)]);
  await world.socket.say(entry(5, "*/news"), entry(6, "*/news"));
  const { ref } = world.socket.one("subscribe");
  await world.socket.say({ type: "ok", ref, value: { epoch: 7, offset: 4, recovered: true } }, entry(7, "*/news"));
  expect(await subscribe).toEqual({ epoch: 7, offset: 4 });
  expect(got).toEqual(["5", "6", "7"]);
  await client.close();
});

test("a subscription that another device began anew begins there, and tells what is passed over as a gap", async () => {
  const { world, client, got, gaps } = await busy();
  await world.socket.say(
    { type: "subscribed", topic: "*/news", epoch: 7, offset: 20, recovered: false },
    entry(21, "*/news"),
  );
  expect(gaps).toEqual([{ topic: "*/news", position: { epoch: 7, offset: 20 } }]);
  expect(got).toEqual(["10", "11", "21"]);
  await client.close();
});

test("after unsubscribe nothing of the topic is handled any more, and its cursor is forgotten", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0), at("*/news", 0)]);
  const got: (string | undefined)[] = [];
  let finish = () => {};
  client.onMessage(({ content }) => {
    got.push(content);
    return new Promise<void>((resolve) => finish = resolve);
  });
  await world.socket.say(entry(1, "*/news"), entry(2, "*/news"));
  const unsubscribe = client.unsubscribe({ to: "*", channel: "news" });
  await quiet();
  await world.socket.say({ type: "ok", ref: world.socket.one("unsubscribe").ref, value: null });
  await unsubscribe;
  finish();
  await quiet();
  await world.time.pass(1_000);
  expect(got).toEqual(["1"]);
  expect(world.socket.take("ack").flatMap(({ cursors }) => cursors)).toEqual([]);
  await world.again([at("sara/default", 0)]);
  expect(world.socket.one("hello").cursors.map(({ topic }) => topic)).toEqual(["sara/default"]);
  await client.close();
});

test("subscribed and unsubscribed by another device take effect here", async () => {
  const world = new World();
  const client = await world.connected();
  const got: (string | undefined)[] = [];
  client.onMessage(({ content }) => void got.push(content));
  await world.socket.say({ type: "subscribed", topic: "*/news", epoch: 7, offset: 5, recovered: true }, entry(6, "*/news"));
  expect(got).toEqual(["6"]);
  await world.socket.say({ type: "unsubscribed", topic: "*/news" });
  await world.time.pass(1_000);
  await world.again();
  expect(world.socket.one("hello").cursors.map(({ topic }) => topic)).toEqual(["sara/default"]);
  await client.close();
});

test("markRead, markDismissed, registerPush and unregisterPush say what they mean and resolve when accepted", async () => {
  const world = new World();
  const client = await world.connected();
  let message: Parameters<typeof client.markRead>[0];
  client.onMessage((given) => void (message = given));
  await world.socket.say(entry(1));
  const all = Promise.all([
    client.markRead(message!),
    client.markDismissed(message!),
    client.registerPush({ provider: "webhook", token: "t" }),
    client.registerPush({ provider: "webhook", token: "t", locale: "fa-IR", reports: ["shown"] }),
    client.unregisterPush("webhook"),
  ]);
  await quiet();
  const marks = world.socket.take("mark");
  const targets = world.socket.take("target");
  expect(marks).toMatchObject([
    { kind: "read", topic: "sara/default", epoch: 7, offset: 1 },
    { kind: "dismissed", topic: "sara/default", epoch: 7, offset: 1 },
  ]);
  expect(targets).toMatchObject([
    { provider: "webhook", token: "t", details: {} },
    { provider: "webhook", token: "t", details: { locale: "fa-IR", reports: ["shown"] } },
    { provider: "webhook", token: null, details: null },
  ]);
  for (const { ref } of [...marks, ...targets]) await world.socket.say({ type: "ok", ref, value: null });
  expect(await all).toEqual(Array(5).fill(undefined));
  await expect(client.markRead({ ...message!, position: undefined })).rejects.toMatchObject({ code: "bad-message" });
  await client.close();
});

test("onReceipt tells what became of a message", async () => {
  const world = new World();
  const client = await world.connected();
  const receipts: unknown[] = [];
  client.onReceipt((receipt) => void receipts.push(receipt));
  await world.socket.say({ type: "receipt", kind: "delivered", topic: "omid/default", id: "i", epoch: 1, offset: 2, at: 3 });
  expect(receipts).toEqual([
    { kind: "delivered", topic: "omid/default", id: "i", position: { epoch: 1, offset: 2 }, at: 3 },
  ]);
  // A later engine may know more: it is no reason to leave.
  await world.socket.say({ type: "receipt", kind: "liked", topic: "omid/default", id: "i", epoch: 1, offset: 2, at: 3 });
  expect(receipts).toHaveLength(1);
  expect(world.socket.closedWith).toBeUndefined();
  await client.close();
});

test("logout ends the client, and the next user of this device begins with no cursors", async () => {
  const world = new World();
  const client = await world.connected([at("*/news", 5)]);
  let finish = () => {};
  client.onMessage(() => new Promise<void>((resolve) => finish = resolve));
  await world.socket.say(entry(6, "*/news"));
  const logout = client.logout();
  await quiet();
  await world.socket.say({ type: "ok", ref: world.socket.one("logout").ref, value: null });
  await logout;
  finish();
  await world.time.pass(100_000);
  let status: unknown;
  client.onStatus((now) => status = now);
  expect(status).toEqual({ state: "closed", reason: "signedOut" });
  expect([world.sockets.length, world.time.pending]).toEqual([1, 0]);
  const next = world.connect();
  await quiet();
  await world.socket.open();
  expect(world.socket.one("hello").cursors).toEqual([]);
  await next.close();
});

test("an answer to nothing is ignored", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say({ type: "ok", ref: 99, value: null }, refused(98));
  expect(world.socket.closedWith).toBeUndefined();
  await client.close();
});
