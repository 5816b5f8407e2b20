import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, test, vi } from "vitest";
import { runCase, type StorageCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { broadcastChannel } from "../../examples/broadcast_channel.ts";
import { memory } from "../../src/memory/memory.ts";

// The sample imports the package: here that is the source, not what was built last.
vi.mock("peyk", () => import("../../mod.ts"));

// Deno 2.9 breaks a channel that is made right after the last one of the process was closed: this one stays to the end.
const bystander = new BroadcastChannel("bystander");
afterAll(() => bystander.close());

const noKeys = "it keeps no log and so no keys: a second publish is a second message";
/** The cases that a transport without a log can't meet, and why. */
const waived: Readonly<Record<string, string>> = {
  "gives publishes that run at once positions of their own": "it keeps no log and so gives no positions",
  "answers a known key with the first position and adds nothing": noKeys,
  "lets one of several publishes at once under one key win": noKeys,
  "forgets a key after the window and not before": noKeys,
};

const run = (one: StorageCase, patience?: { patienceMs: number }): Promise<"passed" | "skipped"> =>
  runCase(one, (retention) => broadcastChannel(crypto.randomUUID(), memory({ retention })), patience);

describe("a storage over a BroadcastChannel", () => {
  for (const one of storageCases()) {
    const title = `${one.port}: ${one.name}`;
    const reason = one.port === "transport" ? waived[one.name] : undefined;
    const lacking = one.port === "history" || one.port === "work" || one.durable === true;
    // A waiver that is no longer needed is to be struck out.
    if (reason !== undefined) test(`${title}: waived, ${reason}`, () => expect(run(one, { patienceMs: 50 })).rejects.toThrow());
    else test(title, async () => expect(await run(one)).toBe(lacking ? "skipped" : "passed"));
  }

  test("waives only cases that there are", () => {
    const names = storageCases().filter(({ port }) => port === "transport").map(({ name }) => name);
    expect(Object.keys(waived).filter((name) => !names.includes(name))).toEqual([]);
  });
});

test("what one engine publishes reaches a client of the engine in the other worker thread", async ({ signal }) => {
  const demo = fileURLToPath(new URL("../../examples/broadcast_channel_demo.ts", import.meta.url));
  const run = "Deno" in globalThis ? ["run", "-A"] : [];
  const { stdout } = await promisify(execFile)(process.execPath, [...run, "--conditions=peyk-source", demo], { signal });
  expect(stdout).toBe("sara got: Hello from the other thread\n");
});
