import type { Counters } from "../delivery/counters.ts";
import type { Journal, NoteKind } from "../delivery/journal.ts";
import { sessionOf, type UserRecords, withSession } from "../delivery/records.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName } from "../delivery/session.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import type { PushProvider, PushResult } from "../ports/push_provider.ts";
import type { Random } from "../ports/random.ts";
import type { History } from "../ports/transport.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "../delivery/actor.ts";
import type { Arbiter } from "./arbiter.ts";
import { compose } from "./compose.ts";
import { LastLook, type Parcel } from "./last_look.ts";
import type { PendingPushes } from "./pending.ts";
import { type Begun, Pump } from "./pump.ts";

/** What the worker works with. */
export interface OutboxWorkerParts {
  lease: Lease;
  outbox: Outbox;
  history: History | undefined;
  records: UserRecords;
  roster: Roster;
  arbiter: Arbiter;
  actor: SessionActor;
  pending: PendingPushes;
  providers: readonly PushProvider[];
  journal: Journal;
  counters: Counters;
  clock: Clock;
  random: Random;
  logger: Logger;
}

/** Pushes under way at the same time. */
const WIDTH = 64;
/** A provider that has not answered by then is asked again. */
const SEND_TIMEOUT_MS = 30_000;
const FIRST_BACKOFF_MS = 1_000;
const LAST_BACKOFF_MS = 60_000;

/** What was asked of a provider. */
interface Request {
  readonly parcel: Parcel;
  readonly result: Promise<PushResult>;
}

/** Takes pushes out of the outbox when they are due, looks once more whether they are needed, and asks the provider. */
export class OutboxWorker {
  readonly #parts: OutboxWorkerParts;
  readonly #lastLook: LastLook;
  readonly #pump: Pump;
  readonly #aborts = new Set<AbortController>();
  /** Targets that a coalesced push is on its way to. */
  readonly #coalescing = new Set<string>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: OutboxWorkerParts) {
    this.#parts = parts;
    this.#lastLook = new LastLook(parts);
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
    await this.#pump.close();
    for (const abort of this.#aborts) abort.abort();
    await this.#pump.landed();
  }

  async #begin(room: number): Promise<Begun> {
    const { clock, lease, outbox } = this.#parts;
    // A node whose lease has lapsed is woken when it has a new one.
    if (!lease.isHeld) return NOTHING;
    try {
      const { rows: due, nextDueAt } = await outbox.due(clock.now(), room);
      this.#sleepUntil(nextDueAt);
      const rows = due.filter((row) => this.#mayLeave(row));
      const answers = await Promise.allSettled(rows.map((row) => outbox.take(row.id)));
      const taken: OutboxRow[] = [];
      rows.forEach((row, index) => {
        const answer = answers[index]!;
        if (answer.status === "fulfilled" && answer.value) taken.push({ ...row, attempts: row.attempts + 1 });
        else this.#coalescing.delete(row.targetId);
      });
      // One that fails must not hold up those that were taken.
      const refused = answers.find((answer) => answer.status === "rejected");
      if (refused !== undefined) this.#failed(refused.reason);
      const byUser = Map.groupBy(taken, ({ userId }) => userId);
      return {
        flights: [...byUser].flatMap(([userId, ofUser]) => this.#launch(userId, ofUser)),
        more: taken.length > 0 && refused === undefined,
      };
    } catch (error) {
      this.#failed(error);
      return NOTHING;
    }
  }

  #failed(error: unknown): void {
    const { clock, logger } = this.#parts;
    logger.error("the outbox could not be read", { error });
    this.#sleepUntil(clock.now() + LAST_BACKOFF_MS);
  }

  /** Of a target's coalesced rows one leaves, and takes the others along. */
  #mayLeave({ coalesced, targetId }: OutboxRow): boolean {
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
   * user that are due share one, so that they do not wait for each other.
   */
  #launch(userId: string, rows: readonly OutboxRow[]): Promise<void>[] {
    const parcels = rows.map((row) => ({ row, taken: [row] }));
    const begun = this.#parts.records.exclusively(
      userId,
      () => Promise.allSettled(parcels.map(({ row, taken }) => this.#ask(row, taken))),
    );
    return parcels.map(({ row, taken }, index) =>
      this.#fly(row, taken, begun.then((requests) => requests[index]!))
        .catch((error: unknown) => this.#putBack(taken, error))
        .finally(() => {
          if (row.coalesced) this.#coalescing.delete(row.targetId);
        })
    );
  }

  /** What became of these could not be written down: rather asked twice, under the same id, than left under way for ever. */
  async #putBack(rows: readonly OutboxRow[], error: unknown): Promise<void> {
    const { clock, logger, outbox } = this.#parts;
    logger.error("a push could not be settled, it is tried again", { error });
    try {
      for (const { id } of rows) await outbox.retry(id, clock.now() + LAST_BACKOFF_MS, "its outcome could not be written down");
    } catch {
      // Opening the outbox again does the same.
    }
  }

  /**
   * @param rows what was taken for this push: the row, and what leaves together with it
   * @returns undefined: it ended here
   */
  async #ask(row: OutboxRow, rows: OutboxRow[]): Promise<Request | undefined> {
    const { clock, lease, outbox } = this.#parts;
    const { term } = lease;
    const parcel = await this.#lastLook.at(row);
    if ("end" in parcel) return void await this.#settle([row], parcel.end, parcel.note);
    if (row.coalesced) await this.#join(row, rows);
    // Nobody waits for a node whose lease has lapsed: what it looked at before that may have ended.
    if (!lease.isHeld || lease.term !== term) {
      await Promise.all(rows.map(({ id }) => outbox.retry(id, clock.now(), "the node lost its lease")));
      return undefined;
    }
    return { parcel, result: this.#send(parcel, rows.length) };
  }

  async #fly(row: OutboxRow, rows: OutboxRow[], begun: Promise<PromiseSettledResult<Request | undefined>>): Promise<void> {
    const { clock, outbox } = this.#parts;
    const request = await begun;
    if (request.status === "rejected") throw request.reason;
    if (request.value === undefined) return;
    const { parcel } = request.value;
    const result = await request.value.result;
    switch (result.verdict) {
      case "sent":
        return await this.#settle(rows, "sent", result.info ?? parcel.provider.name);
      case "rejected":
        return await this.#settle(rows, "rejected", result.reason);
      case "gone":
        await this.#settle(rows, "gone", result.reason);
        return await this.#disable(row, result.reason);
      case "retry": {
        this.#parts.counters.pushesRetried += rows.length;
        const dueAt = clock.now() + (result.afterMs ?? this.#backoff(row.attempts));
        for (const each of rows) {
          this.#note(each, "push-retry", result.reason);
          await outbox.retry(each.id, dueAt, result.reason);
        }
      }
    }
  }

  /** Adds the other rows that leave with a coalesced one. */
  async #join(row: OutboxRow, rows: OutboxRow[]): Promise<void> {
    const { outbox } = this.#parts;
    for (const other of await outbox.coalescedOf(row.targetId)) {
      if (other.userId !== row.userId || !await outbox.take(other.id)) continue;
      const taken = { ...other, attempts: other.attempts + 1 };
      rows.push(taken);
      const look = await this.#lastLook.at(other);
      if (!("end" in look)) continue;
      await this.#settle([other], look.end, look.note);
      rows.splice(rows.indexOf(taken), 1);
    }
  }

  async #send({ row, target, provider, entry }: Parcel, waiting: number): Promise<PushResult> {
    const { clock } = this.#parts;
    const abort = new AbortController();
    this.#aborts.add(abort);
    const timeout = clock.setTimeout(() => abort.abort(), SEND_TIMEOUT_MS);
    const aborted = new Promise<PushResult>((resolve) => {
      abort.signal.addEventListener("abort", () => resolve({ verdict: "retry", reason: "no answer in time" }), { once: true });
    });
    try {
      return await Promise.race([
        provider.send(target.token, compose(row, entry.bytes, waiting, clock.now()), { signal: abort.signal }),
        aborted,
      ]);
    } catch {
      // A provider must not throw; what it threw might hold a token, so it is not told.
      return { verdict: "retry", reason: "the provider failed" };
    } finally {
      clock.clearTimeout(timeout);
      this.#aborts.delete(abort);
    }
  }

  #backoff(attempts: number): number {
    const most = Math.min(FIRST_BACKOFF_MS * 2 ** (attempts - 1), LAST_BACKOFF_MS);
    return most * (0.5 + this.#parts.random.fraction() / 2);
  }

  async #settle(rows: readonly OutboxRow[], end: OutboxEnd, note: string): Promise<void> {
    const { counters, outbox, pending } = this.#parts;
    await outbox.settle(rows.map(({ id }) => id), end, note);
    for (const row of rows) {
      if (end === "dropped") {
        pending.dropped(row, note);
        continue;
      }
      pending.settled(row);
      if (end === "sent") counters.pushesSent++;
      else if (end === "rejected") counters.pushesRejected++;
      this.#note(row, NOTES[end], note);
    }
  }

  /** A dead target stays to be seen, with its reason; nothing more is sent to it. */
  async #disable(row: OutboxRow, reason: string): Promise<void> {
    const { actor, clock, counters, pending, records, roster } = this.#parts;
    counters.targetsGone++;
    const record = await records.update(row.userId, (record) => {
      const session = sessionOf(record, row.deviceId);
      if (session === undefined) return undefined;
      const disabled = { reason, at: clock.now() };
      const targets = session.targets.map((target) => target.id === row.targetId ? { ...target, disabled } : target);
      return { record: withSession(record, { ...session, targets }) };
    });
    await pending.dropNow({ userId: row.userId, targetId: row.targetId }, "the target is gone");
    const session = roster.find(row.userId, row.deviceId);
    const left = sessionOf(record, row.deviceId)?.targets.some(({ disabled }) => disabled === undefined);
    if (session !== undefined && left !== true) actor.raise(session, SessionEvent["target.none"]);
  }

  #note(row: OutboxRow, kind: NoteKind, detail: string): void {
    const entry = { id: row.messageId, topic: row.topic, position: row.position };
    this.#parts.journal.note(entry, { userId: row.userId, device: deviceName(row.deviceId) }, kind, detail);
  }
}

const NOTHING: Begun = { flights: [], more: false };

const NOTES = { sent: "push-sent", gone: "push-gone", rejected: "push-rejected", expired: "expired" } as const;
