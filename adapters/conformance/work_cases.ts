import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { WorkItem } from "../../src/ports/transport.ts";
import { publishMany, type StorageCase } from "./stage.ts";

const topic = "*/news";

/** What a Work must do. */
export const workCases: readonly Omit<StorageCase, "port">[] = [
  {
    name: "hands out every topic that got entries, up to its head",
    async run(stage) {
      const heads = new Map<string, number>();
      await stage.storage.work!.consume((item) => {
        heads.set(item.topic, item.head.offset);
        return Promise.resolve();
      });
      const topics = ["sara/default", "omid/default", "*/news"];
      for (const [index, name] of topics.entries()) await publishMany(stage, name, index + 2);
      const want: [string, number][] = [];
      for (const name of topics) {
        want.push([name, (await stage.storage.transport.subscribe(name, { entry() {}, gap() {} })).head.offset]);
      }
      await stage.until(() => want.every(([name, head]) => heads.get(name) === head), "every topic handed out up to its head");
    },
  },
  {
    name: "hands out what was published before anybody consumed",
    async run(stage) {
      await publishMany(stage, topic, 2);
      const items: WorkItem[] = [];
      await stage.storage.work!.consume((item) => {
        items.push(item);
        return Promise.resolve();
      });
      await stage.until(() => items.length > 0, "the topic handed out");
      strictEqual(items[0]!.topic, topic);
    },
  },
  {
    name: "hands out a topic again when the handler rejected",
    async run(stage) {
      let calls = 0;
      await stage.storage.work!.consume(() => ++calls < 3 ? Promise.reject(new Error("not now")) : Promise.resolve());
      await publishMany(stage, topic, 1);
      await stage.until(async () => {
        await stage.clock.advance(60_000);
        return calls >= 3;
      }, "a third try");
    },
  },
  {
    name: "hands out other topics while one fails or takes its time",
    async run(stage) {
      const done = new Set<string>();
      let release: (() => void) | undefined;
      const { close } = await stage.storage.work!.consume((item) => {
        if (item.topic === "*/fails") return Promise.reject(new Error("never"));
        if (item.topic === "*/slow") return new Promise<void>((resolve) => release = resolve);
        done.add(item.topic);
        return Promise.resolve();
      });
      await publishMany(stage, "*/fails", 1);
      await publishMany(stage, "*/slow", 1);
      await stage.until(() => release !== undefined, "the slow topic handed out");
      await publishMany(stage, topic, 1);
      await stage.until(() => done.has(topic), "the other topic handed out");
      release!();
      await close();
    },
  },
  {
    name: "hands out other users' topics while all of one user take their time",
    async run(stage) {
      const done = new Set<string>();
      const release: (() => void)[] = [];
      let isOver = false;
      const { close } = await stage.storage.work!.consume((item) => {
        if (item.topic.startsWith("busy/") && !isOver) return new Promise<void>((resolve) => release.push(resolve));
        done.add(item.topic);
        return Promise.resolve();
      });
      for (let index = 0; index < 100; index++) await publishMany(stage, `busy/channel ${index}`, 1);
      await stage.until(() => release.length > 0, "a topic of that user handed out");
      await publishMany(stage, topic, 1);
      await stage.until(() => done.has(topic), "another user's topic handed out");
      isOver = true;
      for (const each of release) each();
      await stage.until(() => done.has("busy/channel 99"), "the last topic of that user handed out");
      await close();
    },
  },
  {
    name: "runs the handler for one topic once at a time, and again for what came meanwhile",
    async run(stage) {
      let running = 0;
      let most = 0;
      let head = 0;
      const releases: (() => void)[] = [];
      await stage.storage.work!.consume(async (item) => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => releases.push(resolve));
        head = item.head.offset;
        running--;
      });
      await publishMany(stage, topic, 1);
      await stage.until(() => releases.length === 1, "the first run");
      await stage.clock.advance(1);
      await publishMany(stage, topic, 3);
      const last = (await stage.storage.transport.subscribe(topic, { entry() {}, gap() {} })).head.offset;
      await stage.clock.settle();
      await stage.until(() => {
        for (const release of releases.splice(0)) release();
        return head === last;
      }, "a run for the last entry");
      strictEqual(most, 1);
    },
  },
  {
    name: "starts no run after the consumer closed, and waits for those under way",
    async run(stage) {
      const { work } = stage.storage;
      let calls = 0;
      let ended = false;
      let release: (() => void) | undefined;
      const { close } = await work!.consume(async () => {
        calls++;
        await new Promise<void>((resolve) => release = resolve);
        ended = true;
      });
      await publishMany(stage, topic, 1);
      await stage.until(() => release !== undefined, "the run");
      let waited = false;
      const closing = close().then(() => waited = ended);
      await publishMany(stage, "*/other", 1);
      await stage.clock.advance(60_000);
      release!();
      await closing;
      strictEqual(waited, true, "close waited for the run");
      await stage.clock.advance(60_000);
      strictEqual(calls, 1);
      let later = false;
      await work!.consume(({ topic }) => {
        if (topic === "*/other") later = true;
        return Promise.resolve();
      });
      await stage.until(() => later, "the next consumer gets what is left");
    },
  },
  {
    name: "hands out after a restart what no handler resolved",
    durable: true,
    async run(stage) {
      await publishMany(stage, topic, 1);
      await publishMany(stage, "*/done", 1);
      const first: string[] = [];
      await stage.storage.work!.consume((item) => {
        first.push(item.topic);
        return item.topic === topic ? Promise.reject(new Error("not now")) : Promise.resolve();
      });
      await stage.until(() => new Set(first).size === 2, "both topics handed out");
      const storage = await stage.reopen();
      const items: WorkItem[] = [];
      await storage.work!.consume((item) => {
        items.push(item);
        return Promise.resolve();
      });
      await stage.until(() => items.some((item) => item.topic === topic), "the unresolved topic handed out again");
      const { head } = await storage.transport.subscribe(topic, { entry() {}, gap() {} });
      deepStrictEqual(items.find((item) => item.topic === topic), { topic, head });
    },
  },
];
