import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { WorkItem } from "../../src/ports/transport.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { createEar, type NodeOfLogs, publish, startNode, until } from "./stage.ts";

let server: NatsServer;
let places = 0;
let one: NodeOfLogs;
let other: NodeOfLogs;

beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(() => server.close());
beforeEach(async () => {
  const name = `nodes_${++places}`;
  one = await startNode(server.url, { name });
  other = await startNode(server.url, { name }, "nats 2.29");
  return async () => {
    await one[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  };
});

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("work is shared: every entry is handed out on one node", async () => {
  const items: [NodeOfLogs, WorkItem][] = [];
  for (const node of [one, other]) {
    await node.work.consume((item) => {
      items.push([node, item]);
      return Promise.resolve();
    });
  }
  for (let index = 0; index < 200; index++) await publish(one, `u${index}/default`, "text");
  await until(() => items.length >= 200);
  expect(new Set(items.map(([, { topic }]) => topic)).size).toBe(200);
  expect(items.length).toBe(200);
  expect(new Set(items.map(([node]) => node)).size).toBe(2);
  const verb = `$JS.API.CONSUMER.INFO.nodes_${places}_LOG_0.sweep`;
  await until(async () => {
    const { data } = await one.connection.request(verb, new Uint8Array(), { timeout: 5_000 });
    const { num_ack_pending, num_pending } = JSON.parse(text(data));
    return num_ack_pending === 0 && num_pending === 0;
  });
});

test("what a node gives up when it closes is handed out on another one, and what it did is not", async () => {
  const first: string[] = [];
  await one.work.consume(({ topic }) => {
    first.push(topic);
    return topic === "*/fails" ? Promise.reject(new Error("never here")) : Promise.resolve();
  });
  await publish(one, "*/done", "text");
  await publish(one, "*/fails", "text");
  await until(() => new Set(first).size === 2);
  await one.close();
  const second: WorkItem[] = [];
  await other.work.consume((item) => {
    second.push(item);
    return Promise.resolve();
  });
  await until(() => second.length > 0);
  const { head } = await other.transport.subscribe("*/fails", createEar());
  expect(second).toEqual([{ topic: "*/fails", head }]);
});

// Within less than the server's patience, after which it takes everything back by itself.
test("what waits behind a run when a node closes is given back at once", { timeout: 20_000 }, async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let runs = 0;
  await one.work.consume(() => {
    runs++;
    return promise;
  });
  await publish(one, "*/news", "first");
  await until(() => runs === 1);
  await publish(one, "*/news", "second");
  await publish(one, "*/mark", "text");
  await until(() => runs === 2);
  const closing = one.work.close();
  resolve();
  await closing;
  const items: WorkItem[] = [];
  await other.work.consume((item) => {
    items.push(item);
    return Promise.resolve();
  });
  await until(() => items.length > 0);
  expect(items).toMatchObject([{ topic: "*/news", head: { offset: 2 } }]);
});

test("entries of one topic that wait together are one item, up to the last of them", async () => {
  const items: WorkItem[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  await one.work.consume((item) => {
    items.push(item);
    return promise;
  });
  await publish(one, "*/news", "first");
  await until(() => items.length === 1);
  await Promise.all(Array.from({ length: 50 }, (_, index) => publish(one, "*/news", `${index}`)));
  await publish(one, "*/mark", "text");
  await until(() => items.some(({ topic }) => topic === "*/mark"));
  resolve();
  await until(() => items.length === 3);
  expect(items[2]).toMatchObject({ topic: "*/news", head: { offset: 51 } });
});

test("a head that work names can be read at once, on the node that is told of it", async () => {
  const missing: WorkItem[] = [];
  let count = 0;
  await other.work.consume(async (item) => {
    const page = await other.history.read(item.topic, item.head.offset - 1, 1);
    if (page.head.offset < item.head.offset || page.entries[0]?.offset !== item.head.offset) missing.push(item);
    count++;
  });
  await Promise.all(Array.from({ length: 300 }, (_, index) => publish(one, `u${index}/default`, "text")));
  await until(() => count === 300);
  expect(missing).toEqual([]);
});

test("what is told at an address reaches all who listen there, this node too, and nobody else", async () => {
  const heard: string[] = [];
  const listen = (node: NodeOfLogs, address: string, who: string) =>
    node.peers.listen(address, (message) => {
      heard.push(`${who} ${text(message)}`);
      return undefined;
    });
  const addresses = ["a.b", "a b", "*", ">", "a=2Eb", "سارا"];
  for (const address of addresses) await listen(other, address, `other ${address}`);
  const here = await listen(one, "a.b", "one a.b");
  for (const address of addresses) one.peers.tell(address, bytes("hello"));
  await until(() => heard.length >= addresses.length + 1);
  expect(heard.sort()).toEqual([...addresses.map((address) => `other ${address} hello`), "one a.b hello"].sort());
  here.close();
  heard.length = 0;
  one.peers.tell("a.b", bytes("again"));
  await until(() => heard.length > 0);
  await one.connection.flush();
  expect(heard).toEqual(["other a.b again"]);
});

test("a question gathers answers until they are enough, and ends at once when nobody listens", async () => {
  const never = (): boolean => false;
  await one.peers.listen("who", () => bytes("one"));
  await other.peers.listen("who", () => Promise.resolve(bytes("other")));
  await other.peers.listen("who", () => undefined);
  await other.peers.listen("who", () => Promise.reject(new Error("a listener's defect")));
  const both = await one.peers.ask("who", bytes("?"), { ms: 60_000, enough: (answers) => answers.length === 2 });
  expect(both.map(text).sort()).toEqual(["one", "other"]);
  expect((await one.peers.ask("who", bytes("?"), { ms: 60_000, enough: ({ length }) => length === 1 })).length).toBe(1);
  expect(await one.peers.ask("nobody", bytes("?"), { ms: 60_000, enough: never })).toEqual([]);
  expect((await one.peers.ask("who", bytes("?"), { ms: 50, enough: never })).length).toBe(2);
  const heard: string[] = [];
  await other.peers.listen("told", (message) => {
    heard.push(text(message));
    return undefined;
  });
  expect(await one.peers.ask("told", bytes("anyway"), { ms: 60_000, enough: () => true })).toEqual([]);
  await until(() => heard.length === 1);
});
