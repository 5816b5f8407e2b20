import { closeSync, copyFileSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/conformance.ts";
import { newRow, session, user } from "../../adapters/conformance/records.ts";
import { Batches } from "../../adapters/sqlite/batches.ts";
import type { Command, WriterOptions } from "../../adapters/sqlite/commands.ts";
import { type OpenFile, openFile } from "../../adapters/sqlite/open_file.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import type { ErrorCode } from "../../src/protocol/errors.ts";
import type { OpenStorage } from "../../src/ports/storage.ts";
import { createFolder, removeFile } from "./folder.ts";
import { startChild } from "./process.ts";

const { path: folder, remove } = createFolder();
afterAll(remove);
const silent = { info() {}, warn() {}, error() {} };
const random = { id: () => crypto.randomUUID(), fraction: Math.random };
const clear: ReadonlySet<ErrorCode> = new Set([
  "storage-corrupt",
  "storage-version",
  "storage-readonly",
  "storage-full",
  "unavailable",
]);

/** Whole files, as an engine left them: closed in order, and killed with its last writes in the `-wal` file. */
let closed: { db: Uint8Array };
let killed: { db: Uint8Array; wal: Uint8Array };

beforeAll(async () => {
  const path = join(folder, "whole.db");
  const storage = await open(path);
  await use(storage);
  for (let index = 0; index < 300; index++) {
    const userId = `user ${index}`;
    await Promise.all([
      storage.transport.publish(`${userId}/default`, new Uint8Array(index), { key: "key", expiresAt: 1e15 }),
      storage.users.put(
        user(userId, { subscriptions: { "*/news": { epoch: 1, offset: 0 } }, sessions: [session(userId)] }),
        "both",
        [newRow(userId, { userId })],
      ),
    ]);
  }
  await storage.close();
  closed = { db: new Uint8Array(readFileSync(path)) };
  const child = startChild("write", path);
  await child.said(500);
  child.process.kill("SIGKILL");
  await child.ended;
  killed = { db: new Uint8Array(readFileSync(path)), wal: new Uint8Array(readFileSync(`${path}-wal`)) };
});

function open(path: string): Promise<OpenStorage> {
  return sqlite(path).open({ clock: createManualClock(), logger: silent, random });
}

/** Numbers that look random and are the same in every run. */
function createDice(seed: number): (sides: number) => number {
  let state = seed * 2_654_435_761 >>> 0;
  return (sides) => {
    state = Math.imul(state ^ state >>> 15, state | 1) ^ Math.imul(state, 0x9e3779b1) + 0x6d2b79f5;
    return (state >>> 0) % sides;
  };
}

function damage(whole: Uint8Array, seed: number): Uint8Array {
  const dice = createDice(seed);
  if (seed % 3 === 0) return whole.slice(0, dice(whole.length));
  const bytes = whole.slice();
  // Half of the flips in the first pages, where everything hangs from.
  const reach = seed % 2 === 0 ? Math.min(bytes.length, 16_384) : bytes.length;
  for (let flips = 1 + dice(20); flips > 0; flips--) bytes[dice(reach)]! ^= 1 << dice(8);
  return bytes;
}

function put(name: string, seed: number): string {
  const path = join(folder, name);
  const [db, wal] = seed % 4 === 1
    ? [killed.db, damage(killed.wal, seed)]
    : [damage(seed % 2 ? killed.db : closed.db, seed), killed.wal];
  // Another version's number, in a file that is damaged as well.
  if (seed % 10 === 4 && db.length >= 64) new DataView(db.buffer, db.byteOffset).setUint32(60, 1 + seed % 9);
  writeFileSync(path, db);
  if (seed % 2) writeFileSync(`${path}-wal`, wal);
  return path;
}

/** Uses every port a little. What rejects must say why in our words. */
async function use(storage: OpenStorage): Promise<ErrorCode[]> {
  const codes: ErrorCode[] = [];
  const { transport, history, users, outbox } = storage;
  const page = { after: undefined, limit: 1_000 };
  const uses = [
    () => transport.publish("user 7/default", Uint8Array.of(1), { key: crypto.randomUUID(), expiresAt: 1e15 }),
    () => history!.read("user 200/default", 0, 100),
    async () =>
      await users.put({ ...await users.get("user 9") ?? user("user 9"), seenAt: 3 }, "both", [newRow(crypto.randomUUID())]),
    () => users.pushableMembers("*/news", page),
    () => users.holders({ deviceId: "user 5" }),
    () => users.unseenSince(1e15, page),
    () => users.orphans(page),
    () => outbox.due(1e15, 1_000),
    () => outbox.take(["user 3"]),
    () => outbox.cancel({ userId: "user 4" }, ""),
    () => outbox.ofMessage("message of user 8"),
  ];
  for (const one of uses) {
    try {
      await one();
    } catch (error) {
      expect(error).toMatchObject({ name: "PeykError", hint: expect.stringMatching(/\S/) });
      codes.push((error as { code: ErrorCode }).code);
    }
  }
  return codes;
}

/** What sqlite itself still reads of the entries and users in a file, on a copy of it. */
function readable(path: string): Map<string, string> {
  const copy = `${path}-copy`;
  for (const end of ["", "-wal"]) if (existsSync(path + end)) copyFileSync(path + end, copy + end);
  const found = new Map<string, string>();
  const attempt = (name: string, read: () => Record<string, unknown> | undefined) => {
    try {
      const row = read();
      if (row !== undefined) {
        found.set(
          name,
          JSON.stringify(Object.values(row).map((value) => value instanceof Uint8Array ? [...value] : value)),
        );
      }
    } catch {
      // Damaged here.
    }
  };
  let db: DatabaseSync | undefined;
  try {
    const own = db = new DatabaseSync(copy);
    const entry = own.prepare("SELECT bytes FROM entry JOIN topic ON topic.id = topic WHERE name = ? AND position = ?");
    const record = own.prepare("SELECT record FROM user WHERE name = ?");
    const topics = [
      ...Array.from({ length: 300 }, (_, index) => [`user ${index}/default`, 1] as const),
      ...Array.from({ length: 16 }, (_, index) => [`user-${index}/default`, 20] as const),
    ];
    for (const [name, entries] of topics) {
      for (let at = 1; at <= entries; at++) attempt(`${name} ${at}`, () => entry.get(name, at));
      attempt(name, () => record.get(name.replace("/default", "")));
    }
  } catch {
    // Not even that: nothing is readable.
  } finally {
    db?.close();
    removeFile(copy);
  }
  return found;
}

/** 500 files on this thread, with all that the writing one does. */
test("a file that is damaged, cut, or of another version is refused as it is with a clear code, or keeps what was readable", () => {
  const seen = new Map<string, number>();
  const count = (what: string) => void seen.set(what, (seen.get(what) ?? 0) + 1);
  for (let seed = 0; seed < 500; seed++) {
    const path = put(`${seed}.db`, seed);
    const files = ["", "-wal"].map((end) => path + end).filter((file) => existsSync(file));
    const before = files.map((file) => readFileSync(file));
    const readableBefore = readable(path);
    const options: WriterOptions = {
      path,
      askedFor: path,
      maxEntries: 100,
      idempotencyMs: 1_000,
      epoch: 1,
      now: Date.now(),
      faults: {},
    };
    let file: OpenFile | undefined;
    try {
      file = openFile(path, 1, Date.now(), {});
    } catch (refused) {
      expect(refused).toMatchObject({ code: expect.any(String), hint: expect.stringMatching(/\S/) });
      count((refused as { code: ErrorCode }).code);
      expect(files.map((file, index) => existsSync(file) && readFileSync(file).equals(before[index]!)), `${seed}`)
        .toEqual(files.map(() => true));
      continue;
    } finally {
      if (file === undefined) removeFile(path);
    }
    const commands: Command[] = [
      { kind: "publish", topic: "user 7/default", bytes: Uint8Array.of(1), key: "new", expiresAt: 1e15, now: 5 },
      { kind: "cancel", match: { userId: "user 4" }, note: "", now: 5 },
    ];
    for (const outcome of new Batches(file, options).write(commands)) {
      if ("failure" in outcome) count(outcome.failure.code);
    }
    file.close();
    const readableAfter = readable(path);
    for (const [name, content] of readableBefore) expect(readableAfter.get(name), `${name} in ${seed}`).toBe(content);
    count("kept");
    removeFile(path);
  }
  expect([...seen.keys()].filter((what) => what !== "kept" && !clear.has(what as ErrorCode))).toEqual([]);
  expect(seen.get("storage-corrupt")).toBeGreaterThan(100);
  expect(seen.get("storage-version")).toBeGreaterThan(5);
  expect(seen.get("kept")).toBeGreaterThan(100);
});

test("the process lives with damaged files, whole storages on them", async () => {
  for (let seed = 1_000; seed < 1_040; seed++) {
    const path = put(`${seed}.db`, seed);
    try {
      const storage = await open(path);
      for (const code of await use(storage)) expect(clear).toContain(code);
      await storage.close();
    } catch (error) {
      expect(error).toMatchObject({ name: "PeykError" });
      expect(clear).toContain((error as { code: ErrorCode }).code);
    }
    removeFile(path);
  }
});

test("a file that is damaged while it is open answers with a clear code, and others go on", async () => {
  const other = await open(join(folder, "other.db"));
  let corrupt = 0;
  for (let seed = 2_000; seed < 2_080; seed += 4) {
    const path = join(folder, `${seed}.db`);
    writeFileSync(path, closed.db);
    const storage = await open(path);
    // Four damages to one open file; page 1 stays, for sqlite keeps it at hand.
    const file = openSync(path, "r+");
    for (let more = 0; more < 4; more++) {
      const dice = createDice(seed + more);
      writeSync(file, new Uint8Array(4_096).fill(dice(256)), 0, 4_096, 4_096 * (1 + dice(closed.db.length / 4_096 - 1)));
      const codes = await use(storage);
      for (const code of codes) expect(clear).toContain(code);
      corrupt += codes.filter((code) => code === "storage-corrupt").length;
    }
    closeSync(file);
    await storage.close();
    removeFile(path);
  }
  expect(corrupt).toBeGreaterThan(10);
  expect(await use(other)).toEqual([]);
  await other.close();
});
