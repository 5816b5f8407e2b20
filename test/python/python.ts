import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { AppStep, ClientState } from "../protocol/traces.ts";

const example = fileURLToPath(new URL("../../examples/python", import.meta.url));

/** A Python with what the example needs, or why there is none. Made once, in a folder that nothing else uses. */
export function findPython(): { path: string } | { missing: string } {
  const requirements = join(example, "requirements.txt");
  const version = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const cache = fileURLToPath(new URL("../../node_modules/.cache/python", import.meta.url));
  const folder = join(cache, version);
  const path = join(folder, "bin", "python");
  if (existsSync(path)) return { path };
  try {
    run("python3", ["-c", "import sys; assert sys.version_info >= (3, 10)"]);
  } catch {
    return { missing: "no python3 of at least 3.10 on PATH" };
  }
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "new-"));
  try {
    run("python3", ["-m", "venv", fresh]);
    run(join(fresh, "bin", "python"), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]);
    renameSync(fresh, folder);
    return { path };
  } catch (error) {
    // Another process may have been quicker.
    if (existsSync(path)) return { path };
    return { missing: `its packages can't be had (${String(error).split("\n")[0]})` };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function run(command: string, args: string[]): void {
  execFileSync(command, args, { stdio: "ignore", timeout: 50_000 });
}

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
