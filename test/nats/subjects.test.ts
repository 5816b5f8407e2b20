import { expect, test } from "vitest";
import { subjectOf, tokenOf } from "../../adapters/nats/subjects.ts";
import { nameFault } from "../../src/protocol/names.ts";
import { clients } from "./clients.ts";
import { createHeard, openNode, say, until } from "./node.ts";
import { startServer } from "./servers.ts";

/** The names a generator makes of what means something to somebody, and of plain text, all of them different. */
function generateNames(count: number): string[] {
  let seed = 1;
  const below = (limit: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor(seed / 0x1_0000_0000 * limit);
  };
  const pieces = [
    ".",
    "*",
    ">",
    " ",
    "=",
    "=2E",
    "%2E",
    "$",
    "_",
    "-",
    "a",
    "A",
    "b",
    "7",
    "ö",
    "o\u0308",
    "پ",
    "\u200c",
    "😀",
    "\u3000",
  ];
  const names = new Set<string>();
  while (names.size < count) {
    const name = Array.from({ length: 1 + below(8) }, () => pieces[below(pieces.length)]!).join("");
    if (name !== "*" && nameFault(name) === undefined) names.add(name);
  }
  return [...names];
}

const names = generateNames(20_000);

test("20,000 names become 20,000 tokens, which hold nothing that means anything to NATS, and give the names back", () => {
  const tokens = names.map(tokenOf);
  expect(tokens.filter((token) => !/^[A-Za-z0-9_=-]+$/.test(token))).toEqual([]);
  expect(new Set(tokens).size).toBe(names.length);
  const back = tokens.map((token) => decodeURIComponent(token.replaceAll("=", "%")));
  expect(back).toEqual(names);
});

test("20,000 topics become 20,000 subjects of four tokens", () => {
  const topics = names.map((name, index) => index % 4 === 0 ? `*/${name}` : `${name}/${names[(index * 7 + 1) % names.length]}`);
  const subjects = topics.map((topic) => subjectOf("peyk", "topic", topic));
  expect(new Set(subjects).size).toBe(new Set(topics).size);
  expect(subjects.filter((subject) => subject.split(".").length !== 4)).toEqual([]);
});

test("plain names stay as they are", () => {
  expect(subjectOf("peyk", "topic", "989125336383/room-9_b")).toBe("peyk.topic.989125336383.room-9_b");
  expect(subjectOf("peyk", "topic", "*/a.b c")).toBe("peyk.topic.=2A.a=2Eb=20c");
});

test.each(Object.keys(clients))("over %s, 400 users of such names get what is theirs and nothing else", async (client) => {
  await using server = await startServer();
  const connection = await clients[client]!({ servers: server.url });
  const node = await openNode(connection);
  const topics = ["*/default", "*/>", "a.b/c", "a/b.c", ...names.slice(0, 396).map((name) => `${name}/default`)];
  const ears = topics.map(() => createHeard());
  await Promise.all(topics.map((topic, index) => node.transport.subscribe(topic, ears[index]!)));
  for (const topic of topics) await say(node, topic, topic);
  await until(() => ears.every(({ texts }) => texts.length > 0));
  await connection.flush();
  expect(ears.map(({ texts }) => texts)).toEqual(topics.map((topic) => [topic]));
  await node.close();
  await connection.close();
});
