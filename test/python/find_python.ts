import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the client in Python. */
export const example = fileURLToPath(new URL("../../examples/python", import.meta.url));

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
