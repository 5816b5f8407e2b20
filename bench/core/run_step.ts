import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Figure } from "./figures.ts";

const FILE = fileURLToPath(new URL("./step_process.ts", import.meta.url));
const CONDITIONS = "--conditions=peyk-source";
/** What the runtime that this runs on is told. */
const FLAGS = "Deno" in globalThis
  ? ["run", "-A", "--v8-flags=--expose-gc", CONDITIONS, FILE]
  : ["--expose-gc", CONDITIONS, "--disable-warning=ExperimentalWarning", FILE];

/**
 * Runs a step in a process of its own: it begins with nobody's memory, and ends when it has said what it measured, even where the
 * engine is not done.
 *
 * @param figure is told each figure when it is known
 * @returns why it ended, unless it did what it was to do
 */
export function runStep(args: readonly string[], limitMs: number, figure: (figure: Figure) => void): Promise<string | undefined> {
  const child = spawn(process.execPath, [...FLAGS, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  createInterface({ input: child.stdout }).on("line", (line) => figure(JSON.parse(line)));
  return new Promise((resolve) => {
    let late = false;
    const end = (): void => void child.kill("SIGKILL");
    process.once("exit", end);
    const timer = setTimeout(() => {
      late = true;
      end();
    }, limitMs);
    child.on("close", (code) => {
      clearTimeout(timer);
      process.off("exit", end);
      resolve(late ? `not done within ${limitMs / 1_000} s` : code === 0 ? undefined : `ended with code ${code}`);
    });
    child.on("error", (error) => resolve(error.message));
  });
}
