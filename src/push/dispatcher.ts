import type { Counters } from "../delivery/counters.ts";
import type { Journal, NoteKind } from "../delivery/journal.ts";
import { sessionOf, type UserRecords, withSession } from "../delivery/records.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName } from "../delivery/session.ts";
import { addressOf, isEnabled } from "../delivery/target.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import type { PushResult } from "../ports/push_provider.ts";
import { isPublic } from "../protocol/names.ts";
import type { Random } from "../ports/random.ts";
import type { Policy } from "../session/policy.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "../delivery/actor.ts";
import { compose } from "./compose.ts";
import type { Found, LastLook, Look, Parcel } from "./last_look.ts";
import { type Pace, WAITS_FOR_TURN } from "./pace.ts";
import { NOT_ASKED, type PendingPushes } from "./pending.ts";
import type { RestingTargets } from "./resting.ts";

/** What dispatching works with. */
export interface DispatcherParts {
  lastLook: LastLook;
  lease: Lease;
  outbox: Outbox;
  records: UserRecords;
  roster: Roster;
  actor: SessionActor;
  pending: PendingPushes;
  resting: RestingTargets;
  pace: Pace;
  policy: Pick<Policy, "leftMs">;
  journal: Journal;
  counters: Counters;
  clock: Clock;
  random: Random;
  logger: Logger;
}

/** A provider that has not answered by then is asked again. */
const SEND_TIMEOUT_MS = 30_000;
const FIRST_BACKOFF_MS = 1_000;
const LAST_BACKOFF_MS = 60_000;
/** A provider is not asked again sooner, whatever it says: its answers must not make a loop. */
const LEAST_PAUSE_MS = 1_000;
/** Between two tries to write down what became of a push. */
const INSIST_MS = 1_000;

const CLOSED = "the node closed before it left";
const LAPSED = "the node lost its lease before it left";

/** Rows that were taken to leave as one push, and what was read for the last look at each. */
export interface Looked {
  readonly rows: readonly { readonly row: OutboxRow; readonly found: Found }[];
  /** The lease's term at the look. */
  readonly term: number;
}

interface LookedAt {
  readonly row: OutboxRow;
  readonly look: Look;
}

/** Sends what was taken out of the outbox: one more look whether it is needed, the request, and what became of it. */
export class Dispatcher {
  readonly #parts: DispatcherParts;
  readonly #aborts = new Set<AbortController>();
  /** Waits between two tries, and what ends them. */
  readonly #naps = new Map<Timer, () => void>();
  #closed = false;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  /** Asks no provider any more, and gives up what is under way: the next start goes on with it. */
  close(): void {
    this.#closed = true;
    for (const abort of this.#aborts) abort.abort();
    for (const [timer, end] of this.#naps) {
      this.#parts.clock.clearTimeout(timer);
      end();
    }
  }

  /**
   * Reads what the last look needs.
   * @param groups rows of one user that were taken; those of a group leave as one push
   */
  async read(groups: readonly (readonly OutboxRow[])[]): Promise<Looked[]> {
    const { lastLook, lease } = this.#parts;
    const { term } = lease;
    const found = await lastLook.read(groups.flat());
    return groups.map((rows) => ({ rows: rows.map((row) => ({ row, found: found.get(row.id)! })), term }));
  }

  /**
   * Looks for the last time and asks the provider, in one turn: what was looked at has no time to change.
   * @param sent called when the provider has taken it: what follows it may leave, though that is not written down yet
   * @returns resolves when it is written down what became of all rows
   */
  begin({ rows: read, term }: Looked, sent: () => void): Promise<void> {
    const { lastLook, lease, pace, pending } = this.#parts;
    const rows = read.map(({ row, found }) => ({ row, look: lastLook.at(row, found) }));
    const leaving = rows.flatMap(({ look }) => "provider" in look ? [look] : []);
    // No node waits for one whose lease has lapsed: what it looked at before that may have ended.
    const mayAsk = !this.#closed && lease.isHeld && lease.term === term;
    if (!mayAsk || leaving.length === 0) return this.#finish(rows, leaving, undefined);
    const end = pace.leave(leaving[0]!.row);
    if (end === undefined) return this.#wait(rows, leaving);
    for (const { row } of leaving) pending.asked(row);
    const result = this.#send(leaving[0]!, countOf(leaving)).then((result) => {
      end(result.verdict === "sent");
      if (result.verdict === "sent") sent();
      return result;
    });
    return this.#finish(rows, leaving, result);
  }

  async #finish(
    rows: readonly LookedAt[],
    leaving: readonly Parcel[],
    result: Promise<PushResult> | undefined,
  ): Promise<void> {
    const { clock } = this.#parts;
    for (const { row, isReleased } of leaving) if (isReleased) this.#note(row, "push-released", this.#noInput);
    await this.#stay(rows);
    if (result !== undefined) await this.#land(leaving, await result);
    else await this.#again(leaving.map(({ row }) => row), clock.now(), NOT_ASKED + (this.#closed ? CLOSED : LAPSED));
  }

  /** Others left meanwhile: these wait for the next push that may leave for their target. */
  async #wait(rows: readonly LookedAt[], leaving: readonly Parcel[]): Promise<void> {
    const dueAt = this.#parts.pace.nextAt(leaving[0]!.row.targetId);
    for (const { row } of leaving) this.held(row, WAITS_FOR_TURN);
    await this.#stay(rows);
    await this.#again(leaving.map(({ row }) => row), dueAt, NOT_ASKED + WAITS_FOR_TURN);
  }

  /** Those of which no provider is asked end here, or wait. */
  async #stay(rows: readonly LookedAt[]): Promise<void> {
    for (const { row, look } of rows) {
      if ("end" in look) await this.#settle([row], look.end, look.note);
      else if ("until" in look) {
        this.#note(row, "push-held", look.note);
        await this.insist(() => this.#parts.outbox.retry([row], look.until, NOT_ASKED + look.note));
      }
    }
  }

  /** @param leaving what the push stands for; the one it is named after comes first */
  async #land(leaving: readonly Parcel[], result: PushResult): Promise<void> {
    const { clock, counters } = this.#parts;
    const parcel = leaving[0]!;
    const rows = leaving.map(({ row }) => row);
    switch (result.verdict) {
      case "sent":
        await this.#settle(rows, "sent", sentNote(result.info ?? parcel.provider.name, leaving));
        for (const one of leaving) this.#tellOthers(one, sentNote(result.info ?? parcel.provider.name, leaving));
        return;
      case "rejected":
        return await this.#settle(rows, "rejected", result.reason);
      case "gone":
        // A token that was replaced meanwhile says nothing about the one that is there now.
        if (await this.#disable(parcel, result.reason)) return await this.#settle(rows, "gone", result.reason);
        return await this.#again(rows, clock.now(), "the token was replaced");
      case "retry":
        counters.pushesRetried += rows.length;
        for (const row of rows) this.#note(row, "push-retry", result.reason);
        return await this.#retry(rows, result);
    }
  }

  async #retry(rows: readonly OutboxRow[], { afterMs, reason }: Extract<PushResult, { verdict: "retry" }>): Promise<void> {
    const { clock, resting } = this.#parts;
    const { attempts, targetId } = rows[0]!;
    // What makes no sense counts as nothing said.
    const isSaid = typeof afterMs === "number" && !Number.isNaN(afterMs);
    const dueAt = clock.now() + (isSaid ? Math.max(afterMs, LEAST_PAUSE_MS) : this.#backoff(attempts));
    // Said of the target: what else waits for it waits too.
    if (isSaid) await this.insist(() => resting.rest(targetId, dueAt));
    await this.#again(rows, dueAt, reason);
  }

  async #again(rows: readonly OutboxRow[], dueAt: number, note: string): Promise<void> {
    for (const [until, together] of Map.groupBy(rows, ({ expiresAt }) => Math.min(dueAt, expiresAt))) {
      await this.insist(() => this.#parts.outbox.retry(together, until, note));
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
      const result = await Promise.race([
        provider.send(addressOf(target), compose(row, entry, waiting, clock.now()), { signal: abort.signal }),
        aborted,
      ]);
      return isVerdict(result) ? inWords(result) : { verdict: "retry", reason: "the provider's answer is no verdict" };
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
    await this.insist(() => outbox.settle(rows.map(({ id }) => id), end, note));
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

  /**
   * A dead target stays to be seen, with its reason; nothing more is sent to it.
   * @returns false: it is not the session's target any more
   */
  async #disable({ row, target: { id } }: Parcel, reason: string): Promise<boolean> {
    const { actor, clock, counters, pending, records, roster } = this.#parts;
    const { userId, deviceId, targetId } = row;
    let isThere = false;
    let isLeft = false;
    await this.insist(async () => {
      const record = await records.update(userId, (record) => {
        const session = sessionOf(record, deviceId);
        isThere = session?.targets.some((target) => target.id === id) === true;
        if (session === undefined || !isThere) return undefined;
        const disabled = { reason, at: clock.now() };
        const targets = session.targets.map((target) => target.id === id ? { ...target, disabled } : target);
        return { record: withSession(record, { ...session, targets }) };
      });
      isLeft = sessionOf(record, deviceId)?.targets.some(isEnabled) === true;
      if (isThere) await pending.dropNow({ userId, deviceId, targetId }, "the target is gone");
    });
    if (!isThere) return false;
    counters.targetsGone++;
    const session = roster.find(userId, deviceId);
    if (session !== undefined && !isLeft) actor.raise(session, SessionEvent["target.none"]);
    return true;
  }

  /**
   * Writes down what became of a push, again and again while the storage refuses: asking the provider twice would be worse.
   * What can't be written before the engine closes is asked again after the next start.
   */
  async insist(write: () => Promise<void>): Promise<void> {
    const { clock, logger } = this.#parts;
    for (;;) {
      try {
        return await write();
      } catch (error) {
        logger.error("what became of a push could not be written down, it is tried again", { error });
      }
      if (this.#closed) return;
      await new Promise<void>((resolve) => {
        const timer = clock.setTimeout(() => {
          this.#naps.delete(timer);
          resolve();
        }, INSIST_MS);
        this.#naps.set(timer, resolve);
      });
    }
  }

  /** A row does not leave yet: tells why. */
  held(row: OutboxRow, why: string): void {
    this.#note(row, "push-held", why);
  }

  get #noInput(): string {
    const { leftMs } = this.#parts.policy;
    const minutes = leftMs / 60_000;
    if (!Number.isInteger(minutes)) return `no input for ${leftMs / 1_000} s`;
    return minutes === 1 ? "no input for a minute" : `no input for ${minutes} minutes`;
  }

  /** Messages of a private topic that a row stood for have no row of their own to tell of. */
  #tellOthers({ row, others }: Parcel, note: string): void {
    const { topic, userId, deviceId } = row;
    if (isPublic(topic)) return;
    for (const entry of others) {
      this.#parts.journal.note(entry, { userId, device: deviceName(deviceId) }, "push-sent", note);
    }
  }

  #note(row: OutboxRow, kind: NoteKind, detail: string): void {
    const entry = { id: row.messageId, topic: row.topic, position: row.position };
    this.#parts.journal.note(entry, { userId: row.userId, device: deviceName(row.deviceId) }, kind, detail);
  }
}

/** A provider without types may answer anything. */
function isVerdict(result: Partial<PushResult> | undefined | null): result is PushResult {
  return VERDICTS.includes(result?.verdict as PushResult["verdict"]);
}

/** Its words go into the books, where nothing but text can stand. */
function inWords(result: PushResult): PushResult {
  if (result.verdict !== "sent") return typeof result.reason === "string" ? result : { ...result, reason: "no reason given" };
  return result.info === undefined || typeof result.info === "string" ? result : { verdict: "sent" };
}

const VERDICTS: readonly PushResult["verdict"][] = Object.freeze(["sent", "gone", "rejected", "retry"]);

/** Of a push that stands for several the note names the message that it is known by. */
function sentNote(info: string, leaving: readonly Parcel[]): string {
  const count = countOf(leaving);
  const others = count === 2 ? "another one" : `${count - 1} others`;
  const named = leaving[0]!;
  return count === 1 ? info : `${info}, in one push with ${others}, under the name of ${named.entry.id}`;
}

/** How many messages a push stands for. */
function countOf(leaving: readonly Parcel[]): number {
  return leaving.reduce((sum, { others }) => sum + 1 + others.length, 0);
}

const NOTES = { sent: "push-sent", gone: "push-gone", rejected: "push-rejected", expired: "expired" } as const;
