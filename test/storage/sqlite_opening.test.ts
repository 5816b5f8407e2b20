import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openFile } from "../../adapters/sqlite/open_file.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { startChild } from "./process.ts";
import { createFiles, open, publish, refusal } from "./sqlite_stage.ts";

const { folder, newPath } = createFiles();

async function made(): Promise<string> {
  const path = newPath();
  const storage = await open(sqlite(path));
  await publish(storage, "key");
  await storage.close();
  return path;
}

test("opening makes the file and says nothing about one it made before", async () => {
  expect(await refusal(await made())).toBe("opened");
});

test("opening refuses a path that leads nowhere with bad-config", async () => {
  expect(await refusal(join(folder, "absent", "peyk.db"))).toBe("bad-config");
  expect(await refusal(folder)).toBe("bad-config");
  expect(await refusal(join(await made(), "peyk.db"))).toBe("bad-config");
  for (const path of ["", ":memory:", "a\0b"]) {
    expect(() => sqlite(path)).toThrow(expect.objectContaining({ code: "bad-config" }));
  }
});

test("opening refuses a retention that makes no sense", () => {
  for (const retention of [{ maxEntries: 0 }, { maxEntries: 1.5 }, { idempotencyMs: -1 }, { idempotencyMs: NaN }]) {
    expect(() => sqlite(newPath(), { retention })).toThrow(expect.objectContaining({ code: "bad-config" }));
  }
});

test("opening refuses a file that is no database and leaves it as it was", async () => {
  const path = newPath();
  writeFileSync(path, "my only copy of something\n".repeat(100));
  const before = readFileSync(path);
  expect(await refusal(path)).toBe("storage-corrupt");
  expect(readFileSync(path).equals(before)).toBe(true);
});

test("opening refuses another application's database and leaves it as it was", async () => {
  const path = newPath();
  const db = new DatabaseSync(path);
  db.exec("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1); PRAGMA user_version = 7");
  db.close();
  const before = readFileSync(path);
  expect(await refusal(path)).toBe("storage-corrupt");
  expect(readFileSync(path).equals(before)).toBe(true);
});

/** What the first version wrote, as far as it matters here. */
const FIRST = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE push (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, held INTEGER NOT NULL, status TEXT NOT NULL);
INSERT INTO meta VALUES ('epoch', 7);
INSERT INTO push VALUES (1, 'row', 1, 'sending');
PRAGMA application_id = ${0x5065796b};
PRAGMA user_version = 1;
`;

/** What opening says, and that the file and its log are the same after it as before. */
async function versionRefusal(path: string): Promise<Record<string, unknown>> {
  const files = [path, `${path}-wal`].filter((each) => existsSync(each));
  const before = files.map((each) => readFileSync(each));
  const error = await open(sqlite(path)).then(() => undefined, (error) => error as Record<string, unknown>);
  for (const [index, each] of files.entries()) expect(readFileSync(each).equals(before[index]!), each).toBe(true);
  expect(error).toMatchObject({ name: "PeykError", code: "storage-version", retryable: false });
  expect(error!.hint).toMatch(/another file.*Nothing in it was changed/);
  return error!;
}

test("opening refuses a file from a newer version and leaves it as it was", async () => {
  const path = await made();
  const db = new DatabaseSync(path);
  db.exec("PRAGMA user_version = 8");
  db.close();
  expect(await versionRefusal(path)).toMatchObject({
    message: expect.stringMatching(/newer/),
    hint: expect.stringMatching(/Update/),
  });
});

test("opening refuses a file from an older version and leaves it as it was, whatever its tables", async () => {
  const path = newPath();
  const first = new DatabaseSync(path);
  first.exec(FIRST);
  first.close();
  const same = await made();
  const db = new DatabaseSync(same);
  db.exec("PRAGMA user_version = 4");
  db.close();
  for (const one of [path, same]) expect(await versionRefusal(one)).toMatchObject({ message: expect.stringMatching(/older/) });
});

test("opening leaves a file of another version as it was also when its last process was killed", async () => {
  const path = newPath();
  const db = new DatabaseSync(path);
  db.exec("PRAGMA journal_mode = WAL");
  db.exec(FIRST);
  const killed = newPath();
  for (const end of ["", "-wal"]) copyFileSync(path + end, killed + end);
  db.close();
  expect(await versionRefusal(killed)).toMatchObject({ message: expect.stringMatching(/older/) });
});

test("opening refuses a file whose tables are not as they were made", async () => {
  const path = await made();
  const db = new DatabaseSync(path);
  db.exec("DROP INDEX push_due");
  db.close();
  expect(await refusal(path)).toBe("storage-corrupt");
});

test("opening refuses a file that was cut to nothing, and leaves the log beside it", async () => {
  const path = newPath();
  const child = startChild("write", path);
  await child.said(100);
  child.process.kill("SIGKILL");
  await child.ended;
  truncateSync(path);
  const before = readFileSync(`${path}-wal`);
  expect(before.length).toBeGreaterThan(0);
  expect(await refusal(path)).toBe("storage-corrupt");
  expect([readFileSync(path).length, readFileSync(`${path}-wal`).equals(before)]).toEqual([0, true]);
});

test("opening refuses a small file with one damaged page, wherever that is", async () => {
  const path = await made();
  const bytes = new Uint8Array(readFileSync(path));
  bytes.fill(0x55, bytes.length - 4_096);
  writeFileSync(path, bytes);
  expect(await refusal(path)).toBe("storage-corrupt");
});

test.runIf(process.platform === "linux")("opening refuses a folder that even root may not write", async () => {
  expect(await refusal("/sys/peyk.db")).toBe("storage-readonly");
});

test("opening refuses a read-only file, and a read-only folder, with storage-readonly", async () => {
  const path = await made();
  chmodSync(path, 0o444);
  const closed = join(folder, "closed");
  mkdirSync(closed);
  chmodSync(closed, 0o555);
  chmodSync(`${path}-lock`, 0o666);
  chmodSync(folder, 0o777);
  // Permissions don't bind root, so as root this looks at it as nobody does; the modules are loaded by now.
  const root = process.getuid?.() === 0;
  if (root) process.seteuid!(65534);
  try {
    for (const one of [path, join(closed, "peyk.db")]) {
      expect(() => openFile(one, 1, Date.now(), {})).toThrow(expect.objectContaining({ code: "storage-readonly" }));
    }
  } finally {
    if (root) process.seteuid!(0);
  }
  expect(root ? await refusal(path) : "opened").toBe("opened");
});

test("opening refuses a file that this process has open, under whatever name, until it is closed", async () => {
  const path = newPath();
  const first = await open(sqlite(path));
  symlinkSync(path, `${path}-link`);
  expect(await refusal(path)).toBe("storage-locked");
  expect(await refusal(`${path}-link`)).toBe("storage-locked");
  await publish(first, "key");
  await first.close();
  expect(await refusal(path)).toBe("opened");
});

test("opening follows a link to a file that is not there yet, and keeps others out of that file under its own name", async () => {
  const path = newPath();
  for (const [from, to] of [[`${path}-link`, `${path}-middle`], [`${path}-middle`, path]]) symlinkSync(to!, from!);
  const first = await open(sqlite(`${path}-link`));
  expect(await refusal(path)).toBe("storage-locked");
  await publish(first, "key");
  await first.close();
  expect(await refusal(path)).toBe("opened");
});

test("opening refuses a link that leads to itself", async () => {
  const path = newPath();
  symlinkSync(path, path);
  expect(await refusal(path)).toBe("bad-config");
});

test("opening refuses a file that another process has open, until that one is killed", async () => {
  const path = newPath();
  const child = startChild("hold", path);
  await child.said(1);
  expect(await refusal(path)).toBe("storage-locked");
  child.process.kill("SIGKILL");
  await child.ended;
  expect(await refusal(path)).toBe("opened");
});

test("opening keeps other processes out although somebody in this one tried to open the file too", async () => {
  const path = newPath();
  const storage = await open(sqlite(path));
  expect(await refusal(path)).toBe("storage-locked");
  const child = startChild("hold", path);
  expect(await child.ended).toBe(1);
  expect(child.lines).toEqual(["storage-locked"]);
  await storage.close();
});
