import type { Attachments } from "./delivery/attach.ts";
import type { Counters } from "./delivery/counters.ts";
import type { UserRecords } from "./delivery/records.ts";
import type { Clock, Timer } from "./ports/clock.ts";
import type { Logger } from "./ports/logger.ts";
import type { Outbox } from "./ports/outbox.ts";
import { DEFAULT_TTL_SECONDS } from "./protocol/message.ts";
import type { PendingPushes } from "./push/pending.ts";

/** What housekeeping works with. */
export interface HousekeepingParts {
  node: string;
  records: UserRecords;
  attachments: Attachments;
  pending: PendingPushes;
  outbox: Outbox;
  counters: Counters;
  clock: Clock;
  logger: Logger;
}

/** How long the node's word that it lives is good for. */
const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
/** Users whom no device came for in this time are forgotten: 60 days beyond the longest that a message may live. */
const FORGET_AFTER_MS = (DEFAULT_TTL_SECONDS + 60 * 24 * 3600) * 1_000;
const EVICT_EVERY_MS = 3_600_000;
const PAGE = 100;
/** Pushes from the last life that are remembered at start; older ones are found when they are due. */
const PUSHES_FOUND = 10_000;

/** What an engine does beside its work: says that it lives, takes over what a dead node left, forgets who never came back. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #timers = new Map<string, Timer>();
  #task: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  /** Sessions of this node's last life are held as recent when it resolves. */
  async start(): Promise<void> {
    const { clock, node, outbox, pending, records } = this.#parts;
    await records.store.lease(node, LEASE_MS);
    pending.found((await outbox.due(clock.now(), PUSHES_FOUND)).rows);
    await this.#adopt();
    this.#every("lease", RENEW_MS, async () => {
      await records.store.lease(node, LEASE_MS);
      await this.#adopt();
    });
    this.#every("evict", EVICT_EVERY_MS, () => this.#evict());
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) this.#parts.clock.clearTimeout(timer);
    await this.#task;
    // Whoever comes next need not wait until the lease has lapsed.
    await this.#parts.records.store.lease(this.#parts.node, 0);
  }

  #every(name: string, ms: number, task: () => Promise<void>): void {
    const { clock, logger } = this.#parts;
    this.#timers.set(
      name,
      clock.setTimeout(() => {
        this.#task = this.#task.then(task)
          .catch((error: unknown) => logger.warn(`housekeeping (${name}) failed, it is tried again`, { error }))
          .then(() => {
            if (!this.#closed) this.#every(name, ms, task);
          });
      }, ms),
    );
  }

  /** Sessions of nodes that are gone become recent here. */
  async #adopt(): Promise<void> {
    const { attachments, records } = this.#parts;
    let after: string | undefined;
    do {
      const { names, next } = await records.store.orphans({ after, limit: PAGE });
      await Promise.all(names.map((userId) => attachments.restore(userId)));
      after = this.#closed ? undefined : next;
    } while (after !== undefined);
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
