import { execFileSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The proxies that the tests put in front of a server. Debian's packages and programs have these names. */
export const proxyNames = ["nginx", "haproxy", "caddy"] as const;
export type ProxyName = typeof proxyNames[number];

/** A proxy's program, and where the libraries lie that this machine does not have. */
export interface Program {
  readonly path: string;
  readonly libraries: string;
}

/** Where Debian's packages are unpacked when the machine has no such proxy. */
export const ownFolder = fileURLToPath(new URL("../../node_modules/.cache/proxies", import.meta.url));

/**
 * A proxy that runs here: the machine's own or an unpacked one.
 * @throws {Error} when there is none; its message says how to get one
 */
export function programOf(name: ProxyName): Program {
  const folders = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/sbin",
    join(ownFolder, "usr/sbin"),
    join(ownFolder, "usr/bin"),
  ];
  const libraries = globSync(join(ownFolder, "usr/lib/*-linux-*")).join(delimiter);
  for (const path of folders.map((folder) => join(folder, name))) {
    if (existsSync(path) && runs(name, { path, libraries })) return { path, libraries };
  }
  throw new Error(`no ${name} on the PATH, and the tests start one. Debian: sudo apt-get install ${name}`);
}

function runs(name: ProxyName, { path, libraries }: Program): boolean {
  try {
    execFileSync(path, [name === "caddy" ? "version" : "-v"], {
      stdio: "ignore",
      env: { ...process.env, LD_LIBRARY_PATH: libraries },
    });
    return true;
  } catch {
    return false;
  }
}
