import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { clients, createEar, publish, startNode, until } from "./stage.ts";

let server: NatsServer;
let places = 0;
let name: string;

beforeAll(async () => {
  server = await startServer({ jetstream: ["max_file_store: 64MB"] });
});
afterAll(() => server.close());
beforeEach(() => void (name = `logs_${++places}`));

async function ask<Answer>(verb: string, body: unknown = {}): Promise<Answer> {
  const connection = await clients["transport-node 3.4"]!(server.url);
  const { data } = await connection.request(`$JS.API.${verb}`, new TextEncoder().encode(JSON.stringify(body)), {
    timeout: 5_000,
  });
  await connection.close();
  return JSON.parse(new TextDecoder().decode(data));
}

test("an entry reaches every node, however many streams the logs are spread over", async () => {
  await using one = await startNode(server.url, { name, partitions: 4 });
  await using other = await startNode(server.url, { name, partitions: 4 }, "nats 2.29");
  const topics = Array.from({ length: 40 }, (_, index) => `u${index}/default`);
  const ears = topics.map(() => createEar());
  await Promise.all(topics.map((topic, index) => other.transport.subscribe(topic, ears[index]!)));
  await Promise.all(topics.map((topic) => publish(one, topic, topic)));
  await until(() => ears.every(({ entries }) => entries.length > 0));
  expect(ears.map(({ texts }) => texts)).toEqual(topics.map((topic) => [topic]));
  const streams = await Promise.all([0, 1, 2, 3].map((index) => {
    return ask<{ state: { messages: number } }>(`STREAM.INFO.${name}_LOG_${index}`);
  }));
  expect(streams.every(({ state }) => state.messages > 0)).toBe(true);
});

test("subscriptions that come and go while others publish miss nothing after their head, and hear nothing before it", async () => {
  await using one = await startNode(server.url, { name });
  await using other = await startNode(server.url, { name }, "nats 2.29");
  const whole = createEar();
  await other.transport.subscribe("*/news", whole);
  let running = true;
  let count = 0;
  const publishing = Array.from({ length: 10 }, async () => {
    while (running) await publish(one, "*/news", `${++count}`);
  });
  const joined = [];
  for (let index = 0; index < 100; index++) {
    const ear = createEar();
    joined.push({ ear, ...await other.transport.subscribe("*/news", ear) });
  }
  running = false;
  await Promise.all(publishing);
  await until(() => whole.entries.length === count);
  expect(new Set(joined.map(({ head }) => head.offset)).size).toBeGreaterThan(10);
  for (const { ear, head } of joined) {
    const due = whole.entries.filter(({ offset }) => offset > head.offset);
    expect(ear.entries.map(({ offset }) => offset)).toEqual(due.map(({ offset }) => offset));
    expect(ear.entries[0]?.previous ?? head.offset).toBe(head.offset);
    expect(ear.entries.slice(1).map(({ previous }) => previous)).toEqual(due.slice(0, -1).map(({ offset }) => offset));
  }
});

test("a page steps over what lies between, and is the same from every node", async () => {
  await using one = await startNode(server.url, { name });
  await using other = await startNode(server.url, { name }, "nats 2.29");
  for (let index = 0; index < 30; index++) await publish(one, index % 3 === 0 ? "*/news" : "*/noise", `${index}`);
  const page = await other.history.read("*/news", 0, 4);
  expect(page.entries.map(({ offset }) => offset)).toEqual([1, 4, 7, 10]);
  expect(page.entries.map(({ previous }) => previous)).toEqual([0, 1, 4, 7]);
  expect([page.through, page.head.offset, page.expired, page.floor]).toEqual([10, 28, 0, 0]);
  expect(await one.history.read("*/news", 0, 4)).toEqual(page);
  const head = await other.history.read("*/news", Number.MAX_SAFE_INTEGER, 100);
  expect([head.entries, head.through, head.head]).toEqual([[], 28, page.head]);
});

test("a log whose entries all expired and went does not fall behind what a node was told of it", async () => {
  await using node = await startNode(server.url, { name });
  const ear = createEar();
  await node.transport.subscribe("*/news", ear);
  await publish(node, "*/news", "one", "one", 1);
  await until(() => ear.entries.length === 1 && ear.entries[0]!.expiresAt < Date.now());
  await ask(`STREAM.PURGE.${name}_LOG_0`, { filter: `${name}.log.0.=2A.news` });
  const page = await node.history.read("*/news", 0, 10);
  expect([page.entries, page.through, page.head.offset]).toEqual([[], 1, 1]);
});

test("a key counts for its own topic, also where topics share a stream", async () => {
  await using node = await startNode(server.url, { name });
  const topics = ["a/b", "a/c", "b/b"];
  const all = await Promise.all(topics.map((topic) => publish(node, topic, "text", "key")));
  expect(all.map(({ duplicate }) => duplicate)).toEqual([false, false, false]);
  expect(await publish(node, "a/c", "text", "key")).toEqual({ ...all[1], duplicate: true });
});

test("a full stream refuses with `storage-full` and keeps what it has", async () => {
  await using node = await startNode(server.url, { name, maxBytes: 1_000_000 });
  const large = "x".repeat(300_000);
  for (const key of ["1", "2", "3"]) await publish(node, "*/news", large, key);
  await expect(publish(node, "*/news", large, "4")).rejects.toMatchObject({
    name: "PeykError",
    code: "storage-full",
    retryable: true,
  });
  const { entries, floor } = await node.history.read("*/news", 0, 10);
  expect([entries.length, floor]).toEqual([3, 0]);
});

test("an entry beyond what the server takes is refused with `too-large`, and the connection lives on", async () => {
  await using node = await startNode(server.url, { name });
  await expect(publish(node, "*/news", "x".repeat(1 << 20))).rejects.toMatchObject({ code: "too-large", retryable: false });
  expect((await publish(node, "*/news", "small")).position?.offset).toBe(1);
});

test("the server is told to forget an entry some time after it expires", async () => {
  await using node = await startNode(server.url, { name });
  await publish(node, "*/news", "soon", "soon", 5_000);
  const { message } = await ask<{ message: { hdrs: string } }>(`STREAM.MSG.GET.${name}_LOG_0`, { seq: 1 });
  expect(atob(message.hdrs)).toMatch(/^Nats-TTL: 65\r$/m);
});

test("a log that was replaced is another one: its readers are told, its positions have another epoch", async () => {
  await using node = await startNode(server.url, { name });
  const ear = createEar();
  const { head } = await node.transport.subscribe("*/news", ear);
  await publish(node, "*/news", "one");
  await until(() => ear.entries.length === 1);
  const { config } = await ask<{ config: { metadata: Record<string, string> } }>(`STREAM.INFO.${name}_LOG_0`);
  await ask(`STREAM.DELETE.${name}_LOG_0`);
  const epoch = head.epoch + 1;
  await ask(`STREAM.CREATE.${name}_LOG_0`, { ...config, metadata: { ...config.metadata, "peyk-epoch": `${epoch}` } });
  await until(() => ear.gaps === 1);
  const { position } = await publish(node, "*/news", "two");
  expect(position).toEqual({ epoch, offset: 1 });
  await until(() => ear.entries.length === 2);
  expect(ear.entries[1]).toMatchObject({ epoch, offset: 1, previous: 0 });
  expect((await node.history.read("*/news", 0, 10)).head).toEqual(position);
});

test("ten thousand topics are subscribed to at once", async () => {
  await using node = await startNode(server.url, { name });
  const { position } = await publish(node, "u7777/default", "one");
  const all = await Promise.all(Array.from({ length: 10_000 }, (_, index) => {
    return node.transport.subscribe(`u${index}/default`, { entry() {}, gap() {} });
  }));
  expect(all.filter(({ head }) => head.offset !== 0)).toEqual([expect.objectContaining({ head: position })]);
});

/** Where the clients keep what they owe to somebody; the older one has listeners on top. */
interface Internals {
  listeners?: unknown[];
  protocol: { subscriptions: { size(): number }; listeners: unknown[] };
}

test("closing leaves nothing behind on the connection and the server, and the connection open", async () => {
  for (const client of Object.keys(clients)) {
    await using node = await startNode(server.url, { name }, client);
    const { connection } = node;
    const subscriptions = (): number => {
      const { protocol, listeners = protocol.listeners } = connection as unknown as Internals;
      return protocol.subscriptions.size() + listeners.length;
    };
    await node.transport.subscribe("*/news", createEar());
    await node.work.consume(() => Promise.resolve());
    await node.peers.listen("here", () => undefined);
    expect(subscriptions()).toBeGreaterThan(5);
    await node.close();
    await until(() => subscriptions() === 0);
    expect(connection.isClosed()).toBe(false);
    const { consumers } = await ask<{ consumers: string[] }>(`CONSUMER.NAMES.${name}_LOG_0`);
    expect(consumers).toEqual(["sweep"]);
  }
});
