/**
 * Sees to it that the tests find their nats-servers, a current one and the oldest that is supported: what is missing is built
 * by Go, or taken out of Debian's package, into a folder of its own. Otherwise it ends with a line on how to get one.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { CURRENT, FLOOR, ownFolder, pathOf, type Wanted } from "./nats_server.ts";

function found(wanted: Wanted): boolean {
  try {
    pathOf(wanted);
    return true;
  } catch {
    return false;
  }
}

function build(wanted: Wanted): void {
  const env = { ...process.env, GOBIN: ownFolder(wanted) };
  execFileSync("go", ["install", `github.com/nats-io/nats-server/v2@${wanted.version}`], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** Takes the server out of a release's package and leaves this machine's own packages and sources as they are. */
function unpack(wanted: Wanted): void {
  if (process.getuid?.() !== 0) throw new Error("only root may ask apt-get");
  const folder = mkdtempSync(join(tmpdir(), "peyk-nats-"));
  try {
    const sources = join(folder, "sources.list");
    const key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    writeFileSync(sources, `deb [signed-by=${key}] http://deb.debian.org/debian ${wanted.suite} main\n`);
    mkdirSync(join(folder, "lists", "partial"), { recursive: true });
    const apt = (...what: string[]) => {
      const settings = [
        `Dir::Etc::SourceList=${sources}`,
        "Dir::Etc::SourceParts=/dev/null",
        `Dir::State::Lists=${join(folder, "lists")}`,
        "APT::Sandbox::User=root",
      ];
      const options = settings.flatMap((setting) => ["-o", setting]);
      execFileSync("apt-get", ["-qq", ...options, ...what], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    };
    apt("update");
    apt("download", `nats-server/${wanted.suite}`);
    const [file] = readdirSync(folder).filter((name) => name.endsWith(".deb"));
    execFileSync("dpkg-deb", ["-x", file!, "package"], { cwd: folder });
    const path = ["usr/sbin", "usr/bin"].map((bin) => join(folder, "package", bin, "nats-server")).find(existsSync);
    mkdirSync(ownFolder(wanted), { recursive: true });
    copyFileSync(path!, join(ownFolder(wanted), "nats-server"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const wanted of [CURRENT, FLOOR]) {
  for (const get of [build, unpack]) {
    if (found(wanted)) break;
    console.log(`no nats-server like ${wanted.version} yet: ${get === build ? "building it" : "taking Debian's"}`);
    try {
      get(wanted);
    } catch (error) {
      console.error((error as Error).message);
    }
  }
  try {
    pathOf(wanted);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
