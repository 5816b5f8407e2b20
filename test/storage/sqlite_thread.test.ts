import { expect, test, vi } from "vitest";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { Writer } from "../../adapters/sqlite/writer.ts";
import { createEngine, type PeykError } from "../../mod.ts";
import { createFiles } from "./sqlite_stage.ts";

const { newPath } = createFiles();

/** What the writing thread runs instead of its own module. */
const thread = vi.hoisted(() => ({ module: "" }));
vi.mock("../../adapters/sqlite/worker_module.ts", () => ({ workerModule: () => new URL(thread.module) }));

function runs(script: string): void {
  thread.module = `data:text/javascript,${encodeURIComponent(script)}`;
}

/** What an engine's start is refused with. */
async function refused(): Promise<PeykError> {
  const started = createEngine({ storage: sqlite(newPath()), insecure: true });
  return await started.then(() => expect.unreachable("it started"), (error: PeykError) => error);
}

const notStarted = {
  name: "PeykError",
  code: "unsupported",
  retryable: false,
  message: "the thread that writes the sqlite file could not be started",
  hint: expect.stringContaining("start threads"),
};

test("a thread that can't be started where its module is says so, with the runtime's own error", async () => {
  thread.module = "https://peyk.invalid/worker.js";
  expect(await refused()).toMatchObject({ ...notStarted, cause: { code: "ERR_INVALID_URL_SCHEME" } });
});

test("a thread whose module is not there says so, with the runtime's own error", async () => {
  thread.module = "file:///peyk/absent/worker.js";
  expect(await refused()).toMatchObject({ ...notStarted, cause: { message: expect.stringContaining("/peyk/absent/worker.js") } });
});

test("a thread whose module fails says so, with the module's own error", async () => {
  runs(`throw new Error("no sqlite in this runtime");`);
  expect(await refused()).toMatchObject({
    ...notStarted,
    cause: { message: expect.stringContaining("no sqlite in this runtime") },
  });
});

test("a thread that ends before it has opened the file says so, with its exit code", async () => {
  runs(`import process from "node:process"; process.exit(3);`);
  expect(await refused()).toMatchObject({ ...notStarted, cause: { message: "exit code 3" } });
});

test("a thread that ends while the file is open refuses what waits and what comes, and tells why once", async () => {
  runs(`
    import { parentPort } from "node:worker_threads";
    parentPort.on("message", () => { throw new Error("out of memory") });
    parentPort.postMessage({ kind: "opened", epoch: 1 });
  `);
  const options = {
    path: "unused.db",
    askedFor: "unused.db",
    maxEntries: 1,
    idempotencyMs: 1,
    epoch: 1,
    now: Date.now(),
    faults: {},
  };
  const { writer } = await Writer.open(options);
  const broke = vi.fn();
  writer.whenBroken(broke);
  const swept = { kind: "swept", topic: "sara/default", head: 1, now: 1 } as const;
  const ended = {
    code: "unavailable",
    retryable: true,
    message: "the thread that writes the sqlite file ended",
    hint: expect.stringContaining("open the storage again"),
    cause: { message: expect.stringContaining("out of memory") },
  };
  await expect(writer.send(swept)).rejects.toMatchObject(ended);
  await expect(writer.send(swept)).rejects.toMatchObject(ended);
  expect(broke).toHaveBeenCalledOnce();
  await writer.close();
});
