import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Engine, MessageRef, OutgoingMessage, PublishResult } from "../../mod.ts";

const FILE = fileURLToPath(new URL("./engine_process.ts", import.meta.url));
const CONDITIONS = "--conditions=peyk-source";
/** What the runtime that this runs on is told. Node's young generation grows for minutes otherwise, and what it took it keeps. */
const FLAGS = "Deno" in globalThis
  ? ["run", "-A", "--v8-flags=--expose-gc", CONDITIONS, FILE]
  : ["--expose-gc", "--max-semi-space-size=16", CONDITIONS, "--disable-warning=ExperimentalWarning", FILE];

/** How the engine is made. */
export interface Config {
  /** Of sqlite; undefined: storage in memory. */
  file: string | undefined;
  push: { url: string; secret: string };
  /** Bytes that are kept for each request on purpose. */
  leak: number;
}

/** What its process is asked to do. */
export type Command =
  | { type: "publish"; message: OutgoingMessage }
  | { type: "subscribe"; userId: string; channel: string }
  | { type: "revoke"; userId: string }
  | { type: "explain"; message: MessageRef }
  | { type: "memory" }
  | { type: "snapshot"; file: string }
  | { type: "close" };

/** What it says. */
export type Report =
  | { type: "ready"; port: number }
  | { type: "answer"; ref: number; value?: unknown; fault?: string }
  | { type: "log"; level: "warn" | "error"; line: string };

/** Bytes after a collection, and what the engine has done so far. */
export interface Memory {
  heap: number;
  external: number;
  rss: number;
  counters: ReturnType<Engine["counters"]>;
}

/** The engine's process. */
export class EngineChild {
  /** What the engine wrote to its log. */
  readonly warnings: string[] = [];
  readonly errors: string[] = [];
  readonly #child: ReturnType<typeof start>;
  readonly #questions = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #kill = (): void => void this.#child.kill("SIGKILL");
  readonly #ended = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<number>();
  #refs = 0;
  #url = "";

  /** @returns once it takes connections */
  static async start(config: Config): Promise<EngineChild> {
    const engine = new EngineChild(config);
    engine.#url = `ws://127.0.0.1:${await engine.#ready.promise}/peyk`;
    return engine;
  }

  private constructor(config: Config) {
    this.#child = start(config);
    process.once("exit", this.#kill);
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#take(JSON.parse(line)));
    this.#child.stdin.on("error", () => {}); // the end tells
    this.#child.on("close", (code) => this.#end(code));
  }

  get url(): string {
    return this.#url;
  }

  publish(message: OutgoingMessage): Promise<PublishResult> {
    return this.#ask({ type: "publish", message });
  }

  async subscribe(userId: string, channel: string): Promise<void> {
    await this.#ask({ type: "subscribe", userId, channel });
  }

  async revoke(userId: string): Promise<void> {
    await this.#ask({ type: "revoke", userId });
  }

  async explain(message: MessageRef): Promise<void> {
    await this.#ask({ type: "explain", message });
  }

  memory(): Promise<Memory> {
    return this.#ask({ type: "memory" });
  }

  /** Writes all that is on the heap to a file, for the memory tools of Chromium. */
  async snapshot(file: string): Promise<void> {
    await this.#ask({ type: "snapshot", file });
  }

  /** In order. */
  async close(): Promise<void> {
    this.#ask({ type: "close" }).catch(() => {}); // it ends instead of answering
    await this.#ended.promise;
  }

  #ask<Answer>(command: Command): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const ref = ++this.#refs;
      this.#questions.set(ref, { resolve: (value) => resolve(value as Answer), reject });
      this.#child.stdin.write(`${JSON.stringify({ ref, command })}\n`);
    });
  }

  #take(report: Report): void {
    if (report.type === "ready") this.#ready.resolve(report.port);
    else if (report.type === "log") (report.level === "error" ? this.errors : this.warnings).push(report.line);
    else {
      const question = this.#questions.get(report.ref);
      this.#questions.delete(report.ref);
      if (report.fault === undefined) question?.resolve(report.value);
      else question?.reject(new Error(report.fault));
    }
  }

  #end(code: number | null): void {
    process.off("exit", this.#kill);
    if (code !== 0) this.errors.push(`the engine's process ended with code ${code}`);
    const error = new Error("the engine's process has ended");
    this.#ready.reject(error);
    for (const { reject } of this.#questions.values()) reject(error);
    this.#ended.resolve();
  }
}

function start(config: Config) {
  return spawn(process.execPath, [...FLAGS, JSON.stringify(config)], { stdio: ["pipe", "pipe", "inherit"] });
}
