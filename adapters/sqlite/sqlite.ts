/**
 * Keeps logs, users and pushes in one sqlite file, for an engine that runs as one process on Node (≥22.13) or Deno.
 * @module
 */
import type { Retention, Storage } from "../../src/ports/storage.ts";
import { checkKinds, type KindsOf } from "../../src/protocol/fields.ts";
import { sqliteWith } from "./sqlite_with.ts";

/** How much a sqlite file keeps. */
export interface SqliteOptions {
  retention?: Retention;
}

const SQLITE_KINDS: KindsOf<SqliteOptions> = { retention: "object" };

/**
 * A storage in the sqlite file at `path`, which is made when it is not there; beside it lie `-wal`, `-shm` and `-lock` files.
 *
 * Receipts say `durability: "disk"`: the entry is synced (WAL, `synchronous=FULL`) before the publish resolves, and survives a crash
 * of the process and a power loss, as far as the disk keeps its word. Writing and syncing happen on a thread of its own, many
 * publishes at a time; a slow disk delays publishes, not the event loop. One engine at a time may have the file open; the lock
 * ends with its process, however that ends.
 *
 * Opening throws a {@link PeykError}: `storage-locked` (another engine has the file), `storage-corrupt` (damaged, or no file of
 * Peyk's; files up to 16 MiB are looked through whole), `storage-version` (from a newer version, or from an older one whose files
 * this one does not read), `storage-readonly`, `storage-full`, `unsupported` (the file system can't have a write-ahead log),
 * `bad-config` (the folder is not there). A file that is refused is left as it was.
 *
 * A publish that can't be written rejects. `storage-full`: there is no room, on the disk or within a quota or a limit on a file's
 * size; the next one may find some, and nothing else is needed. `unavailable`: the disk failed; nothing more is written until the storage is opened again, for it is unknown what the
 * disk took. `storage-lost`: the file, or one beside it, was deleted, moved or replaced while it was open; every later call is
 * refused too, and opening again opens what is at the path then. It is looked for after each sync, by the file's inode. The last
 * two are logged as errors.
 *
 * What is not noticed: a file that is overwritten in place by another program, and one that is replaced by an older copy of itself
 * between two runs. That one gives offsets out again under the same epoch: devices that were further than the copy take the
 * messages at those offsets for ones they have had.
 *
 * @throws {PeykError} `bad-config`
 * @example
 * ```ts
 * const engine = await createEngine({ storage: sqlite("peyk.db"), insecure: true });
 * ```
 */
export function sqlite(path: string, options: SqliteOptions = {}): Storage {
  checkKinds(options, SQLITE_KINDS, "sqlite");
  return sqliteWith(path, options.retention ?? {}, {});
}
