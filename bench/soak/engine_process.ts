import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { argv, exit, memoryUsage, stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { writeHeapSnapshot } from "node:v8";
import { serveNode } from "../../adapters/node.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { webhook } from "../../adapters/webhook.ts";
import { createEngine, memory } from "../../mod.ts";
import type { Command, Config, Memory, Report } from "./engine_child.ts";
import { EXPLAIN_BYTES, POLICY, TOKEN_MS } from "./plan.ts";

// The engine that is soaked, in a process of its own: nothing but what a server has that embeds it is in this memory.

const { file, leak, push } = JSON.parse(argv[2]!) as Config;
/** What is leaked on purpose. */
const leaked: number[][] = [];

const engine = await createEngine({
  authenticate({ token }) {
    if (token === undefined) return null;
    return { userId: token, expiresAt: Date.now() + TOKEN_MS };
  },
  authorize({ allowed }) {
    if (leak > 0) leaked.push(new Array<number>(Math.ceil(leak / 8)).fill(0.5));
    return allowed;
  },
  storage: file === undefined ? memory() : sqlite(file),
  push: [webhook({ ...push, allowLoopback: true })],
  policy: POLICY,
  limits: { explainBytes: EXPLAIN_BYTES },
  logger: { info() {}, warn: log("warn"), error: log("error") },
});
const server = createServer();
serveNode(engine, server, { path: "/peyk" });
server.listen(0, "127.0.0.1", () => say({ type: "ready", port: (server.address() as AddressInfo).port }));

const lines = createInterface({ input: stdin });
lines.on("close", () => exit(1));
lines.on("line", (line) => {
  const { command, ref } = JSON.parse(line) as { ref: number; command: Command };
  run(command).then(
    (value) => say({ type: "answer", ref, value }),
    (error) => say({ type: "answer", ref, fault: error instanceof Error ? error.message : String(error) }),
  );
});

async function run(command: Command): Promise<unknown> {
  switch (command.type) {
    case "publish":
      return await engine.publish(command.message);
    case "subscribe":
      return await engine.subscribe(command.userId, { to: "*", channel: command.channel });
    case "revoke":
      return await engine.revoke(command.userId);
    case "explain":
      return (await engine.explain(command.message))?.verdict;
    case "memory":
      return await measure();
    case "snapshot":
      return writeHeapSnapshot(command.file);
    case "close":
      await engine.close();
      exit(0);
  }
}

/** Once the garbage is out: also what is let go of a turn after the object that it belongs to. */
async function measure(): Promise<Memory> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("start with --expose-gc");
  for (let round = 0; round < 2; round++) {
    await setImmediate();
    gc();
  }
  const { external, heapUsed, rss } = memoryUsage();
  return { heap: heapUsed, external, rss, counters: engine.counters() };
}

function log(level: "warn" | "error") {
  return (message: string, { error, ...fields }: Readonly<Record<string, unknown>> = {}): void => {
    const cause = error instanceof Error ? error.stack : error;
    say({ type: "log", level, line: `${message} ${JSON.stringify({ ...fields, cause })}` });
  };
}

function say(report: Report): void {
  stdout.write(`${JSON.stringify(report)}\n`);
}
