import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { classify } from "../../adapters/sqlite/failure.ts";
import { openFile } from "../../adapters/sqlite/open_file.ts";
import type { OpenStorage } from "../../src/ports/storage.ts";
import { startChild } from "./process.ts";
import { type DiskKind, mountDisk, type SmallDisk, whyNoDisk } from "./small_disk.ts";
import { createFiles, open, publish, refusal } from "./sqlite_stage.ts";

const { newPath } = createFiles();

/** The keys' numbers that a log has, as the entries' lengths say. */
async function sizesIn({ history }: OpenStorage): Promise<number[]> {
  const sizes: number[] = [];
  for (let after = 0;;) {
    const { entries, through, head } = await history!.read("sara/default", after, 500);
    for (const { bytes } of entries) sizes.push(bytes.length);
    if (through >= head.offset) return sizes;
    after = through;
  }
}

for (const kind of ["tmpfs", "ext4"] satisfies DiskKind[]) {
  const whyNot = whyNoDisk(kind);
  if (whyNot !== undefined) console.warn(`skipped: a small ${kind} can't be mounted here: ${whyNot}`);

  describe.skipIf(whyNot !== undefined)(`on a small ${kind}`, () => {
    let disk: SmallDisk;
    let path: string;
    beforeAll(() => void (disk = mountDisk(kind)));
    beforeEach(() => void (path = join(disk.path, "peyk.db")));
    afterEach(() => {
      disk.makeRoom();
      for (const end of ["", "-wal", "-shm", "-lock"]) rmSync(path + end, { force: true });
    });
    afterAll(() => disk.remove());

    /** Publishes entries of different sizes, many at a time, until one finds no room. Answers the sizes that were accepted. */
    async function publishUntilFull(storage: OpenStorage, from: number): Promise<number[]> {
      const accepted: number[] = [];
      for (let next = from;;) {
        const sizes = Array.from({ length: 40 }, () => next++);
        const outcomes = await Promise.allSettled(sizes.map((size) => publish(storage, `key ${size}`, size)));
        for (const [index, outcome] of outcomes.entries()) {
          if (outcome.status === "fulfilled") accepted.push(sizes[index]!);
          else expect(outcome.reason).toMatchObject({ code: "storage-full", retryable: true, hint: expect.stringMatching(/\S/) });
        }
        if (outcomes.some(({ status }) => status === "rejected")) return accepted;
      }
    }

    test("a full disk refuses publishes with storage-full, those that fit are taken, and it goes on when there is room", async () => {
      let storage = await open(sqlite(path));
      const reported: number[] = [];
      await storage.transport.subscribe("sara/default", { entry: ({ bytes }) => void reported.push(bytes.length), gap() {} });
      const accepted: number[] = [];
      for (let round = 0; round < 3; round++) {
        disk.fill(400_000);
        accepted.push(...await publishUntilFull(storage, 1_000 * (round + 1)));
        expect(await sizesIn(storage), "reading goes on").toEqual(accepted);
        disk.fill();
        const refused = `refused ${round}`;
        await expect(publish(storage, refused, 100_000)).rejects.toMatchObject({ code: "storage-full", retryable: true });
        disk.makeRoom();
        expect(await publish(storage, refused, 50_000)).toMatchObject({ duplicate: false });
        accepted.push(50_000);
        await storage.close();
        storage = await open(sqlite(path));
        expect(await sizesIn(storage), "after a restart").toEqual(accepted);
        await storage.transport.subscribe("sara/default", { entry: ({ bytes }) => void reported.push(bytes.length), gap() {} });
      }
      expect(reported).toEqual(accepted);
      await storage.close();
    });

    test("a full disk refuses a new file, and one that was there, with storage-full, until there is room", async () => {
      disk.fill();
      expect(await refusal(path)).toBe("storage-full");
      disk.makeRoom();
      const storage = await open(sqlite(path));
      await publish(storage, "key", 7);
      await storage.close();
      disk.fill();
      expect(await refusal(path)).toBe("storage-full");
      disk.makeRoom();
      const again = await open(sqlite(path));
      expect(await sizesIn(again)).toEqual([7]);
      await again.close();
    });

    test("a disk that takes no writes refuses the file with storage-readonly, and leaves it as it was", async () => {
      const storage = await open(sqlite(path));
      await publish(storage, "key", 7);
      await storage.close();
      disk.remount("ro");
      try {
        expect(await refusal(path)).toBe("storage-readonly");
        expect(await refusal(join(disk.path, "new.db"))).toBe("storage-readonly");
      } finally {
        disk.remount("rw");
      }
      const again = await open(sqlite(path));
      expect(await sizesIn(again)).toEqual([7]);
      await again.close();
    });

    test.runIf(kind === "ext4")("a disk that fails ends the writing, says why, and loses nothing that was accepted", async () => {
      const said: unknown[] = [];
      const logger = { info() {}, warn() {}, error: (message: string, fields: unknown) => void said.push([message, fields]) };
      const storage = await open(sqlite(path), undefined, logger);
      await publish(storage, "first", 7);
      disk.fail();
      for (const key of ["second", "third"]) {
        await expect(publish(storage, key)).rejects.toMatchObject({ code: "unavailable", hint: expect.stringMatching(/\S/) });
      }
      expect(await sizesIn(storage), "reading goes on").toEqual([7]);
      const error = expect.objectContaining({ code: "unavailable" });
      expect(said).toEqual([[expect.stringMatching(/writes nothing more/), { path, error }]]);
      await storage.close();
      disk.mend();
      const again = await open(sqlite(path));
      expect(await sizesIn(again)).toEqual([7]);
      await publish(again, "second", 8);
      expect(await sizesIn(again)).toEqual([7, 8]);
      await again.close();
    });
  });
}

test("a limit on a file's size loses nothing that was accepted", async () => {
  const path = newPath();
  const child = startChild("fill", path, { fileKiB: 600 });
  const code = await child.ended;
  const accepted = child.lines.filter((line) => line.startsWith("accepted ")).map((line) => Number(line.split(" ")[1]));
  expect(accepted.length).toBeGreaterThan(10);
  // Node turns the system's signal into an error of the write. Deno leaves it, and the system ends the process.
  if ("Deno" in globalThis) expect([code, child.process.signalCode]).toEqual([null, "SIGXFSZ"]);
  else expect([code, child.lines.at(-1)]).toEqual([0, "refused storage-full"]);
  const storage = await open(sqlite(path));
  const kept = await sizesIn(storage);
  expect(kept.slice(0, accepted.length)).toEqual(accepted);
  expect(kept.length - accepted.length).toBeLessThanOrEqual(1);
  await publish(storage, "room again", 1);
  await storage.close();
});

test.skipIf("Deno" in globalThis || !existsSync("/usr/bin/prlimit"))(
  "when a limit on a file's size is raised the storage goes on by itself, with all that was accepted",
  async () => {
    const path = newPath();
    const child = startChild("refill", path, { fileKiB: 600 });
    expect(await child.ended).toBe(0);
    const accepted = child.lines.filter((line) => line.startsWith("accepted ")).map((line) => Number(line.split(" ")[1]));
    const refused = child.lines.filter((line) => line.startsWith("refused "));
    expect([accepted.length > 3, accepted.at(-1), refused]).toEqual([true, 1, Array(3).fill("refused storage-full")]);
    const storage = await open(sqlite(path));
    const kept = await sizesIn(storage);
    for (const size of accepted.slice(0, -1)) expect(kept.filter((each) => each === size)).toHaveLength(2);
    expect(kept.at(-1)).toBe(1);
    await storage.close();
  },
);

test("a write that fails though there is room is a disk that fails, and nothing is left of finding that out", () => {
  const path = newPath();
  const why = (): string => classify({ errcode: 778, message: "disk I/O error" }, path, "unavailable").code;
  expect(why()).toBe("unavailable");
  expect(existsSync(`${path}-room`)).toBe(false);
  writeFileSync(`${path}-room`, "somebody's");
  expect(why()).toBe("unavailable");
  expect(readFileSync(`${path}-room`, "utf8")).toBe("somebody's");
});

test("a commit is synced before it is answered: the journal is a write-ahead log, and every commit syncs it", () => {
  const file = openFile(newPath(), 1, Date.now(), {});
  expect(file.db.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  // 2 is FULL: with a write-ahead log it syncs each commit, where NORMAL syncs checkpoints only (sqlite.org/pragma.html).
  expect(file.db.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
  file.close();
});
