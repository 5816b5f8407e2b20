import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system of a few megabytes, for tests that fill it, close it to writers, or break it. */
export interface SmallDisk {
  readonly path: string;
  /** Fills what is free, but for so many bytes. */
  fill(leave?: number): void;
  /** Removes what it was filled with. */
  makeRoom(): void;
  remount(options: string): void;
  /** Makes every write fail, as a disk does that breaks, until `mend`. */
  fail(): void;
  /** Takes it away and brings it back as a disk has it, as a start of the system does. */
  mend(): void;
  /** Takes it away, also when it is in use. */
  remove(): void;
}

export type DiskKind = "tmpfs" | "ext4";

const MEGABYTES = 8;

/** @throws {Error} where it may not be mounted, or the tools are not there */
export function mountDisk(kind: DiskKind): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), "peyk-disk-"));
  const path = join(folder, "disk");
  const image = join(folder, "image");
  mkdirSync(path);
  try {
    if (kind === "tmpfs") run("mount", "-t", "tmpfs", "-o", `size=${MEGABYTES}m`, "tmpfs", path);
    else {
      writeFileSync(image, new Uint8Array(MEGABYTES * 1024 * 1024));
      run("mkfs.ext4", "-q", "-m", "0", image);
      run("mount", "-o", "loop", image, path);
    }
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  const filling = join(path, "filling");
  return {
    path,
    fill(leave = 0) {
      rmSync(filling, { force: true });
      const { bavail, bsize } = statfsSync(path);
      try {
        writeFileSync(filling, new Uint8Array(Math.max(0, bavail * bsize - leave)));
      } catch (error) {
        // A file system that keeps books of its own has less for files than it says: it is full now.
        if ((error as { code?: string }).code !== "ENOSPC" || leave > 0) throw error;
      }
    },
    makeRoom: () => rmSync(filling, { force: true }),
    remount: (options) => run("mount", "-o", `remount,${options}`, path),
    // What ext4 does to itself when it finds that it is damaged.
    fail: () => run("mount", "-o", "remount,abort", path),
    mend() {
      run("umount", path);
      run("mount", "-o", "loop", image, path);
    },
    remove() {
      run("umount", "-l", path);
      rmSync(folder, { recursive: true });
    },
  };
}

/** Why such a disk can't be mounted here; undefined when it can. */
export function whyNoDisk(kind: DiskKind): string | undefined {
  try {
    mountDisk(kind).remove();
    return undefined;
  } catch (error) {
    return String((error as Error).message).trim().split("\n").at(-1);
  }
}

function run(command: string, ...options: string[]): void {
  execFileSync(command, options, { stdio: ["ignore", "ignore", "pipe"] });
}
