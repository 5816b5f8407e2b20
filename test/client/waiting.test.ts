import { expect, test } from "vitest";
import { reading } from "./fake_browser.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

/** Entries of a topic, from one offset up to another. */
function entries(from: number, to: number, topic = "sara/default") {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, topic));
}

test("what waits for the app is told with every ack, over all topics, and nothing of it is dropped", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0), at("*/news", 0)]);
  await world.socket.say(...entries(1, 1_500), ...entries(1, 400, "*/news"));
  expect(world.socket.one("ack")).toMatchObject({ seen: 1_900, waiting: 1_900, cursors: [] });
  const got = reading(client);
  await quiet();
  expect(got).toHaveLength(1_900);
  await world.time.pass(250);
  expect(world.socket.one("ack")).toMatchObject({ seen: 1_900, waiting: 0 });
  expect(world.sockets).toHaveLength(1);
  await client.close();
});

test("room that a slow handler makes is told while it works, at most every ackMs", async () => {
  const world = new World();
  const client = await world.connected();
  client.onMessage(() => new Promise<void>((resolve) => void world.time.setTimeout(resolve, 1)));
  await world.socket.say(...entries(1, 1_000));
  expect(world.socket.one("ack")).toMatchObject({ seen: 1_000, waiting: 1_000 });
  const told: number[] = [];
  for (let i = 0; i < 4; i++) {
    await world.time.pass(250);
    told.push(world.socket.one("ack").waiting);
  }
  expect(told[0]).toBeGreaterThan(700);
  expect(told[0]).toBeLessThan(800);
  expect(told.at(-1)).toBeLessThan(50);
  await client.close();
});

test("a topic that is left makes room: that is told though nothing new is seen and no cursor moves", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say(...entries(1, 10));
  await world.time.pass(1_000);
  world.socket.take("ack");
  await world.socket.say({ type: "unsubscribed", topic: "sara/default" });
  expect(world.socket.one("ack")).toMatchObject({ seen: 10, waiting: 0, cursors: [] });
  await client.close();
});

test.each(["subscribed", "another epoch"])("a topic that begins anew (%s) waits with nothing of before", async (how) => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say(...entries(1, 10));
  await world.time.pass(1_000);
  world.socket.take("ack");
  if (how === "subscribed") await world.socket.say({ type: how, topic: "sara/default", epoch: 7, offset: 20, recovered: true });
  else await world.socket.say(entry(1, "sara/default", 0, 8));
  await world.socket.say({ type: "ping" });
  expect(world.socket.take("ack").at(-1)?.waiting).toBe(how === "subscribed" ? 0 : 1);
  await client.close();
});

test("on a new connection nothing waits until it has brought something, though the app is still busy with what came before", async () => {
  const world = new World();
  const client = await world.connected();
  const first = Promise.withResolvers<void>();
  client.onMessage(() => first.promise);
  await world.socket.say(...entries(1, 10));
  await world.again();
  await world.socket.say({ type: "ping" });
  expect(world.socket.one("ack")).toMatchObject({ seen: 0, waiting: 0 });
  await world.time.pass(1_000);
  await world.socket.say(...entries(1, 5));
  expect(world.socket.one("ack")).toMatchObject({ seen: 5, waiting: 5 });
  first.resolve();
  await quiet();
  await world.time.pass(1_000);
  expect(world.socket.take("ack").at(-1)).toMatchObject({ seen: 5, waiting: 0 });
  await client.close();
});

test("an entry that comes twice, or was handled on an earlier connection, is seen and waits for nothing", async () => {
  const world = new World();
  const client = await world.connected();
  reading(client);
  await world.socket.say(...entries(1, 3));
  await world.again([at("sara/default", 1)]);
  world.socket.take("ack");
  await world.socket.say(...entries(2, 3), entry(3));
  expect(world.socket.one("ack")).toMatchObject({ seen: 3, waiting: 0 });
  await client.close();
});
