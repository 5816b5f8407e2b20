import type { UserRecords } from "../delivery/records.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { NOT_ASKED } from "./pending.ts";
import { type Pace, WAITS_FOR_TURN } from "./pace.ts";
import { type Begun, Pump } from "./pump.ts";
import type { RestingTargets } from "./resting.ts";

/** What a lane works with. */
export interface ProviderLaneParts {
  dispatcher: Dispatcher;
  resting: RestingTargets;
  pace: Pace;
  lease: Lease;
  outbox: Outbox;
  records: UserRecords;
  clock: Clock;
  logger: Logger;
}

/** Pushes of one provider under way at the same time. */
const WIDTH = 384;
/** Of these at most so many of one user. */
const WIDTH_OF_USER = 32;
/** Users whose section is waited for at the same time. */
const MOST_WAITING = 256;
/** Rows that are looked through at most for some that may leave. */
const MOST_READ = 4_096;
/** Between two tries to read the outbox, or to look at what was taken. */
const RETRY_MS = 1_000;

/**
 * The pushes of one provider. A row is taken inside its user's section, and only there it counts as under way: a user whose section
 * is busy holds up no other. To one target and topic one push is under way at a time, in the order of the messages.
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
  /** Due rows that were read and stand behind those in hand, by queue: they follow without another look. */
  readonly #behind = new Map<string, OutboxRow[]>();
  /** How many of each user's are under way. */
  readonly #ofUser = new Map<string, number>();
  /** Rows that are due still though they are in hand. */
  #taking = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(provider: string, parts: ProviderLaneParts) {
    this.#provider = provider;
    this.#parts = parts;
    this.#pump = new Pump(WIDTH, parts.clock, (room) => this.#begin(room));
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
      const { found, behind } = this.#choose(rows);
      const awake = found.filter(({ targetId, expiresAt }) => !resting.rests(targetId) || expiresAt <= now);
      if (awake.length < found.length) await resting.postpone(found.map(({ targetId }) => targetId));
      const isCut = nextDueAt !== undefined && nextDueAt <= now;
      if (awake.length === 0 && isCut && limit < MOST_READ) continue;
      // Of what waited for one target together, the coalesced ones come last.
      const chosen = awake.sort((a, b) => a.dueAt - b.dueAt || Number(a.coalesced) - Number(b.coalesced)).slice(0, room);
      for (const queue of chosen.map(queueOf)) if (behind.has(queue)) this.#behind.set(queue, behind.get(queue)!);
      return chosen;
    }
  }

  /** Of due rows those that stand first in their queues, a bounded number of each user, and those that stand behind them. */
  #choose(rows: OutboxRow[]): { found: OutboxRow[]; behind: Map<string, OutboxRow[]> } {
    const found: OutboxRow[] = [];
    const behind = new Map<string, OutboxRow[]>();
    const ofUser = new Map<string, number>();
    for (const row of rows.sort((a, b) => a.position.offset - b.position.offset)) {
      const { id, userId } = row;
      const queue = queueOf(row);
      if (this.#rows.has(id) || this.#queues.has(queue) || this.#waiting.has(userId)) continue;
      const first = behind.get(queue);
      if (first !== undefined) {
        // A coalesced one takes the others along.
        if (!row.coalesced) first.push(row);
        continue;
      }
      const others = ofUser.get(userId) ?? this.#ofUser.get(userId) ?? 0;
      if (others >= WIDTH_OF_USER) continue;
      ofUser.set(userId, others + 1);
      behind.set(queue, []);
      found.push(row);
    }
    return { found, behind };
  }

  /** The next row of a queue whose first one is through. What can't follow now is found by the next look. */
  #follow(queue: string): void {
    if (this.#queues.has(queue)) return;
    const next = this.#behind.get(queue)?.shift();
    const mayFollow = next !== undefined && this.#pump.room > 0 && !this.#waiting.has(next.userId) &&
      (this.#ofUser.get(next.userId) ?? 0) < WIDTH_OF_USER && !this.#parts.resting.rests(next.targetId);
    if (mayFollow) this.#enter(next.userId, [next]);
    else this.#behind.delete(queue);
  }

  /** These are not in hand: the next look finds them, and what stands behind them. */
  #leave(rows: readonly OutboxRow[]): void {
    for (const row of rows) this.#behind.delete(queueOf(row));
  }

  /** Has the rows taken and looked at in their user's section. */
  #enter(userId: string, rows: readonly OutboxRow[]): void {
    if (this.#waiting.size >= MOST_WAITING) return this.#leave(rows);
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
    const { pace } = this.#parts;
    const flights: Flight[] = [];
    const held = new Set<string>();
    const mine = this.#closed ? [] : rows.slice(0, this.#pump.room);
    this.#leave(rows.slice(mine.length));
    // Targets whose turn it is: one push stands for all that waits.
    const turns = new Set<string>();
    for (const row of mine) {
      const { targetId } = row;
      if (!pace.mayLeave(row)) held.add(targetId);
      else if (!turns.has(targetId)) flights.push(this.#reserve(row));
      if (pace.isPaced(targetId) && mayMerge(row)) turns.add(targetId);
    }
    if (flights.length > 0) await this.#fly(flights);
    for (const targetId of held) await this.#hold(targetId);
  }

  /** Takes the rows, looks for the last time, and has the requests made. */
  async #fly(flights: readonly Flight[]): Promise<void> {
    const { dispatcher, outbox } = this.#parts;
    let groups: (readonly OutboxRow[])[] = flights.map(({ row }) => [row]);
    let isTaken = false;
    try {
      groups = await Promise.all(flights.map(async ({ row }) => [row, ...await this.#others(row)]));
      for (const row of groups.flatMap(([, ...others]) => others)) this.#behind.delete(queueOf(row));
      const ids = new Set(await outbox.take(groups.flat().map(({ id }) => id)));
      groups = groups.map((group) =>
        group.filter(({ id }) => ids.has(id)).map((row) => ({ ...row, attempts: row.attempts + 1 }))
      );
      isTaken = true;
      const looked = await dispatcher.read(groups);
      // From here to the requests nothing is waited for.
      looked.forEach((group, index) => {
        if (group.rows.length === 0) flights[index]!.land();
        else void dispatcher.begin(group, flights[index]!.sent).finally(flights[index]!.land);
      });
    } catch (error) {
      // They may be taken or not.
      const all = groups.flat().map((row) => isTaken ? row : { ...row, attempts: row.attempts + 1 });
      void this.#putBack(all, error).finally(() => flights.forEach(({ land }) => land()));
    }
  }

  /** What leaves in the same push: the other coalesced rows of the target, or all that is due for one that is paced. */
  async #others(row: OutboxRow): Promise<OutboxRow[]> {
    const { clock, outbox, pace } = this.#parts;
    const { coalesced, id, targetId } = row;
    const isPaced = pace.isPaced(targetId);
    if (!coalesced && !(isPaced && mayMerge(row))) return [];
    const now = clock.now();
    const rows = await outbox.waiting([targetId]);
    return rows.filter((other) =>
      other.id !== id && !this.#rows.has(other.id) && mayMerge(other) &&
      ((coalesced && other.coalesced) || (isPaced && other.dueAt <= now))
    );
  }

  /** What is due for a target that is paced waits for the next push that may leave for it. */
  async #hold(targetId: string): Promise<void> {
    const { clock, dispatcher, logger, outbox, pace } = this.#parts;
    try {
      const now = clock.now();
      const rows = (await outbox.waiting([targetId])).filter(({ dueAt, silent, urgency }) =>
        dueAt <= now && silent !== true && urgency !== "high"
      );
      for (const row of rows) this.#behind.delete(queueOf(row));
      if (rows.length > 0) await outbox.postpone(rows.map(({ id }) => id), pace.nextAt(targetId), NOT_ASKED + WAITS_FOR_TURN);
      for (const row of rows) dispatcher.held(row, WAITS_FOR_TURN);
    } catch (error) {
      logger.error("pushes could not be put off, it is tried again", { error });
      this.#sleepUntil(clock.now() + RETRY_MS);
    }
  }

  #reserve(row: OutboxRow): Flight {
    const { id, userId } = row;
    const queue = queueOf(row);
    this.#rows.add(id);
    this.#queues.add(queue);
    this.#ofUser.set(userId, (this.#ofUser.get(userId) ?? 0) + 1);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pump.launch(promise);
    let isFirst = true;
    const leaveQueue = (): void => {
      if (isFirst) this.#queues.delete(queue);
      isFirst = false;
    };
    void promise.then(() => this.#follow(queue));
    const sent = (): void => {
      leaveQueue();
      if (this.#pump.room > 0) this.#follow(queue);
      // Rows that are newer than the last look may follow too. Where many are under way, one that lands looks again soon.
      if (this.#pump.room > WIDTH / 2) this.#pump.ring();
    };
    const land = (): void => {
      this.#rows.delete(id);
      leaveQueue();
      const left = this.#ofUser.get(userId)! - 1;
      if (left > 0) this.#ofUser.set(userId, left);
      else this.#ofUser.delete(userId);
      resolve();
    };
    return { row, sent, land };
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

/** A row on its way, and those that leave with it. */
interface Flight {
  readonly row: OutboxRow;
  /** The provider has taken it: the next one of its queue may leave. */
  readonly sent: () => void;
  /** It has ended, or is in the outbox again. */
  readonly land: () => void;
}

/** In which rows leave one after the other. Of a target's coalesced ones one takes all others along. */
function queueOf({ coalesced, targetId, topic }: Pick<OutboxRow, "coalesced" | "targetId" | "topic">): string {
  return coalesced ? targetId : `${targetId}\n${topic}`;
}

/** Whether a row may be part of a push that stands for several. */
function mayMerge({ collapseKey, silent, urgency }: OutboxRow): boolean {
  return silent !== true && collapseKey === undefined && urgency !== "high";
}

const NOTHING: Begun = Object.freeze({ flights: Object.freeze([]), more: false });
