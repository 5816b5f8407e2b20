import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of a test's own: in memory where the system has that, for no test of ours pulls the plug. */
export function createFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "peyk-"));
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

/** Removes a database file and those beside it. */
export function removeFile(path: string): void {
  for (const end of ["", "-wal", "-shm", "-lock"]) rmSync(path + end, { force: true });
}
