import { expect, test } from "vitest";
import type { Gap } from "../../src/client/client.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

const cursor = (offset: number, topic = "sara/default", epoch = 7) => ({ topic, epoch, offset });

/** A connected client that writes down what it is told. */
async function reader(recovery = [at("sara/default", 0)], world = new World()) {
  const client = world.connect();
  const got: (string | undefined)[] = [];
  const gaps: Gap[] = [];
  client.onGap((gap) => void gaps.push(gap));
  client.onMessage(({ content }) => void got.push(content));
  await quiet();
  await world.socket.welcome(recovery);
  return { world, client, got, gaps };
}

test("after a reload nothing that was handled is shown again, and hello says how far it was", async () => {
  const { world, client, got } = await reader();
  await world.socket.say(entry(1), entry(2));
  await client.close();
  const second = new World({ storage: world.storage });
  const after = await reader([at("sara/default", 0)], second);
  expect(second.socket.one("hello")).toMatchObject({
    deviceId: world.socket.one("hello").deviceId,
    cursors: [cursor(2)],
  });
  await second.socket.say(entry(1), entry(2), entry(3));
  expect(got).toEqual(["1", "2"]);
  expect(after.got).toEqual(["3"]);
  await after.client.close();
});

test("cursors are written 250 ms after they move, together, without waiting for a goodbye", async () => {
  const { world, client } = await reader();
  await world.time.pass(1_000);
  const before = world.storage.writes;
  await world.socket.say(entry(1));
  await world.socket.say(entry(2));
  await world.time.pass(249);
  expect(world.storage.writes).toBe(before);
  await world.time.pass(1);
  expect(world.storage.writes).toBe(before + 1);
  expect([...world.storage.rows.values()].join()).toContain('["sara/default",7,2]');
  await client.close();
});

test("a storage that throws costs nothing but what it would have kept", async () => {
  const fail = () => {
    throw new Error("quota");
  };
  const world = new World({ storage: { get: fail, set: fail } });
  const { client, got } = await reader([at("sara/default", 0)], world);
  await world.socket.say(entry(1));
  await world.time.pass(1_000);
  expect(got).toEqual(["1"]);
  await client.close();
});

test("a stored value that is no cursor list is ignored", async () => {
  const world = new World();
  const first = await reader([at("sara/default", 0)], world);
  await first.client.close();
  for (const text of ["{", "7", '{"a":1}', "[1]"]) {
    for (const [key, value] of world.storage.rows) {
      if (value.startsWith("[") || key.length < 30) world.storage.rows.set(key, text);
    }
    const again = new World({ storage: world.storage });
    const { client } = await reader([], again);
    expect(again.socket.one("hello").cursors).toEqual([]);
    await client.close();
  }
});

test("at most 1,000 cursors are kept, the one that moved longest ago goes first", async () => {
  const world = new World();
  const first = await reader(Array.from({ length: 1_000 }, (_, i) => at(`*/r${i}`, 1)), world);
  await world.socket.say(entry(2, "*/r0"), { type: "subscribed", topic: "*/r1000", epoch: 7, offset: 1, recovered: true });
  await first.client.close();
  const again = new World({ storage: world.storage });
  const { client } = await reader([], again);
  const cursors = [...again.socket.take("hello"), ...again.socket.take("cursors")].flatMap(({ cursors }) => cursors);
  expect(cursors).toHaveLength(1_000);
  const has = (topic: string) => cursors.some((cursor) => cursor.topic === topic);
  expect(["*/r0", "*/r1", "*/r2", "*/r1000"].map(has)).toEqual([true, false, true, true]);
  await client.close();
});

test("cursors of another user are not used: hello is said again without them", async () => {
  const { world, client } = await reader([at("*/news", 0)]);
  await world.socket.say(entry(5, "*/news", 0));
  await client.close();
  const again = new World({ storage: world.storage });
  const other = again.connect();
  await quiet();
  await again.socket.welcome([at("*/news", 5)], { userId: "omid" });
  expect(again.sockets).toHaveLength(2);
  await again.socket.welcome([at("*/news", 0)], { userId: "omid" });
  expect(again.socket.one("hello").cursors).toEqual([]);
  await other.close();
});

test("cursors of topics that the user is no longer subscribed to are forgotten", async () => {
  const { world, client } = await reader([at("sara/default", 0), at("*/news", 4)]);
  await world.again([at("sara/default", 0)]);
  await world.again([at("sara/default", 0)]);
  expect(world.socket.one("hello").cursors).toEqual([cursor(0)]);
  await client.close();
});

test("the engine's cursor goes on from where another life of this device was", async () => {
  const { world, client, gaps } = await reader([at("sara/default", 0)]);
  await world.again([at("sara/default", 10)]);
  await world.again([at("sara/default", 10)]);
  expect(world.socket.one("hello").cursors).toEqual([cursor(10)]);
  expect(gaps).toEqual([]);
  await client.close();
});

test("a recovery that is not whole is told, and reading goes on behind the hole", async () => {
  const { world, client, got, gaps } = await reader([at("sara/default", 0)]);
  await world.socket.say(entry(1));
  await world.again([at("sara/default", 40, false)]);
  expect(gaps).toEqual([{ topic: "sara/default", position: { epoch: 7, offset: 40 } }]);
  await world.socket.say(entry(41));
  expect(got).toEqual(["1", "41"]);
  await client.close();
});

test("a new epoch begins the topic anew, and says so", async () => {
  const { world, client, got, gaps } = await reader([at("sara/default", 0)]);
  await world.socket.say(entry(1), entry(2));
  await world.again([at("sara/default", 0, false, 8)]);
  await world.socket.say(entry(1, "sara/default", 0, 8));
  expect(got).toEqual(["1", "2", "1"]);
  expect(gaps).toEqual([{ topic: "sara/default", position: { epoch: 8, offset: 0 } }]);
  expect(world.socket.one("ack").cursors).toEqual([cursor(1, "sara/default", 8)]);
  await client.close();
});

test("a new epoch does not cost what is queued of the old one", async () => {
  const world = new World();
  const client = await world.connected();
  const got: string[] = [];
  let finish = () => {};
  client.onMessage(({ content, position }) => {
    got.push(`${position!.epoch} ${content}`);
    return new Promise<void>((resolve) => finish = resolve);
  });
  await world.socket.say(entry(1), entry(2), entry(1, "sara/default", 0, 8));
  const acked = async () => {
    finish();
    await world.time.pass(250);
    return world.socket.take("ack").flatMap(({ cursors }) => cursors);
  };
  expect(await acked()).toEqual([]);
  expect(await acked()).toEqual([]);
  await world.socket.say(entry(2, "sara/default", 1, 8));
  expect(await acked()).toEqual([cursor(1, "sara/default", 8)]);
  expect(await acked()).toEqual([cursor(2, "sara/default", 8)]);
  expect(got).toEqual(["7 1", "7 2", "8 1", "8 2"]);
  await client.close();
});

test("a new epoch in the middle of a connection begins the topic anew, and says so", async () => {
  const { world, client, got, gaps } = await reader([at("sara/default", 0)]);
  await world.socket.say(entry(1), entry(2), entry(1, "sara/default", 0, 8));
  expect(got).toEqual(["1", "2", "1"]);
  expect(gaps).toEqual([{ topic: "sara/default", position: { epoch: 8, offset: 0 } }]);
  await client.close();
});

test("a gap frame is told, acked and stepped over", async () => {
  const { world, client, got, gaps } = await reader([at("sara/default", 0)]);
  await world.socket.say({ type: "gap", topic: "sara/default", epoch: 7, offset: 20 }, entry(21));
  expect(gaps).toEqual([{ topic: "sara/default", position: { epoch: 7, offset: 20 } }]);
  expect(got).toEqual(["21"]);
  expect(world.sockets).toHaveLength(1);
  await client.close();
});

test("advance steps over what expired without a word, but not over what a handler still has", async () => {
  const world = new World();
  const client = await world.connected();
  const gaps: unknown[] = [];
  let finish = () => {};
  client.onGap((gap) => void gaps.push(gap));
  client.onMessage(() => new Promise<void>((resolve) => finish = resolve));
  await world.socket.say(entry(1), { type: "advance", topic: "sara/default", epoch: 7, offset: 5, expired: 4 });
  expect(world.socket.one("ack").cursors).toEqual([]);
  finish();
  await quiet();
  await world.time.pass(250);
  expect(world.socket.one("ack").cursors).toEqual([cursor(5)]);
  await world.socket.say({ type: "advance", topic: "sara/default", epoch: 7, offset: 9, expired: 4 }, entry(10));
  expect([gaps, world.sockets.length]).toEqual([[], 1]);
  await client.close();
});

test("an entry whose previous was never received is not handled: the client comes again and reads on from the log", async () => {
  const { world, client, got, gaps } = await reader([at("sara/default", 0)]);
  await world.socket.say(entry(1), entry(3));
  expect(got).toEqual(["1"]);
  expect(world.sockets[0]?.closedWith).toBe(4000);
  expect(world.sockets).toHaveLength(2);
  await world.socket.open();
  expect(world.socket.one("hello").cursors).toEqual([cursor(1)]);
  await world.socket.welcome([at("sara/default", 1)]);
  await world.socket.say(entry(2), entry(3));
  expect([got, gaps]).toEqual([["1", "2", "3"], []]);
  await client.close();
});

test("a hole that is there again right after the reconnect is not hurried after: the next try waits a backoff", async () => {
  const { world, client } = await reader([at("sara/default", 0)]);
  await world.socket.say(entry(3));
  await world.socket.welcome([at("sara/default", 0)]);
  await world.socket.say(entry(3));
  expect(world.sockets).toHaveLength(2);
  expect(world.socket.closedWith).toBe(4000);
  await world.time.pass(500);
  expect(world.sockets).toHaveLength(3);
  await client.close();
});

test("a topic that was begun at the log's beginning, before it had one, takes the first entry's epoch: no gap", async () => {
  const world = new World();
  const client = await world.connected([{ topic: "sara/default", epoch: 0, offset: 0, recovered: true }]);
  const told: unknown[] = [];
  client.onGap((gap) => told.push(gap));
  client.onMessage(({ position }) => void told.push(position!.offset));
  await world.socket.say(entry(1), entry(2));
  expect(told).toEqual([1, 2]);
  await client.close();
});
