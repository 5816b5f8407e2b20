import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

const names = ["chromium", "chromium-browser", "google-chrome"];

/**
 * The first chromium on the PATH.
 * @throws {Error} when there is none; its message says how to get one
 */
export function chromiumPath(): string {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of names) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here: look further.
      }
    }
  }
  throw new Error(
    `no ${
      names.join(", ")
    } on the PATH, and the tests drive one. Debian: sudo apt-get install chromium. macOS: brew install --cask chromium`,
  );
}
