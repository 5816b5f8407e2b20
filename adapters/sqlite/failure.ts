import { accessSync, closeSync, constants, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { type ErrorCode, PeykError } from "../../src/protocol/errors.ts";

/** An error as it travels between threads. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly retryable: boolean;
  /** What sqlite or the system said. */
  readonly detail: string;
}

const says: Partial<Record<ErrorCode, [message: string, hint: string]>> = {
  "storage-locked": [
    "the sqlite file is in use by another engine",
    "One engine at a time may open a file. Stop the other one, or give this one a file of its own.",
  ],
  "storage-corrupt": [
    "the sqlite file is damaged or not one of Peyk's",
    "Name another file, or restore this one from a backup. Nothing in it was changed.",
  ],
  "storage-readonly": [
    "the sqlite file or its folder can't be written",
    "Give this process the right to write the file and to make files beside it.",
  ],
  "storage-version": [
    "the sqlite file was written by a newer version of Peyk",
    "Update Peyk, or name another file. Nothing in it was changed.",
  ],
  "storage-lost": [
    "the sqlite file was deleted or replaced while it was open",
    "Nothing more is taken, for it would be gone with this process. Put the file back if you can, then restart the engine: " +
    "it opens what is there.",
  ],
  "storage-full": [
    "there is no room left for the sqlite file",
    "Make room on the disk, or raise the quota or the limit on a file's size. What was accepted is kept.",
  ],
  "unsupported": [
    "the sqlite file can't be kept safely on this file system",
    "Name a file on a local disk: a network's file system often lacks what sqlite's write-ahead log needs.",
  ],
  "bad-config": [
    "the path of the sqlite file leads nowhere",
    "Name a file in a folder that exists; the file itself is made.",
  ],
  "unavailable": ["the sqlite file can't be used now", "See the cause. Reopen the storage when the disk is well again."],
};

/** What passes by itself or by somebody's hand. */
const passing: ReadonlySet<ErrorCode> = new Set(["storage-locked", "storage-full", "unavailable"]);

export function failure(code: ErrorCode, detail: string): Failure {
  const [message, hint] = says[code]!;
  return { code, message, hint, retryable: passing.has(code), detail };
}

/** A file whose format this version does not read. */
export function otherVersion(stored: number, known: number): Failure {
  const found = failure("storage-version", `schema ${stored}, this version knows ${known}`);
  if (stored > known) return found;
  return {
    ...found,
    message: "the sqlite file was written by an older version of Peyk, whose files this one does not read",
    hint: "Name another file, or go on with the version that wrote it. Nothing in it was changed.",
  };
}

/** The writing thread ended while the file was open. What it answered is synced. */
export function threadEnded(detail: string): Failure {
  return {
    ...failure("unavailable", detail),
    message: "the thread that writes the sqlite file ended",
    hint: "See the cause, and open the storage again. What was accepted is kept.",
  };
}

/** The writing thread never came as far as to open the file, and the next one would not either. */
export function notStarted(cause: unknown): PeykError {
  return new PeykError("unsupported", "the thread that writes the sqlite file could not be started", {
    hint: "See the cause. This process must be allowed to start threads (on Node: --allow-worker), and have memory for one more.",
    cause,
  });
}

export function toError({ code, message, hint, retryable, detail }: Failure): PeykError {
  return new PeykError(code, message, { hint, retryable, ...detail === "" ? {} : { cause: new Error(detail) } });
}

/** What sqlite's result codes say (https://www.sqlite.org/rescode.html), the extended ones first; the others say too little. */
const resultCodes: Readonly<Record<number, ErrorCode>> = {
  5: "storage-locked", // SQLITE_BUSY
  6: "storage-locked", // SQLITE_LOCKED
  7: "unavailable", // SQLITE_NOMEM
  8: "storage-readonly", // SQLITE_READONLY
  10: "unavailable", // SQLITE_IOERR
  11: "storage-corrupt", // SQLITE_CORRUPT
  13: "storage-full", // SQLITE_FULL
  14: "storage-readonly", // SQLITE_CANTOPEN, of the files beside ours: ours was opened before
  19: "storage-corrupt", // SQLITE_CONSTRAINT: our statements break none on a sound file
  26: "storage-corrupt", // SQLITE_NOTADB
  4874: "storage-full", // SQLITE_IOERR_SHMSIZE: the -shm file finds no room to grow
};

/** SQLITE_IOERR_WRITE: all that the system says against a write but that the disk is full. */
const WRITE_FAILED = 778;

const systemCodes: Readonly<Record<string, ErrorCode>> = {
  EACCES: "storage-readonly",
  EPERM: "storage-readonly",
  EROFS: "storage-readonly",
  ENOSPC: "storage-full",
  EDQUOT: "storage-full",
  EFBIG: "storage-full",
  ENOENT: "bad-config",
  ENOTDIR: "bad-config",
  EISDIR: "bad-config",
  ENAMETOOLONG: "bad-config",
  ELOOP: "bad-config",
};

/**
 * What went wrong, said in our codes: by sqlite's result code or the system's; where the runtime leaves it out (Deno does in the
 * constructor and in `exec`), or it says too little, by looking at the file.
 *
 * @param otherwise the code when nothing tells
 */
export function classify(error: unknown, path: string, otherwise: ErrorCode): Failure {
  if (isFailure(error)) return error;
  const { errcode, code, message } = error as { errcode?: number; code?: string; message?: string };
  // Node's own codes, like ERR_SQLITE_ERROR, say nothing more than that it failed.
  const system = code !== undefined && /^E[A-Z0-9]+$/.test(code) ? systemCodes[code] ?? "unavailable" : undefined;
  const result = errcode === undefined ? undefined : resultCodes[errcode] ?? resultCodes[errcode & 0xff];
  const known = system ?? (errcode === WRITE_FAILED && lacksRoom(path) ? "storage-full" : result);
  return failure(known ?? probe(path) ?? otherwise, String(message ?? error));
}

/** Written to find out: more than what sqlite writes at a time. */
const ROOM_BYTES = 65_536;

/**
 * Whether a write failed because of a quota or of a limit on the size of files. sqlite keeps to itself what the system said
 * (sqlite3_system_errno, which the runtimes don't ask for), so the system is asked once more: by a file beside, written where the
 * longest of ours ends.
 */
function lacksRoom(path: string): boolean {
  const beside = `${path}-room`;
  const ends = [path, `${path}-wal`].map((each) => statSync(each, { throwIfNoEntry: false })?.size ?? 0);
  let file: number | undefined;
  try {
    // Never a file that is there already. Its name is removed at once, so it is gone when this process ends, however that ends.
    file = openSync(beside, "wx");
    rmSync(beside);
    return writeSync(file, new Uint8Array(ROOM_BYTES), 0, ROOM_BYTES, Math.max(...ends)) < ROOM_BYTES;
  } catch (error) {
    return systemCodes[(error as { code?: string }).code ?? ""] === "storage-full";
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/**
 * What looking at the file tells. It must not be opened for that: closing it would drop the locks that sqlite holds on it for this
 * whole process (https://www.sqlite.org/howtocorrupt.html section 2.2).
 */
function probe(path: string): ErrorCode | undefined {
  try {
    const folder = dirname(path);
    accessSync(folder, constants.W_OK);
    const { blocks, bavail } = statfsSync(folder);
    if (blocks > 0 && bavail === 0) return "storage-full";
    const file = statSync(path, { throwIfNoEntry: false });
    if (file?.isFile() === false) return "bad-config";
    if (file !== undefined) accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    return systemCodes[(error as { code?: string }).code ?? ""];
  }
  return undefined;
}

function isFailure(value: unknown): value is Failure {
  return typeof value === "object" && value !== null && "code" in value && "hint" in value && "detail" in value;
}
