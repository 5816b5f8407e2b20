import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Entry } from "../../src/ports/transport.ts";
import { type NatsCluster, type NatsServer, startCluster } from "../nats/servers.ts";
import { clients, createEar, type Ear, type NodeOfLogs, publish, startNode, until } from "./stage.ts";

let cluster: NatsCluster;
let places = 0;

beforeAll(async () => {
  cluster = await startCluster(3);
});
afterAll(() => cluster.close());

const TOPICS = ["sara/default", "omid/default", "*/news"];

/** Two nodes: one publishes without a pause, the other one listens. */
let publisher: NodeOfLogs;
let listener: NodeOfLogs;
let ears: Map<string, Ear>;
let traffic: Traffic;
let name: string;

beforeEach(async () => {
  await cluster.ready();
  name = `faults_${++places}`;
  publisher = await startNode(cluster.urls, { name, replicas: 3 });
  listener = await startNode(cluster.urls, { name, replicas: 3 }, "nats 2.29");
  ears = new Map(TOPICS.map((topic) => [topic, createEar()]));
  await Promise.all([...ears].map(([topic, ear]) => listener.transport.subscribe(topic, ear)));
  traffic = startTraffic(publisher);
});
afterEach(async () => {
  await traffic.stop();
  await publisher[Symbol.asyncDispose]();
  await listener[Symbol.asyncDispose]();
});

interface Traffic {
  /** What was accepted, by topic. */
  readonly accepted: Map<string, { text: string; offset: number }[]>;
  readonly refused: unknown[];
  /** Resolves when so many more were accepted. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
}

function startTraffic(node: NodeOfLogs): Traffic {
  const accepted = new Map(TOPICS.map((topic) => [topic, [] as { text: string; offset: number }[]]));
  const refused: unknown[] = [];
  let running = true;
  let last = 0;
  const count = (): number => [...accepted.values()].reduce((sum, { length }) => sum + length, 0);
  const lanes = Array.from({ length: 20 }, async (_, lane) => {
    const topic = TOPICS[lane % TOPICS.length]!;
    while (running) {
      const text = `${++last}`;
      await publish(node, topic, text).then(
        ({ position }) => void accepted.get(topic)!.push({ text, offset: position!.offset }),
        (error) => void refused.push(error),
      );
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  });
  return {
    accepted,
    refused,
    async more(wanted) {
      const enough = count() + wanted;
      await until(() => count() >= enough);
    },
    async stop() {
      running = false;
      await Promise.all(lanes);
    },
  };
}

async function wholeLog(node: NodeOfLogs, topic: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  let page = await node.history.read(topic, 0, 100);
  for (; entries.push(...page.entries), page.through < page.head.offset;) {
    page = await node.history.read(topic, page.through, 100);
  }
  return entries;
}

/** Every accepted publish is in the log once and came by the tail once, in the log's order. */
async function checkAll(): Promise<void> {
  await traffic.stop();
  for (const topic of TOPICS) {
    const log = await wholeLog(listener, topic);
    const ear = ears.get(topic)!;
    await until(() => ear.entries.length >= log.length);
    const at = (entry: Entry) => [entry.offset, entry.previous, new TextDecoder().decode(entry.bytes)];
    expect(ear.entries.map(at)).toEqual(log.map(at));
    const offsets = new Map(log.map((entry) => [new TextDecoder().decode(entry.bytes), entry.offset]));
    expect(offsets.size).toBe(log.length);
    expect(traffic.accepted.get(topic)!.filter(({ text, offset }) => offsets.get(text) !== offset)).toEqual([]);
    expect(ear.gaps).toBe(0);
  }
}

async function leaderOf(stream: string): Promise<NatsServer> {
  const connection = await clients["transport-node 3.4"]!(cluster.urls);
  try {
    const { data } = await connection.request(`$JS.API.STREAM.INFO.${stream}`, new Uint8Array(), { timeout: 5_000 });
    const { cluster: group } = JSON.parse(new TextDecoder().decode(data));
    return cluster.servers.find(({ name }) => name === group.leader)!;
  } finally {
    await connection.close();
  }
}

test("nothing accepted is lost, doubled or out of order when the log's leader is killed", async () => {
  await traffic.more(500);
  const leader = await leaderOf(`${name}_LOG_0`);
  await leader.kill();
  await traffic.more(500);
  await leader.restart();
  await cluster.ready();
  await traffic.more(100);
  await checkAll();
});

test("nothing accepted is lost, doubled or out of order when the log's leader hangs and comes back", async () => {
  await traffic.more(500);
  const leader = await leaderOf(`${name}_LOG_0`);
  await leader.pause();
  try {
    await traffic.more(500);
  } finally {
    leader.resume();
  }
  await traffic.more(500);
  await checkAll();
});

test("nothing accepted is lost, doubled or out of order when all servers are restarted one by one", async () => {
  for (const server of cluster.servers) {
    await traffic.more(100);
    await server.restart();
    await cluster.ready();
  }
  await traffic.more(100);
  await checkAll();
});

test("the tail goes on where it was when its consumer is deleted", async () => {
  await traffic.more(100);
  const connection = await clients["transport-node 3.4"]!(cluster.urls);
  const ask = async (verb: string) =>
    JSON.parse(
      new TextDecoder().decode((await connection.request(`$JS.API.${verb}`, new Uint8Array(), { timeout: 5_000 })).data),
    );
  const stream = `${name}_LOG_0`;
  const { consumers } = await ask(`CONSUMER.NAMES.${stream}`) as { consumers: string[] };
  const tails = consumers.filter((consumer) => consumer.startsWith("tail-"));
  expect(tails.length).toBe(2);
  for (const consumer of tails) await ask(`CONSUMER.DELETE.${stream}.${consumer}`);
  await connection.close();
  await traffic.more(500);
  await checkAll();
});
