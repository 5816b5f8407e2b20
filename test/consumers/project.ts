import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";

/** The longest that a command may take, milliseconds. */
const LONGEST_MS = 240_000;
const samples = join(import.meta.dirname!, "samples");
const repository = join(import.meta.dirname!, "../..");

/** A folder with a package.json of its own, outside of this repository, so that nothing of it is found by chance. */
export class Project {
  readonly folder: string;
  /** The Node that runs this. */
  readonly node: string = process.execPath;

  constructor(folder: string, packageJson: object = { private: true, type: "module" }) {
    this.folder = folder;
    this.write("package.json", JSON.stringify(packageJson));
  }

  /** The packed package and others, from npm's cache where it has them. */
  async install(...packages: string[]): Promise<void> {
    await this.run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", ...packages);
  }

  write(path: string, text: string): void {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  /** Copies a file or a folder of `samples` to the same path here, or to another. */
  take(sample: string, path: string = sample): void {
    cpSync(join(samples, sample), join(this.folder, path), { recursive: true });
  }

  /** Copies a file of this repository. */
  takeFile(path: string, to: string): void {
    cpSync(join(repository, path), join(this.folder, to));
  }

  /**
   * Runs a command in the folder to its end.
   * @returns all that it printed
   * @throws {Error} with all that it printed, when it fails
   */
  async run(command: string, ...args: string[]): Promise<string> {
    const running = this.start(command, ...args);
    const late = setTimeout(() => running.stop("SIGKILL"), LONGEST_MS);
    try {
      const code = await running.ended;
      if (code === 0) return running.printed;
      throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${running.printed}`);
    } finally {
      clearTimeout(late);
    }
  }

  /** Starts a command that goes on, such as a server. */
  start(command: string, ...args: string[]): Running {
    // Runtimes installed in the project are found before others.
    const path = `${join(this.folder, "node_modules/.bin")}:${dirname(this.node)}:${process.env["PATH"]}`;
    return new Running(spawn(command, args, {
      cwd: this.folder,
      env: { ...process.env, PATH: path, CI: "1", NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    }));
  }
}

/** A process that was started here. */
export class Running {
  readonly #process: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #printed = "";
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>;

  constructor(process: ChildProcess) {
    this.#process = process;
    const add = (chunk: unknown): void => {
      this.#printed += String(chunk);
      for (const watcher of this.#watchers) watcher();
    };
    process.stdout!.on("data", add);
    process.stderr!.on("data", add);
    this.ended = new Promise((resolve) => {
      process.on("error", (error) => (add(error.message), resolve("error")));
      process.on("close", (code, signal) => resolve(code ?? signal));
    });
  }

  get printed(): string {
    return this.#printed;
  }

  /** The first match in what it prints; rejects with all that it printed when it ends before. */
  until(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.exec(this.#printed);
        if (found === null) return;
        this.#watchers.delete(look);
        resolve(found);
      };
      this.#watchers.add(look);
      void this.ended.then((code) => reject(new Error(`ended with ${code} before it printed ${pattern}\n${this.#printed}`)));
      look();
    });
  }

  /** Ends it, and waits until it has ended. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#process.kill(signal);
    await this.ended;
  }
}
