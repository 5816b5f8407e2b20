import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Where, with what and of what the figures are: printed with each table. */
export interface Surroundings {
  machine: string;
  versions: string;
  commit: string;
  command: string;
}

/**
 * @param script what npm runs
 * @param packages of which the versions matter
 * @param others versions that no package tells
 */
export function surroundings(script: string, packages: readonly string[], others: readonly string[] = []): Surroundings {
  const cores = cpus();
  const load = loadavg()[0]!.toFixed(2);
  const memory = Math.round(totalmem() / 2 ** 30);
  const versions = packages.map((name) => `${name} ${versionOf(`node_modules/${name}`)}`);
  return {
    machine: `${cores.length} × ${
      cores[0]?.model.trim()
    }, ${memory} GiB, ${platform()} ${release()}, load average at start ${load}`,
    versions: [`node ${process.versions.node}`, ...others, ...versions, `peyk ${versionOf(".")}`].join(", "),
    commit: commit(),
    command: [`npm run ${script}`, ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
  };
}

/** As lines of a report. */
export function linesOf(around: Surroundings): string {
  return Object.entries(around).map(([what, said]) => `${what.padEnd(10)}${said}`).join("\n");
}

export function denoVersion(): string {
  return `deno ${/deno (\S+)/.exec(run("deno", "--version"))?.[1] ?? "absent"}`;
}

function versionOf(folder: string): string {
  return JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8")).version;
}

function commit(): string {
  const name = run("git", "-C", ROOT, "rev-parse", "--short", "HEAD").trim();
  const changed = run("git", "-C", ROOT, "status", "--porcelain").trim() !== "";
  return name === "" ? "unknown" : changed ? `${name} with uncommitted changes` : name;
}

/** What a command prints; nothing when it can't be run. */
function run(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return "";
  }
}
