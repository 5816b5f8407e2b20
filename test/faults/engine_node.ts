import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { OutgoingMessage, Policy, Position } from "../../mod.ts";

/** How an engine of the cluster is made. */
export interface NodeConfig {
  /** URLs of nats-servers; it connects to the first that answers. */
  servers: string[];
  pushUrl: string;
  pushSecret: string;
  policy: Partial<Policy>;
  heartbeatMs: number;
}

/** What the process is asked to do. */
export type Command =
  | { type: "publish"; messages: (OutgoingMessage & { id: string })[] }
  | { type: "subscribe"; userIds: string[]; channel: string }
  | { type: "records"; userIds: string[] }
  | { type: "rows"; messageIds: string[] }
  | { type: "counters" }
  | { type: "close" };

/** An error on its way between processes. */
export interface Fault {
  code: string;
  retryable: boolean;
  message: string;
}

/** What the process says. */
export type Report =
  | { type: "ready"; port: number }
  /** Its lease was renewed, with a renewal that began then. */
  | { type: "lease"; at: number }
  | { type: "published"; id: string; position: Position; durable: boolean; fault?: undefined }
  | { type: "published"; id: string; fault: Fault }
  | { type: "answer"; ref: number; value?: unknown; fault?: Fault }
  | { type: "log"; line: string };

/** One line of its output. */
export type Reports = readonly Report[];

/** What became of a publish. "unanswered": the process ended before it said. */
export type Outcome = { kind: "accepted"; position: Position; durable: boolean } | { kind: "refused"; fault: Fault } | {
  kind: "unanswered";
};

/** An engine in a process of its own. */
export interface EngineNode {
  /** What clients connect to. */
  readonly url: string;
  /** It runs, and is not paused. */
  readonly usable: boolean;
  /** When its lease was last renewed, milliseconds since 1970. */
  readonly leasedAt: number;
  /** Warnings and errors. */
  readonly log: readonly string[];
  publish(messages: (OutgoingMessage & { id: string })[]): Promise<Outcome>[];
  /** @throws {Error} what it failed with, or that the process ended */
  ask<Answer>(command: Exclude<Command, { type: "publish" }>): Promise<Answer>;
  /** SIGKILL. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
}

/** Starts an engine on the runtime of the test. Resolves when it takes clients. */
export async function startNode(config: NodeConfig, cleanUp: (task: () => Promise<void>) => void): Promise<EngineNode> {
  const script = fileURLToPath(new URL("./engine_process.ts", import.meta.url));
  const run = "Deno" in globalThis ? ["run", "-A", "--no-check", script] : ["--disable-warning=ExperimentalWarning", script];
  const child = spawn(process.execPath, [...run, JSON.stringify(config)], { stdio: ["pipe", "pipe", "pipe"] });
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const publishes = new Map<string, (outcome: Outcome) => void>();
  const questions = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const log: string[] = [];
  let refs = 0;
  let [port, leasedAt, paused, over] = [0, 0, false, false];

  // Not the child's own kill: Deno's sends one signal in a life. The pid of a child that was not waited for is nobody else's.
  function signal(name: NodeJS.Signals): void {
    if (!over) process.kill(child.pid!, name);
  }
  const killAtExit = (): void => signal("SIGKILL");
  process.on("exit", killAtExit);

  function take(report: Report): void {
    switch (report.type) {
      case "ready":
        port = report.port;
        return ready.resolve();
      case "lease":
        leasedAt = report.at;
        return;
      case "log":
        return void log.push(report.line);
      case "published": {
        const done = publishes.get(report.id);
        publishes.delete(report.id);
        if (report.fault !== undefined) done?.({ kind: "refused", fault: report.fault });
        else done?.({ kind: "accepted", position: report.position, durable: report.durable });
        return;
      }
      case "answer": {
        const question = questions.get(report.ref);
        questions.delete(report.ref);
        if (report.fault === undefined) question?.resolve(report.value);
        else question?.reject(new Error(`${report.fault.code}: ${report.fault.message}`));
      }
    }
  }
  createInterface({ input: child.stdout }).on("line", (line) => {
    // A line that a kill cut off says nothing.
    if (line.endsWith("]")) (JSON.parse(line) as Reports).forEach(take);
  });
  createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  child.stdin.on("error", () => {}); // It ended: its publishes are told so below.
  child.on("close", () => {
    over = true;
    process.removeListener("exit", killAtExit);
    const error = new Error(`the engine's process ended: ${log.slice(-20).join("\n")}`);
    for (const done of publishes.values()) done({ kind: "unanswered" });
    for (const { reject } of questions.values()) reject(error);
    publishes.clear();
    questions.clear();
    ready.reject(error);
    ended.resolve();
  });

  function send(command: Command): number {
    child.stdin.write(JSON.stringify({ ref: ++refs, command }) + "\n");
    return refs;
  }

  const node: EngineNode = {
    get url() {
      return `ws://127.0.0.1:${port}/peyk`;
    },
    get usable() {
      return !over && !paused;
    },
    get leasedAt() {
      return leasedAt;
    },
    log,
    publish(messages) {
      const outcomes = messages.map(({ id }) => new Promise<Outcome>((resolve) => publishes.set(id, resolve)));
      send({ type: "publish", messages });
      return outcomes;
    },
    ask<Answer>(command: Command) {
      if (over) return Promise.reject(new Error("the engine's process has ended"));
      const ref = send(command);
      return new Promise<Answer>((resolve, reject) =>
        questions.set(ref, { resolve: (value) => resolve(value as Answer), reject })
      );
    },
    async kill() {
      paused = false;
      signal("SIGKILL");
      await ended.promise;
    },
    pause() {
      paused = true;
      signal("SIGSTOP");
    },
    resume() {
      paused = false;
      signal("SIGCONT");
    },
  };
  cleanUp(() => node.kill());
  await ready.promise;
  return node;
}
