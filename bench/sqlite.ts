/**
 * What the sqlite storage costs: durable publishes per second, what a slow disk does to the event loop, and whether a user among
 * a million is as near as one among a thousand. `node bench/sqlite.ts [--quick]`, the same on Deno.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers";
import { sqlite } from "../adapters/sqlite/sqlite.ts";
import { sqliteWith } from "../adapters/sqlite/sqlite_with.ts";
import { createEngine, type Engine } from "../mod.ts";
import type { Clock } from "../src/ports/clock.ts";
import type { PushProvider } from "../src/ports/push_provider.ts";
import type { OpenStorage, Storage } from "../src/ports/storage.ts";
import type { UserRecord } from "../src/ports/users.ts";

const quick = process.argv.includes("--quick");
const seconds = quick ? 2 : 5;
const PUBLISHERS = 64;
const folder = mkdtempSync(join(tmpdir(), "peyk-bench-"));
const clock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  setTimeout: (task, ms) => setTimeout(task, ms),
  clearTimeout: (timer) => clearTimeout(timer as number),
  defer: (task) => void setImmediate(task),
};
const random = { id: () => crypto.randomUUID(), fraction: Math.random };

function open(storage: Storage): Promise<OpenStorage> {
  return storage.open({ clock, logger: console, random });
}

function percentile(values: number[], share: number): number {
  return values.sort((a, b) => a - b)[Math.floor((values.length - 1) * share)]!;
}

/** 64 publishers, each publishing again as soon as it was answered, over 1,000 private topics. */
async function publishing(storage: OpenStorage): Promise<{ perSecond: number; p50Ms: number; p99Ms: number; loopP99Ms: number }> {
  const bytes = new Uint8Array(64).fill(7);
  const latencies: number[] = [];
  const late: number[] = [];
  let running = true;
  let sequence = 0;
  async function publisher(): Promise<void> {
    while (running) {
      const started = performance.now();
      const key = String(++sequence);
      await storage.transport.publish(`user ${sequence % 1_000}/default`, bytes, { key, expiresAt: Date.now() + 3600_000 });
      latencies.push(performance.now() - started);
    }
  }
  // How much later than asked for a timer runs is how long something else held the loop (timers count whole milliseconds).
  async function watch(): Promise<void> {
    while (running) {
      const due = performance.now() + 1;
      await new Promise((resolve) => setTimeout(resolve, 1));
      late.push(performance.now() - due);
    }
  }
  const all = Promise.all([watch(), ...Array.from({ length: PUBLISHERS }, publisher)]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  latencies.length = late.length = 0;
  const started = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const perSecond = latencies.length / (performance.now() - started) * 1_000;
  running = false;
  await all;
  return { perSecond, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99), loopP99Ms: percentile(late, 0.99) };
}

function away(index: number): UserRecord {
  const userId = `user ${String(index).padStart(7, "0")}`;
  const own = `${userId}/default`;
  const deviceId = `device of ${userId}`;
  const target = { id: `target of ${userId}`, provider: "webhook", token: `https://example.org/${index}`, registeredAt: 1 };
  return {
    ...{ userId, version: 0, seenAt: index, subscriptions: { [own]: { epoch: 1, offset: 0 } } },
    sessions: [{ deviceId, generation: 1, node: null, changedAt: 1, targets: [target] }],
    positions: {
      ...{ version: 0, handled: {} },
      progress: { [deviceId]: { [own]: { epoch: 1, from: 0, acked: 0, shown: 0, decided: 0 } } },
    },
  };
}

async function fill(storage: OpenStorage, count: number): Promise<void> {
  let made = 0;
  await Promise.all(Array.from({ length: Math.min(count, 2_000) }, async () => {
    while (made < count) await storage.users.put(away(made++), "both");
  }));
}

/** One user's decision as the sweep makes it: read, change, write. Alternating, so that both meet the same machine. */
async function userPuts(storages: readonly [OpenStorage, number][], rounds: number): Promise<number[]> {
  const took: number[][] = storages.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, [{ users }, count]] of storages.entries()) {
      const { userId } = away(Math.floor(Math.random() * count));
      const started = performance.now();
      const record = (await users.get(userId))!;
      await users.put({ ...record, seenAt: record.seenAt + 1 }, "both");
      took[index]!.push(performance.now() - started);
    }
  }
  return took.map((values) => percentile(values, 0.5));
}

/** A private publish to somebody who is away, up to its receipt and up to the push: log, sweep, decision, outbox. Alternating. */
async function privatePublishes(
  engines: readonly [Engine, number][],
  rounds: number,
): Promise<{ receipt: number; push: number }[]> {
  const took = engines.map(() => ({ receipt: [] as number[], push: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [index, [engine, count]] of engines.entries()) {
      const { userId } = away(Math.floor(Math.random() * count));
      const started = performance.now();
      const pushed = new Promise<void>((resolve) => asked = resolve);
      await engine.publish({ to: userId, content: "hi" });
      took[index]!.receipt.push(performance.now() - started);
      await pushed;
      took[index]!.push.push(performance.now() - started);
    }
  }
  return took.map(({ receipt, push }) => ({ receipt: percentile(receipt, 0.5), push: percentile(push, 0.5) }));
}

let asked = (): void => {};
const provider: PushProvider = {
  name: "webhook",
  send() {
    asked();
    return Promise.resolve({ verdict: "sent" });
  },
};

const table: { measured: string; value: string; target: string }[] = [];
const row = (measured: string, value: string, target = "") => void table.push({ measured, value, target });

try {
  const plain = await open(sqlite(join(folder, "plain.db")));
  const fast = await publishing(plain);
  await plain.close();
  row(`durable publishes/s, ${PUBLISHERS} publishers, 64 B`, fast.perSecond.toFixed(0), "≥ 15000");
  row("  latency p50 / p99, ms", `${fast.p50Ms.toFixed(2)} / ${fast.p99Ms.toFixed(2)}`);
  row("  event loop delay p99, ms", fast.loopP99Ms.toFixed(2), "≤ 20");

  const shimmed = await open(sqliteWith(join(folder, "slow.db"), {}, { commitDelayMs: 5 }));
  const slow = await publishing(shimmed);
  await shimmed.close();
  row("with a disk that takes 5 ms more to sync: publishes/s", slow.perSecond.toFixed(0));
  row("  latency p50 / p99, ms", `${slow.p50Ms.toFixed(2)} / ${slow.p99Ms.toFixed(2)}`);
  row("  event loop delay p99, ms", slow.loopP99Ms.toFixed(2), "≤ 20");

  const few = await open(sqlite(join(folder, "thousand.db")));
  const many = await open(sqlite(join(folder, "million.db")));
  const started = performance.now();
  await fill(few, 1_000);
  await fill(many, 1_000_000);
  row("putting 1,001,000 users, s", ((performance.now() - started) / 1_000).toFixed(1));
  await userPuts([[few, 1_000], [many, 1_000_000]], 200);
  const [ofFew, ofMany] = await userPuts([[few, 1_000], [many, 1_000_000]], quick ? 2_000 : 10_000) as [number, number];
  row("get + put of one of 1,000 users, p50 ms", ofFew.toFixed(3));
  row("get + put of one of 1,000,000 users, p50 ms", ofMany.toFixed(3));
  row("  ratio", (ofMany / ofFew).toFixed(2), "≤ 1.2");
  await few.close();
  await many.close();

  const engines: [Engine, number][] = [];
  for (const [name, count] of [["thousand.db", 1_000], ["million.db", 1_000_000]] as const) {
    engines.push([await createEngine({ insecure: true, storage: sqlite(join(folder, name)), push: [provider] }), count]);
  }
  await privatePublishes(engines, 100);
  const [toFew, toMany] = await privatePublishes(engines, quick ? 500 : 2_000);
  row("publish to one of 1,000 away users, p50 ms: receipt / push", `${toFew!.receipt.toFixed(3)} / ${toFew!.push.toFixed(3)}`);
  row(
    "publish to one of 1,000,000 away users, p50 ms: receipt / push",
    `${toMany!.receipt.toFixed(3)} / ${toMany!.push.toFixed(3)}`,
  );
  const ratios = [toMany!.receipt / toFew!.receipt, toMany!.push / toFew!.push];
  row("  ratio: receipt / push", ratios.map((ratio) => ratio.toFixed(2)).join(" / "), "≤ 1.2");
  row("  sessions that the engines hold in memory", engines.map(([engine]) => engine.counters().sessions).join(" / "), "0");
  for (const [engine] of engines) await engine.close();
} finally {
  rmSync(folder, { recursive: true });
}
console.table(table);
