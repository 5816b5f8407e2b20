/**
 * Sees to it that the browser tests find a chromium: where there is none, Debian's package is installed, if this user may.
 * Otherwise it ends with a line on how to get one.
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { chromiumPath } from "./chromium.ts";

function found(): boolean {
  try {
    chromiumPath();
    return true;
  } catch {
    return false;
  }
}

if (!found() && process.getuid?.() === 0) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  console.log("no chromium yet: installing Debian's");
  try {
    execFileSync("apt-get", ["update", "-qq"], { env, stdio: ["ignore", "inherit", "inherit"] });
    execFileSync("apt-get", ["install", "-y", "-qq", "chromium"], { env, stdio: ["ignore", "ignore", "inherit"] });
  } catch (error) {
    console.error(`apt-get could not install it: ${(error as Error).message}`);
  }
}
try {
  chromiumPath();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
