import { expect, test } from "vitest";
import { createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { Feed } from "../../src/delivery/feed.ts";
import type { Outlet } from "../../src/delivery/outlet.ts";
import { Reader, Session } from "../../src/delivery/session.ts";
import { seededRandom } from "../engine/stage.ts";

const sink = { arrive() {}, pass() {}, handOut() {}, missed() {} };

const held = createCacheBytes();

function createFeed(): Feed<Reader> {
  return new Feed<Reader>("*/news", sink, held);
}

function readerOf(feed: Feed<Reader>, name: string, state: number = 1, acked: number = 0): Reader {
  const record = { deviceId: name, node: "here", generation: 1, targets: [], progress: {}, changedAt: 0 };
  const session = new Session(name, record, state);
  session.outlet = { connection: { send: () => true, bufferedAmount: 0, close() {} } } as unknown as Outlet;
  const reader = new Reader(session, feed, { epoch: 1, from: 0, acked, shown: 0, decided: acked });
  session.readers.push(reader);
  feed.join(reader);
  return reader;
}

const names = (readers: readonly Reader[]): string[] => readers.map(({ session }) => session.userId).sort();

test("those in one state at one position share a group; another state, or another position, is another group", () => {
  const feed = createFeed();
  const [a, b, c, d] = [readerOf(feed, "a"), readerOf(feed, "b"), readerOf(feed, "c", 2), readerOf(feed, "d", 1, 5)];
  for (const reader of [a, b, c, d]) feed.unite(reader);
  expect(feed.groups.map(({ readers }) => names(readers))).toEqual([["a", "b"], ["c"], ["d"]]);
  expect(feed.readers).toEqual([]);
  expect(names(feed.everybody())).toEqual(["a", "b", "c", "d"]);
});

test("whoever is separated is passed alone again, at the group's position; a group that is empty is gone", () => {
  const feed = createFeed();
  const [a, b] = [readerOf(feed, "a"), readerOf(feed, "b")];
  for (const reader of [a, b]) feed.unite(reader);
  feed.groups[0]!.sent = 7;
  feed.separate(a);
  feed.separate(a);
  expect([names(feed.readers), names(feed.groups[0]!.readers), a.sent]).toEqual([["a"], ["b"], 7]);
  feed.separate(b);
  expect([names(feed.readers), feed.groups.length]).toEqual([["a", "b"], 0]);
});

test("a topic is read as long as somebody is there, alone or in a group", () => {
  const feed = createFeed();
  expect(feed.isRead).toBe(false);
  const a = readerOf(feed, "a");
  expect(feed.isRead).toBe(true);
  feed.unite(a);
  expect(feed.isRead).toBe(true);
  feed.leave(a);
  expect(feed.isRead).toBe(false);
  feed.leave(a);
  expect(feed.everybody()).toEqual([]);
});

test("whoever joins, leaves, unites or separates in whatever order: everybody is in one place, and knows which", () => {
  const random = seededRandom(5);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random.fraction() * values.length)]!;
  const feed = createFeed();
  const all = Array.from({ length: 8 }, (_, i) => readerOf(feed, `${i}`, i % 2));
  const here = new Set(all);
  for (let turn = 0; turn < 5_000; turn++) {
    const reader = pick(all);
    const action = pick(["join", "leave", "unite", "unite", "separate"] as const);
    if (action === "join" && !here.has(reader)) {
      feed.join(reader);
      here.add(reader);
    } else if (action === "leave") {
      feed.leave(reader);
      here.delete(reader);
    } else if (action === "unite" && here.has(reader) && reader.group === undefined) feed.unite(reader);
    else if (action === "separate") feed.separate(reader);
    expect(names(feed.everybody())).toEqual(names([...here]));
    for (const list of [feed.readers, ...feed.groups.map(({ readers }) => readers)]) {
      expect(list.every((reader, index) => reader.index === index)).toBe(true);
    }
    expect(feed.readers.every(({ group }) => group === undefined)).toBe(true);
    expect(feed.groups.every((group) => group.readers.length > 0 && group.readers.every((reader) => reader.group === group)))
      .toBe(true);
  }
});

function remember(feed: Feed<Reader>, ...offsets: number[]): void {
  for (const offset of offsets) {
    feed.remember({
      id: "m",
      from: undefined,
      expiresAt: Infinity,
      account: undefined,
      previous: offset - 1,
      position: { epoch: 1, offset },
    });
  }
}

function remembered(feed: Feed<Reader>): number[] {
  const offsets: number[] = [];
  feed.between(0, Infinity, ({ position }) => offsets.push(position.offset));
  return offsets;
}

function ack(reader: Reader, offset: number): void {
  reader.acked = offset;
  reader.feed.prune();
}

test("an entry is remembered until every reader has acked it, alone or in a group", () => {
  const feed = createFeed();
  const [a, b, c] = [readerOf(feed, "a"), readerOf(feed, "b"), readerOf(feed, "c")];
  for (const reader of [a, b]) feed.unite(reader);
  remember(feed, 1, 2, 3);
  ack(a, 3);
  ack(c, 2);
  expect(remembered(feed)).toEqual([1, 2, 3]);
  ack(b, 1);
  expect(remembered(feed)).toEqual([2, 3]);
  ack(b, 3);
  expect(remembered(feed)).toEqual([3]);
  feed.leave(c);
  feed.prune();
  expect([remembered(feed), held.receipts]).toEqual([[], 0]);
});

test("whoever acks, joins and leaves in whatever order, what is remembered is what somebody there has not acked", () => {
  const random = seededRandom(8);
  const below = (limit: number): number => Math.floor(random.fraction() * limit);
  const feed = createFeed();
  const here: Reader[] = [];
  let head = 0;
  for (let turn = 0; turn < 20_000; turn++) {
    const dice = random.fraction();
    const reader = here[below(here.length)];
    if (dice < 0.1 && here.length < 20) {
      const joined = readerOf(feed, `${turn}`, 1, head);
      if (random.fraction() < 0.5) feed.unite(joined);
      here.push(joined);
    } else if (reader === undefined) continue;
    else if (dice < 0.15) {
      here.splice(here.indexOf(reader), 1);
      feed.leave(reader);
      feed.prune();
    } else if (dice < 0.45) remember(feed, ++head);
    else if (dice < 0.5) feed.separate(reader);
    else ack(reader, Math.min(head, reader.acked + below(6)));
    const least = Math.min(head, ...here.map(({ acked }) => acked));
    const kept = remembered(feed);
    if (here.length > 0 && kept.length !== head - least) {
      expect.fail(`turn ${turn}: ${kept.length} are remembered of ${head - least}`);
    }
  }
  feed.close();
  expect(held.receipts).toBe(0);
});

test("all acks of a large room together cost about one look at each reader, in whatever order they come", () => {
  const count = 2_000;
  for (const order of [(i: number) => i, (i: number) => count - 1 - i, (i: number) => (i * 701) % count]) {
    const feed = createFeed();
    let looks = 0;
    const readers = Array.from({ length: count }, (_, index) => {
      const reader = readerOf(feed, `${index}`);
      let acked = 0;
      Object.defineProperty(reader, "acked", { get: () => (looks++, acked), set: (offset: number) => acked = offset });
      return reader;
    });
    remember(feed, 1);
    for (let i = 0; i < count; i++) ack(readers[order(i)]!, 1);
    expect(remembered(feed)).toEqual([]);
    expect(looks).toBeLessThan(4 * count);
  }
});
