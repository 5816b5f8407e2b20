import type { UserRecords } from "../delivery/records.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import { type Backlog, wasPutOff } from "./backlog.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { DueRows, queueOf } from "./due_rows.ts";
import type { Pace } from "./pace.ts";
import { type Begun, Pump } from "./pump.ts";
import type { PutOff } from "./put_off.ts";
import type { RestingTargets } from "./resting.ts";
import type { RestingServices, Service } from "./resting_services.ts";
import type { Together } from "./together.ts";
import { WakeUp } from "./wake_up.ts";

/** What a lane works with. */
export interface ProviderLaneParts {
  dispatcher: Dispatcher;
  resting: RestingTargets;
  services: RestingServices;
  backlog: Backlog;
  pace: Pace;
  putOff: PutOff;
  together: Together;
  lease: Lease;
  outbox: Outbox;
  records: UserRecords;
  /** Other nodes take pushes out of the same outbox. */
  shared: boolean;
  clock: Clock;
  logger: Logger;
}

/** Pushes of one provider under way at the same time. */
const WIDTH = 384;
/** Where it has several lanes, those that have no answer for so long give their places up: one that is dead must not hold all. */
const SLOW_MS = 1_000;
/** Of these at most so many of one user. */
const WIDTH_OF_USER = 32;
/** Users whose section is waited for at the same time. */
const MOST_WAITING = 256;
/** Rows that are read at a time, and that are looked through at most for some that may leave. */
const READ = 2_048;
const MOST_READ = 2 * READ;
/** What was read in vain is read again after a while: a millisecond for so many rows. */
const VAIN_PER_MS = 50;
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
  /** What is in hand: rows, those included that wait for their user's section, and the queues of those that are under way. */
  readonly #rows = new Set<string>();
  readonly #queues = new Set<string>();
  /** What is due and not in hand, as it was read last. */
  readonly #due = new DueRows();
  /** Monotonic milliseconds: until then reading would be in vain. */
  #vainUntil = -Infinity;
  /** How many of each user's are under way. */
  readonly #ofUser = new Map<string, number>();
  /** Something is due, or it is the turn of what waits for its service. */
  readonly #nextDue: WakeUp;
  readonly #nextTurn: WakeUp;
  /** The service of all targets, where the provider has one lane. */
  readonly #service: Service | undefined;
  #closed = false;

  constructor({ lane, name }: PushProvider, parts: ProviderLaneParts) {
    this.#provider = name;
    this.#service = lane === undefined ? { provider: name, lane: "" } : undefined;
    this.#parts = parts;
    const { clock } = parts;
    this.#nextDue = new WakeUp(clock, () => this.wake());
    this.#nextTurn = new WakeUp(clock, () => this.#pump.ring());
    this.#pump = new Pump(WIDTH, clock, (room) => this.#begin(room), lane === undefined ? undefined : SLOW_MS);
  }

  wake(): void {
    this.#vainUntil = -Infinity;
    this.#pump.ring();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#nextDue.close();
    this.#nextTurn.close();
    await this.#pump.close();
    await Promise.all(this.#waiting.values());
    await this.#pump.landed();
  }

  async #begin(room: number): Promise<Begun> {
    const { clock, lease, logger } = this.#parts;
    // A node whose lease has lapsed is woken when it has a new one, and who gets into a section looks again.
    if (!lease.isHeld || this.#waiting.size >= MOST_WAITING) return NOTHING;
    try {
      await this.#beginDue(room);
      await this.#beginTurns();
    } catch (error) {
      logger.error("the outbox could not be read, it is tried again", { error });
      this.#nextDue.at(clock.now() + RETRY_MS);
    }
    return NOTHING;
  }

  async #beginDue(room: number): Promise<void> {
    const { clock, shared } = this.#parts;
    // What other nodes may take meanwhile is not gone by.
    if (!shared && (await this.#enterSome(room)).entered > 0) return;
    const vainMs = Math.ceil(this.#vainUntil - clock.elapsed());
    if (vainMs > 0) this.#nextDue.at(clock.now() + vainMs);
    else await this.#read(room);
  }

  /** Reads what is due until some may leave, `room` at most. */
  async #read(room: number): Promise<void> {
    const { clock, outbox } = this.#parts;
    for (let limit = READ;; limit *= 2) {
      const now = clock.now();
      const { rows, nextDueAt } = await outbox.due(now, limit, this.#provider);
      this.#due.replace(rows.filter(({ id }) => !this.#rows.has(id)));
      // Where a page was cut short, what lands or enters its section looks again.
      const isCut = nextDueAt !== undefined && nextDueAt <= now;
      if (!isCut) this.#nextDue.at(nextDueAt);
      const { entered, putOff } = await this.#enterSome(room);
      // What was put off is due later now: another look says when, and finds what stood behind it.
      if (putOff > 0) this.#pump.ring();
      if (entered > 0 || putOff > 0) return;
      this.#vainUntil = clock.elapsed() + Math.ceil(rows.length / VAIN_PER_MS);
      if (!isCut || limit >= MOST_READ) return;
    }
  }

  /**
   * Of what is due takes in hand what stands first in its queue and may leave, `room` at most and a bounded number of each user.
   * @returns how many rows, and of how many queues what waits was put off
   */
  async #enterSome(room: number): Promise<{ entered: number; putOff: number }> {
    const { clock, putOff, resting } = this.#parts;
    const chosen: OutboxRow[] = [];
    const asleep: string[] = [];
    const behind: OutboxRow[] = [];
    const ofUser = new Map<string, number>();
    for (const [queue, first] of this.#due.firsts()) {
      const { expiresAt, targetId, userId } = first;
      if (chosen.length === room || this.#waiting.size + ofUser.size >= MOST_WAITING) break;
      const isOver = expiresAt <= clock.now();
      if (!isOver && this.#waitsForService(first)) {
        behind.push(...this.#due.drop(queue));
        continue;
      }
      const others = ofUser.get(userId) ?? this.#ofUser.get(userId) ?? 0;
      if (this.#queues.has(queue) || this.#waiting.has(userId) || others >= WIDTH_OF_USER) continue;
      if (!isOver && resting.rests(targetId)) {
        asleep.push(targetId);
        this.#due.drop(queue);
        continue;
      }
      ofUser.set(userId, others + 1);
      this.#due.shift(queue);
      chosen.push(first);
    }
    for (const [userId, rows] of Map.groupBy(chosen, ({ userId }) => userId)) this.#enter(userId, rows);
    if (asleep.length > 0) await resting.postpone(asleep);
    if (behind.length > 0) await putOff.forService(behind, ({ targetId }) => this.#serviceOf(targetId)!);
    return { entered: chosen.length, putOff: asleep.length + behind.length };
  }

  /** Whether a row waits for a service that takes no pushes, or behind others that have waited for it. */
  #waitsForService({ targetId, userId }: OutboxRow): boolean {
    const { backlog, services } = this.#parts;
    if (backlog.serviceOf(targetId) !== undefined) return true;
    return this.#service !== undefined && !services.mayAsk(this.#service, userId);
  }

  /** As far as it is known without a look at the target. */
  #serviceOf(targetId: string): Service | undefined {
    return this.#parts.backlog.serviceOf(targetId) ?? this.#service;
  }

  /** Of targets that have waited for their service those whose turn it is. */
  async #beginTurns(): Promise<void> {
    const { backlog, clock, outbox, pace, resting } = this.#parts;
    const room = Math.min(this.#pump.room, MOST_WAITING - this.#waiting.size);
    const turns = backlog.turns(
      this.#provider,
      room,
      (userId, targetId) =>
        !this.#waiting.has(userId) && (this.#ofUser.get(userId) ?? 0) < WIDTH_OF_USER && !resting.rests(targetId),
    );
    if (turns.size > 0) {
      const now = clock.now();
      const rows = (await outbox.waiting([...turns.keys()])).filter((row) => row.dueAt <= now || wasPutOff(row));
      const byTarget = Map.groupBy(rows, ({ targetId }) => targetId);
      // What is under way may be given back yet.
      for (const [targetId, userId] of turns) if (!byTarget.has(targetId) && !this.#ofUser.has(userId)) backlog.done(targetId);
      const mayLeave = rows.filter((row) => !pace.waits(row));
      for (const [userId, ofUser] of Map.groupBy(mayLeave, ({ userId }) => userId)) this.#enterFirsts(userId, ofUser);
    }
    this.#nextTurn.at(backlog.nextTurnAt(this.#provider));
  }

  /** Of rows of one user those that stand first in their queues; one alone where it is to be a probe. */
  #enterFirsts(userId: string, rows: readonly OutboxRow[]): void {
    if (this.#waiting.has(userId)) return;
    const queues = new DueRows();
    queues.replace(rows);
    const firsts = [...queues.firsts()].filter(([queue, { id }]) => !this.#queues.has(queue) && !this.#rows.has(id));
    if (firsts.length === 0) return;
    const service = this.#serviceOf(rows[0]!.targetId);
    const isProbe = service !== undefined && this.#parts.services.restsUntil(service) !== undefined;
    const chosen = firsts.slice(0, isProbe ? 1 : WIDTH_OF_USER);
    for (const [queue] of chosen) this.#due.drop(queue);
    this.#enter(userId, chosen.map(([, first]) => first));
  }

  /** The next row of a queue whose first one is through. What can't follow now is found by the next look. */
  #follow(queue: string): void {
    const next = this.#due.first(queue);
    if (next === undefined || this.#queues.has(queue)) return;
    const mayFollow = this.#pump.room > 0 && this.#waiting.size < MOST_WAITING && !this.#waiting.has(next.userId) &&
      (this.#ofUser.get(next.userId) ?? 0) < WIDTH_OF_USER && !this.#parts.resting.rests(next.targetId) &&
      !this.#waitsForService(next);
    if (!mayFollow) return;
    this.#due.shift(queue);
    this.#enter(next.userId, [next]);
  }

  /** Has the rows taken and looked at in their user's section. */
  #enter(userId: string, rows: readonly OutboxRow[]): void {
    for (const { id } of rows) this.#rows.add(id);
    const entered = this.#parts.records.exclusively(userId, () => this.#launchHeld(rows))
      .finally(() => {
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
    const { clock, pace, together } = this.#parts;
    const flights: Flight[] = [];
    const held = new Set<string>();
    const mine = this.#closed ? [] : rows.slice(0, this.#pump.room);
    // The others are found by the next look.
    for (const row of rows.slice(mine.length)) this.#putBackDue(row);
    // Targets whose turn it is: one push stands for all that waits.
    const turns = new Set<string>();
    for (const row of mine) {
      const { expiresAt, targetId } = row;
      // What has expired waits for no turn: put off it would be due at once, again and again.
      if (expiresAt > clock.now() && !pace.mayLeave(row)) {
        this.#rows.delete(row.id);
        held.add(targetId);
      } else if (turns.has(targetId)) this.#putBackDue(row);
      else {
        flights.push(this.#reserve(row));
        if (together.takesAll(row)) turns.add(targetId);
      }
    }
    if (flights.length > 0) await this.#fly(flights);
    for (const targetId of held) await this.#hold(targetId);
  }

  /** It does not leave now, and is found by a later look. */
  #putBackDue(row: OutboxRow): void {
    this.#rows.delete(row.id);
    this.#due.putBack(row);
  }

  /** Takes the rows, looks for the last time, and has the requests made. */
  async #fly(flights: readonly Flight[]): Promise<void> {
    const { dispatcher, together } = this.#parts;
    let groups: (readonly OutboxRow[])[] = flights.map(({ row }) => [row]);
    let isTaken = false;
    try {
      groups = await Promise.all(
        flights.map(async ({ row }) => [row, ...await together.others(row, (id) => this.#rows.has(id))]),
      );
      for (const row of groups.flatMap(([, ...others]) => others)) this.#due.drop(queueOf(row));
      const ids = await dispatcher.take(groups.flat());
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

  /** What is due for a target that is paced waits. */
  async #hold(targetId: string): Promise<void> {
    const { clock, logger, putOff } = this.#parts;
    try {
      for (const row of await putOff.forTurn(targetId)) this.#due.drop(queueOf(row));
    } catch (error) {
      logger.error("pushes could not be put off, it is tried again", { error });
      this.#nextDue.at(clock.now() + RETRY_MS);
    }
  }

  #reserve(row: OutboxRow): Flight {
    const { id, userId } = row;
    const queue = queueOf(row);
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

  /** These could not be taken or looked at. */
  async #putBack(rows: readonly OutboxRow[], error: unknown): Promise<void> {
    const { clock, putOff } = this.#parts;
    await putOff.forFailure(rows, RETRY_MS, error);
    // One that was not taken is due still.
    this.#nextDue.at(clock.now() + RETRY_MS);
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

const NOTHING: Begun = Object.freeze({ flights: Object.freeze([]), more: false });
