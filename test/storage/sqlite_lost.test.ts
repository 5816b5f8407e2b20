import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { user } from "../../adapters/conformance/records.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { sqliteWith } from "../../adapters/sqlite/sqlite_with.ts";
import { createEngine } from "../../mod.ts";
import { removeFile } from "./folder.ts";
import { startChild } from "./process.ts";
import { createFiles, open, publish } from "./sqlite_stage.ts";

const { folder, newPath } = createFiles();
let folders = 0;

/** A path in a folder of its own. */
function ownPath(): string {
  const own = join(folder, `folder ${++folders}`);
  mkdirSync(own);
  return join(own, "peyk.db");
}

/** What an engine left that was killed: a file whose last writes are in the `-wal` file beside it. */
async function killed(): Promise<string> {
  const path = newPath();
  const child = startChild("write", path);
  await child.said(200);
  child.process.kill("SIGKILL");
  await child.ended;
  return path;
}

/** Ways to lose a file: each is done to an open one, which `link` leads to as well. */
const losses: Record<string, (path: string, link: string) => void> = {
  "is deleted with all beside it": (path) => removeFile(path),
  "is deleted": (path) => rmSync(path),
  "is replaced by a copy of itself": (path) => {
    copyFileSync(path, `${path}-copy`);
    renameSync(`${path}-copy`, path);
  },
  "is renamed": (path) => renameSync(path, `${path}-old`),
  "loses its write-ahead log": (path) => rmSync(`${path}-wal`),
  "loses its lock, so that another engine could open it too": (path) => rmSync(`${path}-lock`),
  "is in a folder that is renamed": (path) => renameSync(dirname(path), `${dirname(path)} old`),
  "was asked for by a link that leads to another file now": (path, link) => {
    rmSync(link);
    symlinkSync(`${path}-other`, link);
  },
};

describe("a file that", () => {
  test.each(Object.entries(losses))("%s while it is open is noticed, and nothing is accepted any more", async (_, lose) => {
    const path = ownPath();
    const link = `${newPath()}-link`;
    symlinkSync(path, link);
    const said: unknown[] = [];
    const logger = { info() {}, warn() {}, error: (message: string, fields: unknown) => void said.push([message, fields]) };
    const storage = await open(sqlite(link), undefined, logger);
    const { transport, history, users, outbox } = storage;
    const reported: number[] = [];
    await transport.subscribe("sara/default", { entry: ({ offset }) => void reported.push(offset), gap() {} });
    await publish(storage, "first");
    lose(path, link);
    const lost = { name: "PeykError", code: "storage-lost", retryable: false, hint: expect.stringMatching(/restart/) };
    // Both are in one batch, and all of it is refused.
    const both = await Promise.allSettled([publish(storage, "second"), publish(storage, "third")]);
    expect(both).toMatchObject([{ reason: lost }, { reason: lost }]);
    for (
      const call of [
        () => publish(storage, "fourth"),
        () => publish(storage, "first"),
        () => users.put(user("sara"), "both"),
        () => users.get("sara"),
        () => history!.read("sara/default", 0, 1),
        () => transport.subscribe("sara/default", { entry() {}, gap() {} }),
        () => outbox.due(1e15, 1),
        () => outbox.take(["row"]),
      ]
    ) await expect(call(), String(call)).rejects.toMatchObject(lost);
    expect(reported).toEqual([1]);
    const error = expect.objectContaining({ code: "storage-lost" });
    expect(said).toEqual([[expect.stringMatching(/writes nothing more/), { path: link, error }]]);
    await storage.close();
  });

  test("is written when it is lost refuses what was under way", async () => {
    const path = ownPath();
    const storage = await open(sqliteWith(path, {}, { commitDelayMs: 300 }));
    await publish(storage, "first");
    const publishing = publish(storage, "second");
    // The command is sent in this turn of the loop, and waits for the slow disk.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    rmSync(path);
    await expect(publishing).rejects.toMatchObject({ code: "storage-lost" });
    await storage.close();
  });

  test("was replaced is left as it is by the engine that lost it, and a restart opens what is there", async () => {
    const path = ownPath();
    const other = await killed();
    const storage = await open(sqlite(path));
    await publish(storage, "first");
    for (const end of ["-wal", ""]) renameSync(other + end, path + end);
    const files = ["", "-wal"].map((end) => readFileSync(path + end));
    await expect(publish(storage, "second")).rejects.toMatchObject({ code: "storage-lost" });
    await storage.close();
    expect(["", "-wal"].map((end) => readFileSync(path + end).equals(files[["", "-wal"].indexOf(end)]!))).toEqual([true, true]);
    const again = await open(sqlite(path));
    expect((await again.history!.read("user-3/default", 0, 1)).entries.length).toBe(1);
    expect((await again.history!.read("sara/default", 0, 1)).entries.length).toBe(0);
    await publish(again, "second");
    await again.close();
  });

  test("lost its write-ahead log has all that was accepted once it is closed", async () => {
    const path = ownPath();
    const storage = await open(sqlite(path));
    for (let index = 0; index < 20; index++) await publish(storage, `key ${index}`);
    rmSync(`${path}-wal`);
    await expect(publish(storage, "refused")).rejects.toMatchObject({ code: "storage-lost" });
    await storage.close();
    const again = await open(sqlite(path));
    expect((await again.history!.read("sara/default", 0, 100)).entries.length).toBeGreaterThanOrEqual(20);
    await again.close();
  });
});

test("an engine whose file is gone refuses every publish, says so in its log, closes, and starts anew", async () => {
  const path = ownPath();
  const said: unknown[] = [];
  const logger = { info() {}, warn() {}, error: (message: string, fields: unknown) => void said.push([message, fields]) };
  const engine = await createEngine({ storage: sqlite(path), insecure: true, logger });
  await engine.publish({ to: "sara", content: "kept until here" });
  removeFile(path);
  for (let index = 0; index < 50; index++) {
    await expect(engine.publish({ to: "sara", content: "lost" })).rejects.toMatchObject({ code: "storage-lost" });
  }
  expect(said).toContainEqual([expect.stringMatching(/writes nothing more/), expect.anything()]);
  await engine.close();
  const again = await createEngine({ storage: sqlite(path), insecure: true, logger });
  expect(await again.publish({ to: "sara", content: "new" })).toMatchObject({ durable: true, position: { offset: 1 } });
  await again.close();
});
