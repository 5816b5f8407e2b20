import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { AppStep, ClientState } from "../protocol/traces.ts";
import { example } from "./find_python.ts";

/** What is known of a Python client beyond what every client shows. */
export interface PythonState extends ClientState {
  receipts: [kind: string, id: string][];
  statuses: [word: string, detail: string][];
  /** For its next life. */
  kept: unknown;
}

/** A client of examples/python in a process of its own. */
export class PythonClient {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #errors = "";
  #turn: Promise<unknown> = Promise.resolve();

  constructor(path: string, url: string, token = "", kept: unknown = null) {
    const driver = fileURLToPath(new URL("driver.py", import.meta.url));
    this.#process = spawn(path, [driver, url, token, JSON.stringify(kept)], {
      env: { ...process.env, PYTHONPATH: example, PYTHONDONTWRITEBYTECODE: "1" },
    });
    this.#process.stderr.on("data", (text) => this.#errors += text);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** Has it do something; what is seen of it afterwards. */
  do(...what: unknown[]): Promise<PythonState> {
    const mine = this.#turn.then(async () => {
      this.#process.stdin.write(`${JSON.stringify(what)}\n`);
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`the Python client ended: ${this.#errors}`);
      return JSON.parse(value) as PythonState;
    });
    this.#turn = mine.catch(() => {});
    return mine;
  }

  state(): Promise<PythonState> {
    return this.do("state");
  }

  /** Asks the engine for something; its answer will stand under that name. */
  ask(name: string, method: string, args: unknown[] = [], options: object = {}): Promise<PythonState> {
    return this.do("ask", name, method, args, options);
  }

  async app(step: AppStep): Promise<void> {
    if (typeof step === "string") await (step === "logs out" ? this.ask("logout", "logout") : this.do(step));
    else if ("holds" in step) await this.do("holds", step.holds);
    else if ("publish" in step) {
      const { id, to, content } = step.publish;
      await this.ask(id, "publish", [to, content], { id });
    } else await this.ask(step.subscribe.channel, "subscribe", [step.subscribe.to, step.subscribe.channel]);
  }

  /** Ends the process. It must have said nothing of a fault of its own. */
  async kill(): Promise<void> {
    await this.#turn;
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await ended;
    expect(this.#errors).toBe("");
  }
}
