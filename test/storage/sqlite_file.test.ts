import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/conformance.ts";
import { newRow, session, user } from "../../adapters/conformance/records.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { sqliteWith } from "../../adapters/sqlite/sqlite_with.ts";
import { startChild } from "./process.ts";
import { createFiles, open, publish, refusal } from "./sqlite_stage.ts";

const { newPath } = createFiles();

describe("a disk that fails", () => {
  test("refuses with storage-full what finds no room, keeps the rest and goes on", async () => {
    const path = newPath();
    const storage = await open(sqliteWith(path, {}, { maxPages: 60 }));
    const first = await publish(storage, "first");
    const outcomes = await Promise.allSettled([publish(storage, "small"), publish(storage, "large", 500_000)]);
    expect(outcomes[0]).toMatchObject({ status: "fulfilled" });
    expect(outcomes[1]).toMatchObject({ reason: { code: "storage-full", retryable: true, hint: expect.stringMatching(/\S/) } });
    expect(await publish(storage, "first")).toEqual({ position: first.position, duplicate: true, durability: "disk" });
    expect((await storage.history!.read("sara/default", 0, 10)).entries.length).toBe(2);
    await storage.close();
    expect(await refusal(path)).toBe("opened");
  });

  test("after a failed commit refuses every write until it is opened again, and reports no entry of it", async () => {
    const path = newPath();
    const storage = await open(sqliteWith(path, {}, { failCommit: 2 }));
    const reported: number[] = [];
    await storage.transport.subscribe("sara/default", { entry: ({ offset }) => void reported.push(offset), gap() {} });
    await publish(storage, "accepted");
    await expect(publish(storage, "lost")).rejects.toMatchObject({ code: "unavailable", retryable: true });
    await expect(publish(storage, "later")).rejects.toMatchObject({ code: "unavailable" });
    await expect(storage.users.put(user("sara"), "both")).rejects.toMatchObject({ code: "unavailable" });
    expect((await storage.history!.read("sara/default", 0, 10)).entries.length).toBe(1);
    await storage.close();
    const again = await open(sqlite(path));
    expect(await publish(again, "lost")).toMatchObject({ position: { offset: 2 }, duplicate: false });
    expect(reported).toEqual([1]);
    await again.close();
  });

  test("makes publishes wait for a slow disk together, not one by one", async () => {
    const storage = await open(sqliteWith(newPath(), {}, { commitDelayMs: 50 }));
    const reported: number[] = [];
    await storage.transport.subscribe("sara/default", { entry: ({ offset }) => void reported.push(offset), gap() {} });
    const first = publish(storage, "first");
    await new Promise((resolve) => setImmediate(resolve));
    const gathered = Array.from({ length: 20 }, (_, index) => publish(storage, `key ${index}`));
    await first;
    expect(reported).toEqual([1]);
    await gathered[0];
    expect(reported.length).toBe(21);
    await storage.close();
  });
});

test("an entry that is in a subscription's head is not reported to it, though the writing thread's answer comes later", async () => {
  const path = newPath();
  const storage = await open(sqlite(path));
  const other = new DatabaseSync(path, { readOnly: true });
  const count = other.prepare("SELECT count(*) AS n FROM entry");
  const publishing = publish(storage, "first");
  await new Promise((resolve) => setImmediate(resolve));
  while (count.get()!.n === 0); // holds this thread, so that the answer can't come
  const reported: number[] = [];
  const { head } = await storage.transport.subscribe("sara/default", {
    entry: ({ offset }) => void reported.push(offset),
    gap() {},
  });
  await publishing;
  await publish(storage, "second");
  expect([head.offset, reported]).toEqual([1, [2]]);
  other.close();
  await storage.close();
});

test("of bytes that are part of a larger buffer only those are kept", async () => {
  const storage = await open(sqlite(newPath()));
  const pool = new Uint8Array(1_000).fill(9);
  pool.set([1, 2, 3], 500);
  await storage.transport.publish("sara/default", pool.subarray(500, 503), { key: "key", expiresAt: 1e15 });
  expect([...(await storage.history!.read("sara/default", 0, 1)).entries[0]!.bytes]).toEqual([1, 2, 3]);
  await storage.close();
});

test("the storage goes on when the bytes of a publish were given away before they were written", async () => {
  const storage = await open(sqlite(newPath()));
  const bytes = new Uint8Array(8);
  const publishing = storage.transport.publish("sara/default", bytes, { key: "key", expiresAt: 1e15 });
  structuredClone(bytes, { transfer: [bytes.buffer] });
  await Promise.allSettled([publishing]);
  expect((await publish(storage, "other")).duplicate).toBe(false);
  await storage.close();
});

describe("a restart", () => {
  test("finds every row that was accepted before a kill", async () => {
    const path = newPath();
    const child = startChild("write", path);
    await child.said(2_000);
    child.process.kill("SIGKILL");
    await child.ended;
    const storage = await open(sqlite(path));
    const known = new Set((await storage.outbox.ofMessage("m")).map(({ id }) => id));
    let entries = 0;
    let rows = 0;
    for (const line of child.lines) {
      const [kind, ...words] = line.split(" ");
      if (kind === "row") {
        rows++;
        expect(known.has(words[0]!)).toBe(true);
        continue;
      }
      entries++;
      const [publisher, epoch, offset, key] = words as [string, string, string, string];
      const { entries: [entry] } = await storage.history!.read(`user-${publisher}/default`, Number(offset) - 1, 1);
      expect([entry?.epoch, entry?.offset, new TextDecoder().decode(entry?.bytes)]).toEqual([Number(epoch), Number(offset), key]);
    }
    expect(entries).toBeGreaterThan(1_000);
    expect(rows).toBeGreaterThan(0);
    // The user and its rows changed together, the last, unanswered put included.
    expect((await storage.users.get("sara"))!.seenAt).toBe(known.size - 1);
    await storage.close();
  });

  test("drops the leases of the former life", async () => {
    const path = newPath();
    const storage = await open(sqlite(path));
    await storage.users.put(user("sara", { sessions: [session("phone", { node: "node-1" })] }), "both");
    await storage.users.lease("node-1", 1e9);
    expect((await storage.users.orphans({ after: undefined, limit: 9 })).names).toEqual([]);
    await storage.close();
    const again = await open(sqlite(path));
    expect((await again.users.orphans({ after: undefined, limit: 9 })).names).toEqual(["sara"]);
    await again.close();
  });

  test("does not hand out again what a handler resolved", async () => {
    const path = newPath();
    const clock = createManualClock();
    let storage = await open(sqlite(path), clock);
    await publish(storage, "key");
    await new Promise<void>((resolve) => void storage.work!.consume(() => Promise.resolve(resolve())));
    await storage.close();
    storage = await open(sqlite(path), clock);
    const topics: string[] = [];
    await storage.work!.consume(({ topic }) => Promise.resolve(void topics.push(topic)));
    await storage.transport.publish("omid/default", Uint8Array.of(1), { key: "key", expiresAt: 1e15 });
    await storage.close();
    expect(topics).not.toContain("sara/default");
  });

  test("writes what was asked for before close, and leaves one file and its lock", async () => {
    const path = newPath();
    const storage = await open(sqlite(path));
    const publishes = Array.from({ length: 50 }, (_, index) => publish(storage, `key ${index}`));
    await storage.close();
    expect((await Promise.all(publishes)).length).toBe(50);
    expect(() => readFileSync(`${path}-wal`)).toThrow();
    await storage.close();
  });
});

describe("a process", () => {
  test("ends by itself after close", async () => {
    const child = startChild("close", newPath());
    expect(await child.ended).toBe(0);
    expect(child.lines).toEqual(["done"]);
  });

  test("is not kept alive by an open storage that has nothing to do", async () => {
    const child = startChild("leave", newPath());
    expect(await child.ended).toBe(0);
  });
});

test("what expired is let go of, a little with every write", async () => {
  const path = newPath();
  const clock = createManualClock();
  const storage = await open(sqlite(path, { retention: { idempotencyMs: 1_000 } }), clock);
  const write = async (index: number, expiresAt: number) => {
    await storage.transport.publish(`user-${index % 7}/default`, Uint8Array.of(1), { key: `key ${index}`, expiresAt });
    const record = (await storage.users.get("sara")) ?? user("sara");
    await storage.users.put(record, "both", [newRow(`row ${index}`, { expiresAt })]);
    await storage.outbox.settle([`row ${index}`], "sent", "");
  };
  for (let index = 0; index < 40; index++) await write(index, clock.now() + 1_000);
  await clock.advance(1_000);
  for (let index = 40; index < 80; index++) await write(index, clock.now() + 1_000);
  await storage.close();
  const db = new DatabaseSync(path);
  for (const table of ["entry", "idempotency", "push"]) {
    expect(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()!.n).toBe(40);
  }
  expect(db.prepare("SELECT sum(kept) AS n FROM topic").get()!.n).toBe(40);
  db.close();
});
