import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const NODE_FLAGS = ["--expose-gc", "--conditions=peyk-source", "--disable-warning=ExperimentalWarning"];

/** Starts a process of the benchmark on Node. */
export function startOnNode(name: string, file: URL, ...args: readonly string[]): Child {
  return startOnNodeWith([], name, file, ...args);
}

/** The same with flags for Node. */
export function startOnNodeWith(flags: readonly string[], name: string, file: URL, ...args: readonly string[]): Child {
  return new Child(name, process.execPath, [...NODE_FLAGS, ...flags, fileURLToPath(file), ...args]);
}

/** A process of the benchmark that can be asked things (see commands.ts). */
export class Child {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #waiting: { resolve(answer: unknown): void; reject(error: Error): void }[] = [];
  #complaint = "";
  #gone = false;

  constructor(name: string, command: string, args: readonly string[]) {
    this.#name = name;
    this.#process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#process.stderr?.on("data", (text) => this.#complaint = (this.#complaint + text).slice(-2_000));
    this.#process.stdin?.on("error", () => {}); // the exit tells
    this.#process.on("error", (error) => this.#fail(error.message));
    this.#process.on("close", (code) => this.#fail(`ended with code ${code}`));
    createInterface({ input: this.#process.stdout! }).on("line", (line) => this.#waiting.shift()?.resolve(JSON.parse(line)));
  }

  ask<Answer>(command: string, options: object = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve: (answer) => resolve(answer as Answer), reject });
      if (this.#gone) this.#fail("is gone");
      else this.#process.stdin?.write(`${JSON.stringify({ command, options })}\n`);
    });
  }

  /** What it wrote to standard error, with its name before it. */
  get complaint(): string {
    return this.#complaint === "" ? "" : `${this.#name}:\n${this.#complaint}`;
  }

  /** Ends the process and waits until it has. */
  async stop(): Promise<void> {
    if (this.#gone) return;
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    this.#process.kill("SIGKILL");
    await ended;
  }

  #fail(reason: string): void {
    this.#gone = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(`${this.#name} ${reason}`));
  }
}
