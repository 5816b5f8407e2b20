import type { UserRecords } from "../delivery/records.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { NOT_ASKED } from "./pending.ts";
import { type Begun, Pump } from "./pump.ts";
import type { RestingTargets } from "./resting.ts";

/** What a lane works with. */
export interface ProviderLaneParts {
  dispatcher: Dispatcher;
  resting: RestingTargets;
  lease: Lease;
  outbox: Outbox;
  records: UserRecords;
  clock: Clock;
  logger: Logger;
}

/** Pushes of one provider under way at the same time. */
const WIDTH = 256;
/** Users whose section is waited for at the same time. */
const MOST_WAITING = 256;
/** Rows that are looked through at most for some that may leave. */
const MOST_READ = 4_096;
/** Between two tries to read the outbox, or to look at what was taken. */
const RETRY_MS = 1_000;

/**
 * The pushes of one provider. A row is taken inside its user's section, and only there it counts as under way: a user whose section
 * is busy holds up nobody else. To one target and topic one push is under way at a time, in the order of the messages.
 */
export class ProviderLane {
  readonly #provider: string;
  readonly #parts: ProviderLaneParts;
  readonly #pump: Pump;
  /** Users whose section is waited for. */
  readonly #waiting = new Map<string, Promise<void>>();
  /** What is in hand: rows, and the queues that they stand first in. */
  readonly #rows = new Set<string>();
  readonly #queues = new Set<string>();
  /** Rows that are due still though they are in hand. */
  #taking = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(provider: string, parts: ProviderLaneParts) {
    this.#provider = provider;
    this.#parts = parts;
    this.#pump = new Pump(WIDTH, (room) => this.#begin(room));
  }

  wake(): void {
    this.#pump.ring();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
    await this.#pump.close();
    await Promise.all(this.#waiting.values());
    await this.#pump.landed();
  }

  async #begin(room: number): Promise<Begun> {
    const { clock, lease, logger } = this.#parts;
    // A node whose lease has lapsed is woken when it has a new one.
    if (!lease.isHeld) return NOTHING;
    try {
      for (const [userId, rows] of Map.groupBy(await this.#find(room), ({ userId }) => userId)) this.#enter(userId, rows);
    } catch (error) {
      logger.error("the outbox could not be read, it is tried again", { error });
      this.#sleepUntil(clock.now() + RETRY_MS);
    }
    return NOTHING;
  }

  /** Due rows that may leave now, `room` at most. */
  async #find(room: number): Promise<OutboxRow[]> {
    const { clock, outbox, resting } = this.#parts;
    for (let limit = room + this.#taking;; limit *= 2) {
      const now = clock.now();
      const { rows, nextDueAt } = await outbox.due(now, limit, this.#provider);
      // Where a page was cut short, what lands or enters its section looks again.
      if (nextDueAt === undefined || nextDueAt > now) this.#sleepUntil(nextDueAt);
      const found: OutboxRow[] = [];
      const queues = new Set<string>();
      const rest = new Map<string, boolean>();
      for (const row of rows.sort((a, b) => a.position.offset - b.position.offset)) {
        const queue = queueOf(row);
        if (this.#rows.has(row.id) || this.#queues.has(queue) || queues.has(queue) || this.#waiting.has(row.userId)) continue;
        if (!rest.has(row.targetId)) rest.set(row.targetId, await resting.postponed(row.targetId));
        if (rest.get(row.targetId) && row.expiresAt > now) continue;
        queues.add(queue);
        found.push(row);
      }
      const isCut = nextDueAt !== undefined && nextDueAt <= now;
      if (found.length > 0 || !isCut || limit >= MOST_READ) return found.sort((a, b) => a.dueAt - b.dueAt).slice(0, room);
    }
  }

  /** Has the rows taken and looked at in their user's section. */
  #enter(userId: string, rows: readonly OutboxRow[]): void {
    if (this.#waiting.size >= MOST_WAITING) return;
    this.#taking += rows.length;
    const entered = this.#parts.records.exclusively(userId, () => this.#launchHeld(rows))
      .finally(() => {
        this.#taking -= rows.length;
        this.#waiting.delete(userId);
        this.#pump.ring();
      });
    this.#waiting.set(userId, entered);
  }

  /**
   * Inside the user's exclusive section up to the requests: after a revoke or unsubscribe returned, none begins. All rows of a user
   * share one look, and leave in their order.
   */
  async #launchHeld(rows: readonly OutboxRow[]): Promise<void> {
    const { dispatcher, outbox } = this.#parts;
    const mine = this.#closed ? [] : rows.slice(0, this.#pump.room);
    if (mine.length === 0) return;
    const flights = mine.map((row) => this.#reserve(row));
    let taken: OutboxRow[][] = [];
    try {
      const ids = await outbox.take(mine.map(({ id }) => id));
      taken = mine.filter(({ id }) => ids.includes(id)).map((row) => [{ ...row, attempts: row.attempts + 1 }]);
      for (const group of taken) if (group[0]!.coalesced) await this.#takeAlong(group);
      const looked = await dispatcher.read(taken);
      // From here to the requests nothing is waited for.
      for (const group of looked) void dispatcher.begin(group).finally(() => flightOf(flights, group.rows[0]!.row).land());
      for (const flight of flights) if (!ids.includes(flight.row.id)) flight.land();
    } catch (error) {
      // They may be taken or not.
      const all = taken.length > 0 ? taken.flat() : mine.map((row) => ({ ...row, attempts: row.attempts + 1 }));
      void this.#putBack(all, error).finally(() => {
        for (const flight of flights) flight.land();
      });
    }
  }

  /** The other rows of its target that leave with a coalesced one. */
  async #takeAlong(group: OutboxRow[]): Promise<void> {
    const { outbox } = this.#parts;
    const others = (await outbox.coalescedOf(group[0]!.targetId)).filter(({ id }) => !this.#rows.has(id));
    if (others.length === 0) return;
    const ids = new Set(await outbox.take(others.map(({ id }) => id)));
    for (const row of others) if (ids.has(row.id)) group.push({ ...row, attempts: row.attempts + 1 });
  }

  #reserve(row: OutboxRow): Flight {
    const queue = queueOf(row);
    this.#rows.add(row.id);
    this.#queues.add(queue);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pump.launch(promise);
    const land = (): void => {
      this.#rows.delete(row.id);
      this.#queues.delete(queue);
      resolve();
    };
    return { row, land };
  }

  #sleepUntil(dueAt: number | undefined): void {
    const { clock } = this.#parts;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (dueAt === undefined || this.#closed) return;
    this.#timer = clock.setTimeout(() => this.wake(), Math.min(Math.max(dueAt - clock.now(), 0), 3_600_000));
  }

  /** These could not be taken or looked at. */
  async #putBack(rows: readonly OutboxRow[], error: unknown): Promise<void> {
    const { clock, dispatcher, logger, outbox } = this.#parts;
    logger.error("a push could not be taken or looked at, it is tried again", { error });
    await dispatcher.insist(() =>
      outbox.retry(rows, clock.now() + RETRY_MS, `${NOT_ASKED}it could not be looked at, it is tried again`)
    );
    // One that was not taken is due still.
    this.#sleepUntil(clock.now() + RETRY_MS);
  }
}

/** A row on its way. */
interface Flight {
  readonly row: OutboxRow;
  /** It has ended, or is in the outbox again. */
  land(): void;
}

function flightOf(flights: readonly Flight[], row: OutboxRow): Flight {
  return flights.find((flight) => flight.row.id === row.id)!;
}

/** In which rows leave one after the other. Of a target's coalesced ones one takes all others along. */
function queueOf({ coalesced, targetId, topic }: OutboxRow): string {
  return coalesced ? targetId : `${targetId}\n${topic}`;
}

const NOTHING: Begun = Object.freeze({ flights: Object.freeze([]), more: false });
