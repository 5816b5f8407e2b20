import { execFileSync } from "node:child_process";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A nats-server that the tests need. */
export interface Wanted {
  /** What `go install` gets. */
  readonly version: string;
  /** The Debian release whose package will do where there is no Go. */
  readonly suite: string;
  /** The environment variable that names one. */
  readonly variable: string;
  /** Where to look beside the folder of its own. */
  readonly folders: () => string[];
  readonly fits: (version: readonly [major: number, minor: number]) => boolean;
}

/** For JetStream, and for everything else that does not ask for an old one. */
export const CURRENT: Wanted = {
  version: "v2.15.2",
  suite: "forky",
  variable: "NATS_SERVER",
  folders: () => [...(process.env["PATH"] ?? "").split(delimiter), ...goFolder()],
  fits: ([major, minor]) => major > 2 || (major === 2 && minor >= 12),
};

/** The oldest that carries the core transport in the tests. */
export const FLOOR: Wanted = {
  version: "v2.9.25",
  suite: "bookworm",
  variable: "NATS_SERVER_FLOOR",
  folders: () => [],
  fits: ([major, minor]) => major === 2 && minor === 9,
};

/**
 * A nats-server of at least 2.12.
 * @throws {Error} when there is none; its message says how to get one
 */
export function natsServerPath(): string {
  return pathOf(CURRENT);
}

/**
 * A nats-server 2.9, the floor for plain core NATS.
 * @throws {Error} when there is none; its message says how to get one
 */
export function floorServerPath(): string {
  return pathOf(FLOOR);
}

/** Where a server of that version is put when the machine has none. */
export function ownFolder({ version }: Wanted): string {
  return fileURLToPath(new URL(`../../node_modules/.cache/nats-server/${version}`, import.meta.url));
}

/** @throws {Error} when there is none; its message says how to get one */
export function pathOf(wanted: Wanted): string {
  const named = process.env[wanted.variable];
  const places = [ownFolder(wanted), ...wanted.folders()].map((folder) => join(folder, "nats-server"));
  for (const path of named === undefined ? places : [named]) {
    const version = versionOf(path);
    if (version !== undefined && wanted.fits(version)) return path;
  }
  throw new Error(
    named === undefined
      ? `no nats-server like ${wanted.version}, and the tests start one: install Go, from which \`npm test\` builds it, or name one in ${wanted.variable}`
      : `${wanted.variable} does not name a nats-server like ${wanted.version}`,
  );
}

function versionOf(path: string): [number, number] | undefined {
  try {
    const said = execFileSync(path, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    const [, major, minor] = /v(\d+)\.(\d+)\./.exec(said) ?? [];
    return minor === undefined ? undefined : [Number(major), Number(minor)];
  } catch {
    return undefined; // Not here: look further.
  }
}

function goFolder(): string[] {
  try {
    const path = execFileSync("go", ["env", "GOPATH"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return [join(path, "bin")];
  } catch {
    return [];
  }
}
