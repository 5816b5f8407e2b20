import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { HistoryPage } from "../../src/ports/transport.ts";
import { publishMany, type Stage, type StorageCase } from "./stage.ts";

const topic = "*/news";
const day = 24 * 3600_000;

function read({ storage }: Stage, after: number, limit: number): Promise<HistoryPage> {
  return storage.history!.read(topic, after, limit);
}

function offsets({ entries }: HistoryPage): number[] {
  return entries.map(({ offset }) => offset);
}

/** What a History must do. */
export const historyCases: readonly Omit<StorageCase, "port">[] = [
  {
    name: "answers for an unknown topic with an empty page at offset 0, in the epoch of the entries to come",
    async run(stage) {
      const { entries, through, expired, head, floor } = await read(stage, 0, 10);
      deepStrictEqual({ entries, through, expired, offset: head.offset, floor }, {
        entries: [],
        through: 0,
        expired: 0,
        offset: 0,
        floor: 0,
      });
      strictEqual(Number.isSafeInteger(head.epoch), true);
      await publishMany(stage, topic, 1);
      strictEqual((await read(stage, 0, 10)).head.epoch, head.epoch);
    },
  },
  {
    name: "joins page to page with no gap and no overlap",
    async run(stage) {
      await publishMany(stage, topic, 25);
      const whole = await read(stage, 0, 1_000);
      const joined: number[] = [];
      let page = await read(stage, 0, 4);
      for (; page.entries.length > 0; page = await read(stage, page.through, 4)) {
        strictEqual(page.entries.length <= 4, true);
        joined.push(...offsets(page));
        strictEqual(joined.length <= 25, true, "pages come to an end");
      }
      strictEqual(joined.length, 25);
      deepStrictEqual(joined, offsets(whole));
      deepStrictEqual([page.through, whole.through, whole.floor, whole.expired], [page.head.offset, whole.head.offset, 0, 0]);
      deepStrictEqual(whole.entries.map(({ bytes }) => bytes[0]), Array.from({ length: 25 }, (_, index) => index + 1));
      let before = 0;
      for (const { offset, previous } of whole.entries) {
        strictEqual(previous >= before && previous < offset, true, "names the entry before it, or what follows that");
        before = offset;
      }
    },
  },
  {
    name: "bounds a page in bytes, and puts at least one entry in it",
    async run(stage) {
      const { clock, storage } = stage;
      for (let index = 0; index < 6; index++) {
        await storage.transport.publish(topic, new Uint8Array(1_000).fill(index), {
          key: crypto.randomUUID(),
          expiresAt: clock.now() + day,
        });
      }
      const read = (after: number, maxBytes: number) => storage.history!.read(topic, after, 100, maxBytes);
      const joined: number[] = [];
      let page = await read(0, 2_500);
      for (; page.entries.length > 0; page = await read(page.through, 2_500)) {
        strictEqual(page.entries.length, 2);
        joined.push(...page.entries.map(({ bytes }) => bytes[0]!));
        strictEqual(joined.length <= 6, true, "pages come to an end");
      }
      deepStrictEqual(joined, [0, 1, 2, 3, 4, 5]);
      const small = await read(0, 10);
      deepStrictEqual([small.entries.length, small.through], [1, small.entries[0]?.offset]);
      strictEqual((await read(0, 1_000_000)).entries.length, 6);
    },
  },
  {
    name: "says with the last entry that there is no more",
    async run(stage) {
      await publishMany(stage, topic, 4);
      const page = await read(stage, 0, 4);
      strictEqual(page.through, page.head.offset);
      const beyond = await read(stage, page.head.offset, 4);
      deepStrictEqual([beyond.entries, beyond.through, beyond.expired], [[], page.head.offset, 0]);
    },
  },
  {
    name: "counts what expired, steps over it and leaves the floor",
    async run(stage) {
      await publishMany(stage, topic, 2, day);
      await publishMany(stage, topic, 3, 1_000);
      await stage.clock.advance(1);
      await publishMany(stage, topic, 1, day);
      await stage.clock.advance(999);
      const page = await read(stage, 0, 10);
      deepStrictEqual([page.entries.length, page.expired, page.floor, page.through], [3, 3, 0, page.head.offset]);
      const rest = await read(stage, page.entries[1]!.offset, 10);
      deepStrictEqual([rest.entries.length, rest.expired], [1, 3]);
    },
  },
  {
    name: "takes an entry for expired from its very millisecond on",
    async run(stage) {
      await publishMany(stage, topic, 1, 1_000);
      await stage.clock.advance(999);
      strictEqual((await read(stage, 0, 10)).entries.length, 1);
      await stage.clock.advance(1);
      strictEqual((await read(stage, 0, 10)).entries.length, 0);
    },
  },
  {
    name: "reaches the head past a tail that expired",
    async run(stage) {
      await publishMany(stage, topic, 2, day);
      await publishMany(stage, topic, 3, 1_000);
      await stage.clock.advance(1_000);
      const page = await read(stage, 0, 2);
      deepStrictEqual([page.entries.length, page.through, page.expired], [2, page.head.offset, 3]);
    },
  },
  {
    name: "counts expired entries the same after later publishes let go of them",
    async run(stage) {
      await publishMany(stage, topic, 5, 1_000);
      await stage.clock.advance(1_000);
      await publishMany(stage, topic, 2, day);
      const page = await read(stage, 0, 10);
      deepStrictEqual([page.entries.length, page.expired, page.floor], [2, 5, 0]);
    },
  },
  {
    name: "raises the floor to the last entry that had to make room",
    retention: { maxEntries: 5 },
    async run(stage) {
      await publishMany(stage, topic, 5, day);
      const before = await read(stage, 0, 10);
      deepStrictEqual([before.entries.length, before.floor], [5, 0]);
      await stage.clock.advance(1);
      await publishMany(stage, topic, 3, day);
      const page = await read(stage, 0, 10);
      strictEqual(page.entries.length, 5);
      strictEqual(page.floor, before.entries[2]!.offset);
      strictEqual(page.expired, 0);
      strictEqual((await read(stage, page.floor, 10)).entries.length, 5);
    },
  },
  {
    name: "does not raise the floor for an expired entry that made room",
    retention: { maxEntries: 3 },
    async run(stage) {
      await publishMany(stage, topic, 3, 1_000);
      await stage.clock.advance(1_000);
      await publishMany(stage, topic, 3, day);
      const page = await read(stage, 0, 10);
      deepStrictEqual([page.entries.length, page.floor, page.expired], [3, 0, 3]);
    },
  },
  {
    name: "remembers the floor when what is above it expired",
    retention: { maxEntries: 2 },
    async run(stage) {
      await publishMany(stage, topic, 3, 1_000);
      const { floor } = await read(stage, 0, 10);
      await stage.clock.advance(1_000);
      const page = await read(stage, 0, 10);
      deepStrictEqual([page.entries.length, page.floor, page.expired], [0, floor, 2]);
    },
  },
  {
    name: "keeps floor and expired counts over a restart",
    durable: true,
    retention: { maxEntries: 3 },
    async run(stage) {
      await publishMany(stage, topic, 4, 1_000);
      const { floor, head } = await read(stage, 0, 10);
      await stage.clock.advance(1_000);
      const storage = await stage.reopen();
      const page = await storage.history!.read(topic, 0, 10);
      deepStrictEqual([page.floor, page.head, page.expired, page.through], [floor, head, 3, head.offset]);
    },
  },
];
