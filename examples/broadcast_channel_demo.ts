/**
 * Two engines in two worker threads, joined by the storage in broadcast_channel.ts: what is published in one reaches a client
 * that is connected to the other.
 * In this repository: `node --conditions=peyk-source examples/broadcast_channel_demo.ts`, or the same with `deno run -A`.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { createEngine, memory } from "peyk";
import { connect } from "peyk/client";
import { serveNode } from "peyk/node";
import { broadcastChannel } from "./broadcast_channel.ts";

/** One worker: an engine and its server. It says its port, publishes whatever it is told to, and ends on `null`. */
async function work(parent: NonNullable<typeof parentPort>): Promise<void> {
  const engine = await createEngine({ insecure: true, storage: broadcastChannel("demo", memory()) });
  const server = createServer();
  serveNode(engine, server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  parent.on("message", async (message: { to: string; channel: string; content: string } | null) => {
    if (message !== null) return void await engine.publish(message);
    await engine.close();
    server.close();
    parent.postMessage("closed");
  });
  parent.postMessage((server.address() as AddressInfo).port);
}

/** The main thread: sara's client, connected to the second worker while the first one publishes. */
async function direct(): Promise<void> {
  const workers = [new Worker(new URL(import.meta.url)), new Worker(new URL(import.meta.url))] as const;
  const [, port] = await Promise.all(workers.map(async (worker): Promise<number> => (await once(worker, "message"))[0]));
  const sara = connect(`ws://127.0.0.1:${port}/peyk`, { token: () => "sara" });
  const arrived = new Promise<void>((resolve) => {
    sara.onMessage(({ content }) => {
      console.log(`sara got: ${content}`);
      resolve();
    });
  });
  await sara.subscribe({ to: "*", channel: "news" });
  workers[0].postMessage({ to: "*", channel: "news", content: "Hello from the other thread" });
  await arrived;

  await sara.close();
  for (const worker of workers) worker.postMessage(null);
  await Promise.all(workers.map((worker) => once(worker, "message")));
  await Promise.all(workers.map((worker) => worker.terminate()));
}

await (isMainThread || parentPort === null ? direct() : work(parentPort));
