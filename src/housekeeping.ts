import type { Follower } from "./cluster/follower.ts";
import type { Attachments } from "./delivery/attach.ts";
import type { Counters } from "./delivery/counters.ts";
import { FORGET_AFTER_MS } from "./delivery/devices.ts";
import type { Elsewhere } from "./delivery/elsewhere.ts";
import type { Lease } from "./delivery/lease.ts";
import type { UserRecords } from "./delivery/records.ts";
import type { Clock, Timer } from "./ports/clock.ts";
import type { Logger } from "./ports/logger.ts";
import type { Outbox } from "./ports/outbox.ts";
import { fingerprint } from "./protocol/fingerprint.ts";
import type { Backlog } from "./push/backlog.ts";
import type { Pace } from "./push/pace.ts";
import { LOOK_MS as PUSHES_LOOK_MS, type PendingPushes } from "./push/pending.ts";

/** What housekeeping works with. */
export interface HousekeepingParts {
  node: string;
  /** Whether other nodes work on the same storage. */
  shared: boolean;
  lease: Lease;
  follower: Follower;
  elsewhere: Elsewhere;
  /** The node might not act for a while. */
  lapsed(): void;
  /** The node may act again, after it might not. */
  resume(): void;
  /** Other nodes may have left something to do. */
  wake(): void;
  records: UserRecords;
  attachments: Attachments;
  pending: PendingPushes;
  backlog: Backlog;
  pace: Pace;
  outbox: Outbox;
  counters: Counters;
  clock: Clock;
  logger: Logger;
}

/**
 * How long the node's word that it lives is good for. A dead node's sessions are to be decided for within the grace and 10 s, so
 * others must have noticed by then; and the log's leader may be missing for some seconds while its servers elect another.
 */
const LEASE_MS = 7_000;
const RENEW_MS = 2_000;
/** How often a node that is not alone looks for what others left, and for what they took when they say so. */
const LOOK_MS = 500;
/** How often a node that is not alone counts the nodes: they share what push services allow. */
const COUNT_MS = 10_000;
const EVICT_EVERY_MS = 3_600_000;
const PAGE = 100;
/** Users whose sessions are taken over at a time. */
const AT_ONCE = 256;
/** Pushes from the last life that are remembered at start; older ones are found when they are due. */
const PUSHES_FOUND = 10_000;

/** What an engine does beside its work: says that it lives, takes over what a dead node left, forgets who never came back. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #timers = new Map<string, Timer>();
  readonly #tasks = new Map<string, Promise<void>>();
  /** Users whose sessions have been left to other nodes. */
  #left = new Set<string>();
  #closed = false;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  /** Sessions of this node's last life are held as recent when it resolves. */
  async start(): Promise<void> {
    const { backlog, follower, outbox, pace, pending, shared, wake } = this.#parts;
    await this.#renew();
    const { rows, nextDueAt } = await outbox.due(Number.MAX_SAFE_INTEGER, PUSHES_FOUND);
    pending.restored(rows, nextDueAt === undefined);
    backlog.restored(rows);
    pace.restored(rows);
    await this.#adopt();
    if (shared) await this.#count();
    this.#every("lease", RENEW_MS, () => this.#renew());
    // On its own timer: a lease must not wait until everybody is looked after.
    this.#every("adopt", shared ? LOOK_MS : RENEW_MS, async () => {
      if (shared) wake();
      await this.#adopt();
    });
    this.#every("recover", shared ? LOOK_MS : RENEW_MS, () => this.#recover());
    this.#every("pushes", PUSHES_LOOK_MS, () => pending.look());
    if (shared) this.#every("follow", LOOK_MS, () => follower.followLost());
    if (shared) this.#every("count", COUNT_MS, () => this.#count());
    this.#every("evict", EVICT_EVERY_MS, () => this.#evict());
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) this.#parts.clock.clearTimeout(timer);
    await Promise.all(this.#tasks.values());
    // Whoever comes next need not wait until the lease has lapsed.
    await this.#parts.records.store.lease(this.#parts.node, 0);
  }

  #every(name: string, ms: number, task: () => Promise<void>): void {
    const { clock, logger } = this.#parts;
    this.#timers.set(
      name,
      clock.setTimeout(() => {
        const run = task()
          .catch((error: unknown) => logger.warn(`housekeeping (${name}) failed, it is tried again`, { error }))
          .then(() => {
            if (!this.#closed) this.#every(name, ms, task);
          });
        this.#tasks.set(name, run);
      }, ms),
    );
  }

  async #renew(): Promise<void> {
    const { clock, follower, lapsed, lease, logger, node, records, resume, shared } = this.#parts;
    const askedAt = clock.elapsed();
    await records.store.lease(node, LEASE_MS);
    if (!shared) return;
    if (lease.isHeld) return lease.extend(askedAt + LEASE_MS);
    logger.warn("the lease had lapsed: sessions that other nodes took over are let go");
    lapsed();
    await follower.followAll();
    const againAt = clock.elapsed();
    await records.store.lease(node, LEASE_MS);
    lease.begin(againAt + LEASE_MS);
    resume();
  }

  async #count(): Promise<void> {
    const { lease, records } = this.#parts;
    lease.nodes = Math.max(1, (await records.store.liveNodes()).length);
  }

  /**
   * Sessions of nodes that are gone become recent on others. Those who live share them by their users' names: each takes its own
   * part, and what is left of the others' when it looks again, since another one may be slow or gone.
   */
  async #adopt(): Promise<void> {
    const { lease, node, records } = this.#parts;
    if (!lease.isHeld) return;
    const left = this.#left;
    this.#left = new Set();
    let after: string | undefined;
    do {
      const { names, next } = await records.store.orphans({ after, limit: AT_ONCE });
      if (names.length > 0) {
        const live = (await records.store.liveNodes()).sort();
        const isMine = (userId: string): boolean => left.has(userId) || live[partOf(userId, live.length)] === node;
        for (const userId of names) if (!isMine(userId)) this.#left.add(userId);
        await this.#restore(names.filter(isMine), live);
      }
      after = this.#closed ? undefined : next;
    } while (after !== undefined);
  }

  /** So do those that this node may have been given by a write that it heard no answer of. */
  async #recover(): Promise<void> {
    const { attachments, lease, records } = this.#parts;
    const users = attachments.unsure;
    while (users.length > 0 && lease.isHeld && !this.#closed) {
      await this.#restore(users.splice(0, AT_ONCE), await records.store.liveNodes());
    }
  }

  async #restore(users: readonly string[], live: readonly string[]): Promise<void> {
    const { attachments, elsewhere } = this.#parts;
    const losers = await Promise.all(users.map((userId) => attachments.restore(userId, live)));
    for (const node of new Set(losers.flat())) elsewhere.adopted(node);
  }

  async #evict(): Promise<void> {
    const { clock, counters, records } = this.#parts;
    const before = clock.now() - FORGET_AFTER_MS;
    let after: string | undefined;
    do {
      const { names, next } = await records.store.unseenSince(before, { after, limit: PAGE });
      for (const userId of names) {
        const record = await records.store.get(userId);
        // Somebody who is connected for that long is not gone.
        if (record === undefined || record.sessions.some(({ node }) => node !== null)) continue;
        if (await records.store.remove(userId, record.version)) counters.usersEvicted++;
      }
      after = this.#closed ? undefined : next;
    } while (after !== undefined);
  }
}

/** The same on every node. */
function partOf(userId: string, parts: number): number {
  return Number.parseInt(fingerprint(userId).slice(0, 8), 16) % parts;
}
