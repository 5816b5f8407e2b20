import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A child.ts that runs, on the runtime that runs this test. */
export interface Child {
  readonly lines: string[];
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  /** The exit code, null when it was killed. All lines are read by then. */
  readonly ended: Promise<number | null>;
  /** Resolves when so many lines came; rejects when the process ends before. */
  said(lines: number): Promise<void>;
}

/** @param limits.fileKiB what the system lets a file of it grow to */
export function startChild(what: string, path: string, limits: { fileKiB?: number } = {}): Child {
  const script = fileURLToPath(new URL("./child.ts", import.meta.url));
  const run = "Deno" in globalThis ? ["run", "-A", "--no-check", "--no-code-cache", script] : [script];
  const limit = limits.fileKiB === undefined ? "" : `ulimit -S -f ${limits.fileKiB * 2}; `;
  const command = [process.execPath, ...run, what, path];
  // Deno's caches are longer than such a limit, and it writes to them after a source has changed.
  const env = limit === "" ? process.env : { ...process.env, DENO_DIR: join(dirname(path), "deno") };
  const process_ = spawn("sh", ["-c", `${limit}exec "$@"`, "sh", ...command], { stdio: ["ignore", "pipe", "pipe"], env });
  const lines: string[] = [];
  let rest = "";
  let complaints = "";
  const waiting: { count: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  process_.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    lines.push(...parts);
    for (const { count, resolve } of waiting) if (lines.length >= count) resolve();
  });
  process_.stderr.setEncoding("utf8").on("data", (text: string) => complaints += text);
  const ended = new Promise<number | null>((resolve) =>
    process_.on("close", (code) => {
      for (const { reject } of waiting) reject(new Error(`the process ended: ${complaints}`));
      resolve(code);
    })
  );
  return {
    lines,
    process: process_,
    ended,
    said: (count) =>
      new Promise((resolve, reject) => {
        waiting.push({ count, resolve, reject });
        if (lines.length >= count) resolve();
      }),
  };
}
