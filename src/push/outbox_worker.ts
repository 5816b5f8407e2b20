import type { UserRecords } from "../delivery/records.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { NOT_ASKED } from "./pending.ts";
import { type Begun, Pump } from "./pump.ts";

/** What the worker works with. */
export interface OutboxWorkerParts {
  dispatcher: Dispatcher;
  lease: Lease;
  outbox: Outbox;
  records: UserRecords;
  clock: Clock;
  logger: Logger;
}

/** Pushes under way at the same time. */
const WIDTH = 64;
/** Between two tries to read the outbox, or to look at what was taken. */
const RETRY_MS = 1_000;

/** Takes pushes out of the outbox when they are due, and has them sent. */
export class OutboxWorker {
  readonly #parts: OutboxWorkerParts;
  readonly #pump: Pump;
  /** Places that a coalesced push is on its way to. */
  readonly #coalescing = new Set<string>();
  /** Rows that are being put back: until that is done they may be taken or not. */
  readonly #unsure = new Set<string>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: OutboxWorkerParts) {
    this.#parts = parts;
    this.#pump = new Pump(WIDTH, (room) => this.#begin(room));
  }

  /** Looks for due rows, now. */
  wake(): void {
    this.#pump.ring();
  }

  /** Stops, gives up what is under way: it will be asked again after the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
    this.#parts.dispatcher.close();
    await this.#pump.close();
    await this.#pump.landed();
  }

  async #begin(room: number): Promise<Begun> {
    const { clock, lease, logger, outbox } = this.#parts;
    // A node whose lease has lapsed is woken when it has a new one.
    if (!lease.isHeld) return NOTHING;
    try {
      const { rows: due, nextDueAt } = await outbox.due(clock.now(), room);
      this.#sleepUntil(nextDueAt);
      const rows = due.filter((row) => this.#mayLeave(row));
      const answers = await Promise.allSettled(rows.map((row) => outbox.take(row.id)));
      const taken: OutboxRow[] = [];
      const flights: Promise<void>[] = [];
      rows.forEach((row, index) => {
        const answer = answers[index]!;
        if (answer.status === "fulfilled" && answer.value) taken.push({ ...row, attempts: row.attempts + 1 });
        else this.#coalescing.delete(row.targetId);
        // It may be taken all the same: there was no answer.
        if (answer.status === "rejected") flights.push(this.#putBack([{ ...row, attempts: row.attempts + 1 }], answer.reason));
      });
      for (const [userId, ofUser] of Map.groupBy(taken, ({ userId }) => userId)) flights.push(...this.#launch(userId, ofUser));
      return { flights, more: taken.length > 0 };
    } catch (error) {
      logger.error("the outbox could not be read, it is tried again", { error });
      this.#sleepUntil(clock.now() + RETRY_MS);
      return NOTHING;
    }
  }

  /** Of a place's coalesced rows one leaves, and takes the others along. */
  #mayLeave({ coalesced, id, targetId }: OutboxRow): boolean {
    if (this.#unsure.has(id)) return false;
    if (!coalesced) return true;
    if (this.#coalescing.has(targetId)) return false;
    this.#coalescing.add(targetId);
    return true;
  }

  #sleepUntil(dueAt: number | undefined): void {
    const { clock } = this.#parts;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (dueAt === undefined || this.#closed) return;
    this.#timer = clock.setTimeout(() => this.wake(), Math.min(Math.max(dueAt - clock.now(), 0), 3_600_000));
  }

  /**
   * Inside the user's exclusive section up to the requests: after a revoke or unsubscribe returned, none begins. All rows of a
   * user that are due share one: they are looked at together, and leave in their order.
   */
  #launch(userId: string, rows: readonly OutboxRow[]): Promise<void>[] {
    const { dispatcher, records } = this.#parts;
    const taken = rows.map((row) => [row]);
    const begun = records.exclusively(userId, async () => {
      const reads = await Promise.allSettled(taken.map((rows) => dispatcher.read(rows)));
      // From here to the requests nothing is waited for.
      return reads.map((read) =>
        read.status === "fulfilled" ? { landed: dispatcher.begin(read.value) } : { failed: read.reason }
      );
    });
    return taken.map(async (rows, index) => {
      const row = rows[0]!;
      try {
        const flight = (await begun)[index]!;
        if ("landed" in flight) await flight.landed;
        else await this.#putBack(rows, flight.failed);
      } finally {
        if (row.coalesced) this.#coalescing.delete(row.targetId);
      }
    });
  }

  /** These could not be taken or looked at. */
  async #putBack(rows: readonly OutboxRow[], error: unknown): Promise<void> {
    const { clock, dispatcher, logger, outbox } = this.#parts;
    logger.error("a push could not be taken or looked at, it is tried again", { error });
    for (const { id } of rows) this.#unsure.add(id);
    await dispatcher.insist(async () => {
      for (const { id, attempts } of rows) {
        await outbox.retry(id, clock.now() + RETRY_MS, `${NOT_ASKED}it could not be looked at, it is tried again`, attempts);
      }
    });
    for (const { id } of rows) this.#unsure.delete(id);
    // One that was not taken is due still.
    this.#sleepUntil(clock.now() + RETRY_MS);
  }
}

const NOTHING: Begun = Object.freeze({ flights: Object.freeze([]), more: false });
