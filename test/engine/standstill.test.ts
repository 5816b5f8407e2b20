import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { serve } from "./real_server.ts";

/** A client in a thread of its own. */
async function clientOf(url: string, token: string) {
  const got: string[] = [];
  const worker = new Worker(new URL("./acking_client.ts", import.meta.url), { workerData: { url, token } });
  worker.on("message", (id: string) => void got.push(id));
  onTestFinished(async () => {
    worker.postMessage("leave");
    await once(worker, "exit");
  });
  await expect.poll(() => got, { timeout: 20_000 }).toEqual(["ready"]);
  return { got };
}

test("an event loop that stands still for longer than acks may take pushes nothing that was acked meanwhile", async () => {
  const { engine, provider, url } = await serve();
  const ids = Array.from({ length: 20 }, (_, at) => `m${at}`);
  const users = ["sara", "reza"];
  const clients = await Promise.all(users.map((user) => clientOf(url, user)));
  for (const id of ids) for (const to of users) await engine.publish({ to, id, content: "hi" });
  // What was published is on its way to the clients.
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4_000);
  await expect.poll(() => clients.map(({ got }) => got.slice(1)), { timeout: 5_000 }).toEqual([ids, ids]);
  // Of what leaves in order this is the last.
  await engine.publish({ to: "sara", id: "last", content: "hi" });
  await expect.poll(() => engine.counters().connections).toBe(2);
  await expect.poll(() => clients[0]!.got.at(-1), { timeout: 5_000 }).toBe("last");
  expect(engine.counters()).toMatchObject({ pushesQueued: 0 });
  expect(provider.sent).toEqual([]);
});
