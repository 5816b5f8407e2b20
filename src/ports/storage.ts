import { PeykError } from "../protocol/errors.ts";
import { checkKinds, type KindsOf } from "../protocol/fields.ts";
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";
import type { Outbox } from "./outbox.ts";
import type { Peers } from "./peers.ts";
import type { Random } from "./random.ts";
import type { History, Transport, Work } from "./transport.ts";
import type { Users } from "./users.ts";

/** What an engine lends a storage. */
export interface StorageContext {
  clock: Clock;
  logger: Logger;
  random: Random;
}

/** The opened ports. */
export interface OpenStorage {
  readonly transport: Transport;
  /** Absent: nothing can be recovered, and the engine says so. */
  readonly history?: History;
  /** Absent: the engine sweeps only what it published itself. */
  readonly work?: Work;
  readonly users: Users;
  readonly outbox: Outbox;
  /** The other nodes on these users. Absent: one engine at a time uses them, even where a transport joins several. */
  readonly peers?: Peers;
  /**
   * What it has in memory now of what it keeps elsewhere, bytes, about: copies that spare reads, indexes. Every cache MUST be bounded
   * by bytes; an index MAY grow with what is open. What is just being asked or written does not count, and no more does what a
   * storage has nowhere but in memory. Absent: nothing.
   */
  heldBytes?(): number;
  /** Finishes what was begun. Connections that were lent to it stay open. */
  close(): Promise<void>;
}

/** A place to keep logs, users and pushes. Opened once, by the engine. */
export interface Storage {
  /**
   * @throws {PeykError} `storage-locked`, `storage-corrupt`, `storage-readonly`, `storage-version`, `storage-full`,
   * `unavailable`, `unsupported` (the file system can't keep it safely), and `bad-config` when the place that was named can't be
   * one (a folder that is not there, a server too old)
   */
  open(context: StorageContext): Promise<OpenStorage>;
}

/** How much of each log is kept. */
export interface Retention {
  /** Entries per topic. Default 10,000. */
  maxEntries?: number;
  /** How long an idempotency key is remembered, milliseconds. Default 24 h. */
  idempotencyMs?: number;
}

const RETENTION_KINDS: KindsOf<Retention> = { maxEntries: "number", idempotencyMs: "number" };

/**
 * A retention with the defaults filled in, for storages that keep both.
 * @throws {PeykError} `bad-config`
 */
export function checkedRetention(given: Retention = {}): Required<Retention> {
  checkKinds(given, RETENTION_KINDS, "retention");
  const { maxEntries = 10_000, idempotencyMs = 24 * 3600_000 } = given;
  if (Number.isSafeInteger(maxEntries) && maxEntries >= 1 && idempotencyMs >= 0) return { maxEntries, idempotencyMs };
  throw new PeykError("bad-config", "retention: maxEntries is a whole number from 1, idempotencyMs a number from 0", {
    hint: "Leave a field out to get its default.",
  });
}
