import { expect, test } from "vitest";
import { at, entry, quiet, World } from "./fake_server.ts";

test("a client says hello, is welcomed, gets a message and acks it when the handler is done", async () => {
  const world = new World();
  const client = world.connect({ token: "t", deviceId: "d" });
  const got: unknown[] = [];
  client.onMessage((message) => void got.push(message));
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  expect(world.socket.one("hello")).toEqual({
    type: "hello",
    temporary: false,
    signedOut: [],
    version: 1,
    capabilities: [],
    deviceId: "d",
    token: "t",
    visible: true,
    idleMs: null,
    cursors: [],
    more: false,
  });
  await world.socket.say(entry(1));
  expect(got).toEqual([{
    id: "m-1",
    to: "sara",
    channel: "default",
    topic: "sara/default",
    from: "omid",
    content: "1",
    data: undefined,
    sentAt: 1_700_000_000_000,
    position: { epoch: 7, offset: 1 },
  }]);
  expect(world.socket.one("ack")).toEqual({
    type: "ack",
    seen: 1,
    cursors: [{ topic: "sara/default", epoch: 7, offset: 1 }],
    idleMs: null,
    waiting: 0,
  });
  await client.close();
  expect(world.socket.closedWith).toBe(1000);
  expect(world.time.pending).toBe(0);
});

/** A promise and its ends. */
function later(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let ends: { resolve: () => void; reject: (error: Error) => void };
  const promise = new Promise<void>((resolve, reject) => ends = { resolve, reject });
  return { promise, ...ends! };
}

const cursor = (offset: number, topic = "sara/default", epoch = 7) => ({ topic, epoch, offset });

test("entries of one topic are handled one at a time and in order, other topics do not wait for them", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0), at("*/news", 0)]);
  const first = later();
  const got: string[] = [];
  client.onMessage(({ topic, content }) => {
    got.push(`${topic} ${content}`);
    return content === "1" && topic === "sara/default" ? first.promise : undefined;
  });
  await world.socket.say(entry(1), entry(2), entry(1, "*/news"), entry(2, "*/news"));
  expect(got).toEqual(["sara/default 1", "*/news 1", "*/news 2"]);
  first.resolve();
  await quiet();
  expect(got.at(-1)).toBe("sara/default 2");
  await client.close();
});

test("seen is told at once, acked only after the handler", async () => {
  const world = new World();
  const client = await world.connected();
  const first = later();
  client.onMessage(() => first.promise);
  await world.socket.say(entry(1));
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 1, cursors: [], idleMs: null, waiting: 1 });
  await world.time.pass(10_000);
  expect(world.socket.take("ack")).toEqual([]);
  first.resolve();
  await quiet();
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 1, cursors: [cursor(1)], idleMs: null, waiting: 0 });
  await client.close();
});

test("acks come at once after a quiet spell, then at most every ackMs", async () => {
  const world = new World();
  const client = await world.connected();
  client.onMessage(() => {});
  await world.socket.say(entry(1));
  await world.socket.say(entry(2));
  await world.socket.say(entry(3));
  expect(world.socket.one("ack").seen).toBe(1);
  await world.time.pass(249);
  expect(world.socket.take("ack")).toEqual([]);
  await world.time.pass(1);
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 3, cursors: [cursor(3)], idleMs: null, waiting: 0 });
  await world.time.pass(250);
  await world.socket.say(entry(4));
  expect(world.socket.one("ack").seen).toBe(4);
  await client.close();
});

test("512 frames are acked without waiting for ackMs", async () => {
  const world = new World();
  const client = await world.connected();
  client.onMessage(() => {});
  await world.socket.say(entry(1));
  world.socket.take("ack");
  for (let offset = 2; offset <= 512; offset++) await world.socket.say(entry(offset));
  expect(world.socket.take("ack")).toEqual([]);
  await world.socket.say(entry(513));
  expect(world.socket.one("ack").seen).toBe(513);
  await client.close();
});

test("a burst in one WebSocket message is acked by one frame", async () => {
  const world = new World();
  const client = await world.connected();
  client.onMessage(() => {});
  await world.socket.say(...Array.from({ length: 200 }, (_, i) => entry(i + 1)));
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 200, cursors: [cursor(200)], idleMs: null, waiting: 0 });
  await client.close();
});

test("an ack holds 100 cursors at most, the others follow", async () => {
  const world = new World();
  const topics = Array.from({ length: 250 }, (_, i) => `*/room-${i}`);
  const client = await world.connected(topics.map((topic) => at(topic, 0)));
  client.onMessage(() => {});
  await world.socket.say(...topics.map((topic) => entry(1, topic)));
  await world.time.pass(500);
  const acks = world.socket.take("ack");
  expect(acks.map(({ cursors }) => cursors.length)).toEqual([100, 100, 50]);
  expect(new Set(acks.flatMap(({ cursors }) => cursors.map(({ topic }) => topic)))).toEqual(new Set(topics));
  await client.close();
});

test("a ping is answered with an ack at once, though nothing is new", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say({ type: "ping" });
  await world.socket.say({ type: "ping" });
  expect(world.socket.take("ack")).toEqual([{ type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 }, {
    type: "ack",
    seen: 0,
    cursors: [],
    idleMs: null,
    waiting: 0,
  }]);
  await client.close();
});

test("seen counts anew on each connection, repeated entries and ephemeral messages included", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  client.onMessage(({ content, position }) => void got.push([content, position?.offset]));
  await world.socket.say(entry(1), entry(2));
  await world.again([at("sara/default", 0)]);
  const live = entry(9) as { envelope: Uint8Array };
  await world.socket.say(entry(1), entry(2), entry(3), { type: "ephemeral", topic: "sara/default", envelope: live.envelope });
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 4, cursors: [cursor(3)], idleMs: null, waiting: 0 });
  expect(got).toEqual([["1", 1], ["2", 2], ["3", 3], ["9", undefined]]);
  await client.close();
});

test("an entry that comes again while its handler runs is not handled twice, and is acked on the new connection", async () => {
  const world = new World();
  const client = await world.connected();
  const first = later();
  let calls = 0;
  client.onMessage(() => (calls++, first.promise));
  await world.socket.say(entry(1));
  await world.again();
  first.resolve();
  await quiet();
  // Nothing was sent on this connection yet: an ack of it would be one of the unsent.
  await world.time.pass(1_000);
  expect(world.socket.take("ack")).toEqual([]);
  await world.socket.say(entry(1));
  expect(calls).toBe(1);
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 1, cursors: [cursor(1)], idleMs: null, waiting: 0 });
  await client.close();
});

test("hello names the cursors of what was handled, in pages that fit into frames", async () => {
  const world = new World();
  const topics = Array.from({ length: 250 }, (_, i) => `*/room-${i}`);
  const client = await world.connected(topics.map((topic) => at(topic, 0)));
  client.onMessage(() => {});
  await world.socket.say(...topics.map((topic) => entry(1, topic)));
  await world.socket.end(1006);
  await world.time.pass(30_000);
  await world.socket.open();
  const hello = world.socket.one("hello");
  const pages = world.socket.take("cursors");
  expect([hello.more, ...pages.map(({ more }) => more)]).toEqual([...pages.map(() => true), false]);
  expect(world.socket.longest).toBeLessThanOrEqual(1_024);
  const cursors = [hello, ...pages].flatMap(({ cursors }) => cursors);
  expect(cursors.map(({ topic }) => topic).sort()).toEqual(topics.sort());
  expect(new Set(cursors.map(({ offset }) => offset))).toEqual(new Set([1]));
  await client.close();
});

test("messages wait for the first handler of their channel, unacked, and come to it in order", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0), at("*/news", 0)]);
  const got: string[] = [];
  client.onMessage("news", ({ content }) => void got.push(`news ${content}`));
  await world.socket.say(entry(1), entry(2), entry(1, "*/news"));
  expect(got).toEqual(["news 1"]);
  expect(world.socket.one("ack")).toEqual({ type: "ack", seen: 3, cursors: [cursor(1, "*/news")], idleMs: null, waiting: 2 });
  client.onMessage("default", ({ content }) => void got.push(`default ${content}`));
  expect(got).toHaveLength(1); // Never inside onMessage.
  await quiet();
  expect(got).toEqual(["news 1", "default 1", "default 2"]);
  await client.close();
});

test("every handler gets each message once, one that comes later only what comes later", async () => {
  const world = new World();
  const client = await world.connected();
  const got: string[] = [];
  client.onMessage(({ content }) => void got.push(`a${content}`));
  client.onMessage(({ content }) => void got.push(`b${content}`));
  await world.socket.say(entry(1));
  client.onMessage(({ content }) => void got.push(`c${content}`));
  await quiet();
  await world.socket.say(entry(2));
  expect(got).toEqual(["a1", "b1", "a2", "b2", "c2"]);
  await client.close();
});

test("a handler leaves by its function and by its signal", async () => {
  const world = new World();
  const client = await world.connected();
  const abort = new AbortController();
  const got: string[] = [];
  client.onMessage(({ content }) => void got.push(`stay ${content}`));
  const leave = client.onMessage(({ content }) => void got.push(`leave ${content}`));
  client.onMessage("default", ({ content }) => void got.push(`abort ${content}`), { signal: abort.signal });
  client.onMessage(({ content }) => void got.push(`never ${content}`), { signal: AbortSignal.abort() });
  await world.socket.say(entry(1));
  leave();
  abort.abort();
  await world.socket.say(entry(2));
  expect(got).toEqual(["stay 1", "leave 1", "abort 1", "stay 2"]);
  await client.close();
});

test("a handler that throws is tried 3 times; then the entry is reported failed, acked and told to onError", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  const errors: unknown[] = [];
  client.onError((error, message) => void errors.push([error.code, (error.cause as Error).message, message?.content]));
  client.onMessage(({ content }) => {
    got.push(content);
    if (content === "1") throw new Error("mine");
  });
  await world.socket.say(entry(1), entry(2));
  await world.time.pass(2_999);
  expect([got, errors]).toEqual([["1", "1"], []]);
  await world.time.pass(1);
  expect(got).toEqual(["1", "1", "1", "2"]);
  expect(errors).toEqual([["internal", "mine", "1"]]);
  expect(world.socket.one("failed")).toEqual({ type: "failed", ...cursor(1), reason: "threw" });
  await world.time.pass(250);
  expect(world.socket.take("ack").at(-1)!.cursors).toEqual([cursor(2)]);
  await client.close();
});

test("a handler that throws once is tried again and nothing is reported", async () => {
  const world = new World();
  const client = await world.connected();
  const errors: unknown[] = [];
  let calls = 0;
  client.onError((error) => void errors.push(error));
  client.onMessage(() => ++calls === 1 ? Promise.reject(new Error("once")) : Promise.resolve());
  await world.socket.say(entry(1));
  await world.time.pass(1_000);
  await world.time.pass(250);
  expect([calls, errors, world.socket.take("failed")]).toEqual([2, [], []]);
  expect(world.socket.take("ack").at(-1)!.cursors).toEqual([cursor(1)]);
  await client.close();
});

test("a handler that hangs gets 30 s for each of 3 tries, then the topic goes on", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  const errors: string[] = [];
  client.onError((error) => void errors.push(error.code));
  client.onMessage(({ content }) => {
    got.push(content);
    return content === "1" ? new Promise<void>(() => {}) : undefined;
  });
  await world.socket.say(entry(1), entry(2));
  for (let ms = 0; ms < 92_000; ms += 23_000) {
    await world.socket.say({ type: "ping" });
    await world.time.pass(23_000);
  }
  expect([got, errors]).toEqual([["1", "1", "1"], []]);
  await world.time.pass(1_000);
  expect([got, errors]).toEqual([["1", "1", "1", "2"], ["timeout"]]);
  expect(world.socket.one("failed").reason).toBe("timeout");
  await client.close();
  expect(world.time.pending).toBe(0);
});

test("a message that can't be read is passed as failed, the next one is handled", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  const errors: unknown[] = [];
  client.onError((error, message) => void errors.push([error.code, message]));
  client.onMessage(({ content }) => void got.push(content));
  await world.socket.say({ ...entry(1), envelope: new Uint8Array([0x91, 0x01]) } as ReturnType<typeof entry>, entry(2));
  expect(errors).toEqual([["bad-message", undefined]]);
  expect(got).toEqual(["2"]);
  expect(world.socket.one("failed")).toEqual({ type: "failed", ...cursor(1), reason: "threw" });
  await client.close();
});

test("an ephemeral message goes to whoever handles its channel now: not kept, not tried again, not held up", async () => {
  const world = new World();
  const client = await world.connected();
  const live = (content: number) => ({
    type: "ephemeral" as const,
    topic: "sara/default",
    envelope: (entry(content) as { envelope: Uint8Array }).envelope,
  });
  await world.socket.say(live(1));
  const got: unknown[] = [];
  const errors: string[] = [];
  client.onError((error) => void errors.push(error.code));
  client.onMessage(({ content, position }) => {
    got.push([content, position?.offset]);
    if (position) return new Promise<void>(() => {});
    throw new Error("mine");
  });
  await quiet();
  expect(got).toEqual([]);
  await world.socket.say(entry(1), live(2), live(3));
  await world.time.pass(10_000);
  expect(got).toEqual([["1", 1], ["2", undefined], ["3", undefined]]);
  expect(errors).toEqual(["internal", "internal"]);
  await client.close();
});

test("messages() acks a message when the next one is asked for, however long that takes", async () => {
  const world = new World();
  const client = await world.connected();
  const loop = client.messages();
  const first = loop.next();
  await quiet();
  await world.socket.say(entry(1), entry(2));
  expect((await first).value.content).toBe("1");
  for (let i = 0; i < 10; i++) {
    await world.socket.say({ type: "ping" });
    await world.time.pass(20_000);
  }
  expect(world.socket.take("ack").flatMap(({ cursors }) => cursors)).toEqual([]);
  expect((await loop.next()).value.content).toBe("2");
  await quiet();
  expect(world.socket.one("ack").cursors).toEqual([cursor(1)]);
  await client.close();
});

test("leaving a messages() loop leaves its last message unacked, for the next handler", async () => {
  const world = new World();
  const client = await world.connected();
  const seen: unknown[] = [];
  const loop = (async () => {
    for await (const { content } of client.messages()) {
      seen.push(content);
      if (content === "2") break;
    }
  })();
  await quiet();
  await world.socket.say(entry(1), entry(2), entry(3));
  await loop;
  await world.time.pass(250);
  expect(seen).toEqual(["1", "2"]);
  expect(world.socket.take("ack").at(-1)!.cursors).toEqual([cursor(1)]);
  client.onMessage(({ content }) => void seen.push(content));
  await quiet();
  expect(seen).toEqual(["1", "2", "2", "3"]);
  await client.close();
});

test("what a left loop gives back goes to a handler that is already there", async () => {
  const world = new World();
  const client = await world.connected();
  const loop = client.messages();
  const first = loop.next();
  await quiet();
  await world.socket.say(entry(1));
  await first;
  const got: (string | undefined)[] = [];
  client.onMessage(({ content }) => void got.push(content));
  await quiet();
  expect(got).toEqual([]);
  await loop.return!();
  await quiet();
  expect(got).toEqual(["1"]);
  await client.close();
});

test("an entry that comes twice on one connection is handled once, and the next one is not taken for a hole", async () => {
  const world = new World();
  const client = await world.connected();
  const got: (string | undefined)[] = [];
  client.onMessage(({ content }) => void got.push(content));
  await world.socket.say(entry(1), entry(2), entry(2), entry(1), entry(3));
  expect(got).toEqual(["1", "2", "3"]);
  expect(world.socket.closedWith).toBeUndefined();
  expect(world.socket.one("ack").seen).toBe(5);
  await client.close();
});

test("a messages() loop ends when its signal aborts and when the client closes", async () => {
  const world = new World();
  const client = await world.connected();
  const abort = new AbortController();
  const aborted = client.messages({ signal: abort.signal }).next();
  const closed = client.messages().next();
  await quiet();
  abort.abort();
  expect(await aborted).toEqual({ value: undefined, done: true });
  await client.close();
  expect(await closed).toEqual({ value: undefined, done: true });
  expect(await client.messages().next()).toEqual({ value: undefined, done: true });
});

test("a handler may close the client, and nothing comes after", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  client.onMessage(({ content }) => {
    got.push(content);
    void client.close();
  });
  await world.socket.say(entry(1), entry(2));
  expect(got).toEqual(["1"]);
  expect(world.time.pending).toBe(0);
});

test("a client that is closed while a handler runs handles nothing more and leaves no timer behind", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  const first = later();
  client.onMessage(({ content }) => {
    got.push(content);
    return first.promise;
  });
  await world.socket.say(entry(1), entry(2));
  await client.close();
  expect(world.time.pending).toBe(0);
  first.resolve();
  await quiet();
  expect(got).toEqual(["1"]);
});
