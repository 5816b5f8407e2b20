import { statSync } from "node:fs";
import { basename } from "node:path";
import { type Failure, failure } from "./failure.ts";

/**
 * The files that a storage wrote to when it was opened. The system lets them be deleted and replaced meanwhile: what is written
 * then, and synced, goes to a file that no path leads to, and is gone with the process. So after each sync the paths are looked at.
 */
export class OwnFiles {
  readonly #identities: ReadonlyMap<string, string>;

  /**
   * @param paths what must be there
   * @throws {Failure} `storage-lost`
   */
  constructor(paths: readonly string[]) {
    this.#identities = new Map(paths.map((path) => [path, identityOf(path)]));
    for (const [path, identity] of this.#identities) if (identity === "") throw lost(path, "is gone");
  }

  /** Why what was written is not kept; undefined while every path leads to the file it led to. */
  lost(): Failure | undefined {
    for (const [path, identity] of this.#identities) {
      const now = identityOf(path);
      if (now !== identity) return lost(path, now === "" ? "is gone" : "is another file");
    }
    return undefined;
  }
}

function lost(path: string, what: string): Failure {
  return failure("storage-lost", `${basename(path)} ${what}`);
}

/** What stays the same for as long as a path leads to the same file; empty when it leads to none, or none that can be looked at. */
function identityOf(path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return "";
  }
}
