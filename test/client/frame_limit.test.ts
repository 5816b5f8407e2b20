import { expect, test } from "vitest";
import { CloseCode } from "../../src/protocol/codes.ts";
import type { Status } from "../../src/client/client.ts";
import { reading } from "./fake_browser.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

/** Topics whose names are as long as names may be, some of them of letters with more than a byte. */
const TOPICS = Array.from({ length: 100 }, (_, i) => {
  const [to, channel] = i % 2 === 0 ? ["a".repeat(125), "b".repeat(128)] : ["é".repeat(62), "پ".repeat(64)];
  return `${to}${String(i).padStart(3, "0")}/${channel}`;
});

/** As long as numbers get. */
const EPOCH = 1_700_000_000_000;
const OFFSET = 2 ** 40;
const begin = (topic: string) => at(topic, OFFSET - 1, true, EPOCH);
const next = (topic: string) => entry(OFFSET, topic, OFFSET - 1, EPOCH);

const small = (frameBytes: number) => ({ limits: { frameBytes, topics: 128 } });

test.each([1_024, 4_096, 65_536])(
  "with 100 long topics no frame goes beyond %i bytes, and all cursors are told",
  async (most) => {
    const world = new World();
    const client = world.connect({ token: "t" });
    await quiet();
    await world.socket.welcome(TOPICS.map(begin), small(most));
    reading(client);
    await quiet();
    await world.socket.say(...TOPICS.map(next));
    await world.time.pass(20_000);
    const acked = world.socket.take("ack").flatMap(({ cursors }) => cursors.map(({ topic }) => topic));
    expect(acked.toSorted()).toEqual(TOPICS.toSorted());
    expect(world.socket.longest).toBeLessThanOrEqual(most);
    await world.socket.end(1006);
    await world.time.pass(1_000);
    await world.socket.open();
    expect(world.socket.longest).toBeLessThanOrEqual(1_024);
    const pages = [world.socket.one("hello"), ...world.socket.take("cursors")];
    expect(pages.flatMap(({ cursors }) => cursors.map(({ topic }) => topic)).toSorted()).toEqual(TOPICS.toSorted());
    expect(pages.map(({ more }) => more)).toEqual([...pages.slice(1).map(() => true), false]);
    await client.close();
  },
);

test("what was read in front is acked in front, in as many acks as it takes, before the state says hidden", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.welcome(TOPICS.map(begin), small(1_024));
  world.socket.received = [];
  reading(client);
  await quiet();
  await world.socket.say(...TOPICS.map(next));
  client.setActivity({ visible: false });
  const { received } = world.socket;
  expect(received.at(-1)?.type).toBe("state");
  expect(received.flatMap((frame) => frame.type === "ack" ? frame.cursors : [])).toHaveLength(100);
  await client.close();
});

test("beside a long token hello carries no cursors: they come on pages of their own", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0)], { token: "x".repeat(3_000) });
  reading(client);
  await quiet();
  await world.socket.say(entry(1));
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.open();
  expect(world.socket.one("hello")).toMatchObject({ cursors: [], more: true });
  expect(world.socket.one("cursors")).toMatchObject({ cursors: [{ topic: "sara/default", offset: 1 }], more: false });
  await client.close();
});

test("a token too long for the engine ends the client with a reason and a hint", async () => {
  const world = new World();
  const client = world.connect({ token: "x".repeat(100_000) });
  const statuses: Status[] = [];
  client.onStatus((status) => void statuses.push(status));
  await quiet();
  await world.socket.open();
  const hint = "At most 4096 bytes.";
  await world.socket.say({ type: "error", ref: null, code: "too-large", retryable: false, retryAfterMs: null, hint });
  await world.socket.end(CloseCode.tooLarge);
  expect(statuses.at(-1)).toEqual({ state: "closed", reason: "tooLarge", hint });
});

test.each(["\ud800", 7 as unknown as string])(
  "a token that can't be said (%j) throws nowhere: it is asked for again",
  async (bad) => {
    const world = new World();
    let given = bad;
    const client = world.connect({ token: () => given });
    const statuses: Status[] = [];
    client.onStatus((status) => void statuses.push(status));
    await quiet();
    expect(statuses.at(-1)).toMatchObject({ state: "waiting", reason: "token" });
    given = "good";
    await world.time.pass(1_000);
    await world.socket.open();
    expect(world.socket.one("hello").token).toBe("good");
    await client.close();
  },
);

test("a limit that no ack keeps to is the engine's fault: nothing throws here", async () => {
  const world = new World();
  const client = world.connect();
  await quiet();
  await world.socket.welcome([at(TOPICS[0]!, 0)], small(10));
  reading(client);
  await quiet();
  await world.socket.say(entry(1, TOPICS[0]!));
  await world.time.pass(1_000);
  expect(world.socket.take("ack").flatMap(({ cursors }) => cursors)).toHaveLength(1);
  await expect(client.publish({ to: "omid", content: "longer than ten bytes" })).rejects.toMatchObject({ code: "too-large" });
  await client.close();
});
