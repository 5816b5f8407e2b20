/**
 * Sees to it that the proxy tests find nginx, HAProxy and Caddy. Where one is missing, Debian's package is unpacked into a folder
 * of its own, if this user may ask apt-get: installed as usual, it would start a service on port 80. Otherwise it ends with a line
 * on how to get one.
 */
import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ownFolder, programOf, type ProxyName, proxyNames } from "./proxies.ts";

/** What is wrong with a proxy, undefined when it runs. */
function fault(name: ProxyName): string | undefined {
  try {
    programOf(name);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The packages and those that they need and this machine does not have. */
function unpack(names: readonly ProxyName[]): void {
  const folder = mkdtempSync(join(tmpdir(), "peyk-proxies-"));
  try {
    mkdirSync(join(folder, "partial"));
    const apt = (...what: string[]) => void execFileSync("apt-get", ["-qq", ...what], { stdio: ["ignore", "ignore", "pipe"] });
    apt("update");
    const settings = [`Dir::Cache::archives=${folder}`, "APT::Sandbox::User=root"].flatMap((setting) => ["-o", setting]);
    apt(...settings, "install", "-y", "--no-install-recommends", "--download-only", ...names);
    mkdirSync(ownFolder, { recursive: true });
    for (const file of globSync(join(folder, "*.deb"))) execFileSync("dpkg-deb", ["-x", file, ownFolder]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const missing = proxyNames.filter((name) => fault(name) !== undefined);
if (missing.length > 0 && process.getuid?.() === 0) {
  console.log(`no ${missing.join(", ")} yet: unpacking Debian's`);
  try {
    unpack(missing);
  } catch (error) {
    console.error(`apt-get could not get it: ${(error as Error).message}`);
  }
}
for (const text of missing.map(fault)) {
  if (text === undefined) continue;
  console.error(text);
  process.exitCode = 1;
}
