import { readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { WriterFaults } from "./commands.ts";
import { classify, type Failure, failure, otherVersion } from "./failure.ts";
import { OwnFiles } from "./own_files.ts";
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION } from "./schema.ts";

/** The opened file, for the one who writes it. */
export interface OpenFile {
  readonly db: DatabaseSync;
  readonly path: string;
  readonly epoch: number;
  /** Why what was written is not kept: the path leads to another file by now, or to none. */
  lost(): Failure | undefined;
  close(): void;
}

/** Links to a file that is not there yet that are followed one after the other: as many as Linux follows. */
const MAX_LINKS = 40;

/** Where a path leads, also to a file that is not there yet: two names of one file must not pass for two files. */
export function realPath(path: string, links: number = MAX_LINKS): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    try {
      const inRealFolder = join(realpathSync(dirname(whole)), basename(whole));
      const target = linkedTo(inRealFolder);
      return target === undefined || links === 0 ? inRealFolder : realPath(resolve(dirname(inRealFolder), target), links - 1);
    } catch {
      return whole; // opening it will say what is wrong
    }
  }
}

/** Undefined: it is no link. */
function linkedTo(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Locks, checks and prepares the file, making it when it is not there.
 * @param now milliseconds since 1970
 * @param askedFor the path it was asked for by, where that is not the file's own
 * @throws {Failure}
 */
export function openFile(path: string, newEpoch: number, now: number, faults: WriterFaults, askedFor: string = path): OpenFile {
  let lock: DatabaseSync | undefined;
  let db: DatabaseSync | undefined;
  try {
    // A path that leads nowhere is told apart first: sqlite only says that it can't open it.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() ?? statSync(dirname(path)).isDirectory()) lock = takeLock(path);
    else throw failure("bad-config", "not a file");
    const looked = lookFirst(path);
    db = new DatabaseSync(path);
    if (!looked) check(db, path);
    run(db, "PRAGMA busy_timeout = 5000");
    run(db, "PRAGMA trusted_schema = OFF");
    run(db, "PRAGMA cell_size_check = ON");
    // What `durability: "disk"` rests on. A file system that can't have a WAL leaves the mode as it is, and says nothing.
    demand(db, "journal_mode", "WAL", "wal");
    demand(db, "synchronous", "FULL", 2);
    // macOS only: fsync alone does not reach the disk there.
    run(db, "PRAGMA fullfsync = ON");
    run(db, "PRAGMA checkpoint_fullfsync = ON");
    const epoch = prepare(db, newEpoch, now);
    const { maxPages } = faults;
    if (maxPages !== undefined) run(db, `PRAGMA max_page_count = ${Math.floor(maxPages)}`);
    const opened = { db, lock };
    const files = new OwnFiles([askedFor, path, `${path}-wal`, `${path}-lock`]);
    return {
      db,
      path,
      epoch,
      lost: () => files.lost(),
      close() {
        opened.db.close();
        opened.lock.close();
      },
    };
  } catch (error) {
    const found = classify(error, path, "storage-corrupt");
    for (const opened of [db, lock]) {
      try {
        opened?.close();
      } catch {
        // what it was opened for already failed
      }
    }
    throw found;
  }
}

/** Holds a lock of the operating system, which ends with this process however it ends. */
function takeLock(path: string): DatabaseSync {
  let lock: DatabaseSync;
  try {
    lock = new DatabaseSync(`${path}-lock`);
  } catch (error) {
    throw classify(error, path, "storage-readonly");
  }
  try {
    run(lock, "PRAGMA journal_mode = MEMORY");
    run(lock, "BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

/**
 * Checks the file over a connection that can't write: closing any other one writes down what a process that was killed left in the
 * `-wal` file, also into a file that is refused.
 *
 * @returns whether it could be looked at so; what is wrong otherwise shows when the file is opened to write
 * @throws {Failure} `storage-corrupt`, `storage-version`
 */
function lookFirst(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return false;
  // No engine leaves this, and sqlite would take it for a new file and delete the log.
  if (file.size === 0 && statSync(`${path}-wal`, { throwIfNoEntry: false })?.size) {
    throw failure("storage-corrupt", "the file is empty, its write-ahead log is not");
  }
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true });
    check(db, path);
    return true;
  } catch (error) {
    const found = classify(error, path, "unavailable");
    if (found.code === "storage-corrupt" || found.code === "storage-version") throw found;
    return false;
  } finally {
    db?.close();
  }
}

/** Why a file is none that this version reads. */
function foreignness(db: DatabaseSync): Failure | undefined {
  const value = (name: string) => Number(Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0]);
  if (value("application_id") !== APPLICATION_ID) return failure("storage-corrupt", "another application's file");
  const version = value("user_version");
  if (version < 1) return failure("storage-corrupt", "the tables are not as they were made");
  return version === SCHEMA_VERSION ? undefined : otherVersion(version, SCHEMA_VERSION);
}

function isEmpty(db: DatabaseSync): boolean {
  return db.prepare("SELECT count(*) AS n FROM sqlite_schema").get()!.n === 0;
}

/** Refuses, before anything is changed, what is not ours, comes from another version, or was cut short. */
function check(db: DatabaseSync, path: string): void {
  if (isEmpty(db)) return;
  const foreign = foreignness(db);
  if (foreign !== undefined) throw foreign;
  if (fingerprint(db) !== expectedFingerprint()) throw failure("storage-corrupt", "the tables are not as they were made");
  // Small files are looked through whole; for large ones that would take longer than a start may.
  if (statSync(path).size > 16 * 1024 * 1024) return;
  const [first] = db.prepare("PRAGMA quick_check(1)").all();
  if (first?.quick_check !== "ok") throw failure("storage-corrupt", String(first?.quick_check));
}

function fingerprint(db: DatabaseSync): string {
  return JSON.stringify(db.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").all());
}

function expectedFingerprint(): string {
  const db = new DatabaseSync(":memory:");
  try {
    db.exec(SCHEMA);
    return fingerprint(db);
  } finally {
    db.close();
  }
}

/** Makes the tables of a new file and brings an old one back from where its last process left it. Answers the epoch. */
function prepare(db: DatabaseSync, newEpoch: number, now: number): number {
  run(db, "BEGIN IMMEDIATE");
  if (isEmpty(db)) {
    db.exec(SCHEMA);
    db.prepare("INSERT INTO meta VALUES ('epoch', ?)").run(newEpoch);
    run(db, `PRAGMA application_id = ${APPLICATION_ID}`);
    run(db, `PRAGMA user_version = ${SCHEMA_VERSION}`);
  }
  run(db, "UPDATE push SET status = 'pending' WHERE status = 'sending'");
  // A row that changed later than now was written before the clock was set back: it waits from now on for what it was to wait.
  db.prepare(
    `UPDATE push SET due = due - changed + ?, expires = expires - changed + ?, changed = ? WHERE status = 'pending' AND changed > ?`,
  ).run(now, now, now, now);
  const row = db.prepare("SELECT value FROM meta WHERE name = 'epoch'").get();
  run(db, "COMMIT");
  if (row === undefined) throw failure("storage-corrupt", "no epoch");
  return Number(row.value);
}

/** Sets a pragma, and looks whether it is set. */
function demand(db: DatabaseSync, pragma: string, wanted: string, means: string | number): void {
  run(db, `PRAGMA ${pragma} = ${wanted}`);
  const is = db.prepare(`PRAGMA ${pragma}`).get()?.[pragma];
  if (is !== means) throw failure("unsupported", `${pragma} is ${is}, not ${means}`);
}

/** Like `exec` for one statement, but on Deno its errors carry sqlite's result code. */
export function run(db: DatabaseSync, sql: string): void {
  db.prepare(sql).all();
}
