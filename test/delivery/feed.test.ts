import { expect, test } from "vitest";
import { Feed } from "../../src/delivery/feed.ts";
import type { Outlet } from "../../src/delivery/outlet.ts";
import { Reader, Session } from "../../src/delivery/session.ts";
import { seededRandom } from "../engine/stage.ts";

const sink = { arrive() {}, pass() {}, handOut() {}, missed() {} };

function createFeed(): Feed<Reader> {
  return new Feed<Reader>("*/news", sink);
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
