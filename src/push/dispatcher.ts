import type { Counters } from "../delivery/counters.ts";
import type { Journal, NoteKind, PushFacts } from "../delivery/journal.ts";
import type { Lease } from "../delivery/lease.ts";
import { deviceName } from "../delivery/session.ts";
import { addressOf } from "../delivery/target.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import type { PushResult } from "../ports/push_provider.ts";
import type { Urgency } from "../protocol/message.ts";
import { isPublic } from "../protocol/names.ts";
import type { Random } from "../ports/random.ts";
import type { Policy } from "../session/policy.ts";
import { type Backlog, LAST_BACKOFF_MS, SAID } from "./backlog.ts";
import type { Composer } from "./composer.ts";
import type { Found, LastLook, Look, Parcel } from "./last_look.ts";
import { type Pace, WAITS_FOR_TURN } from "./pace.ts";
import { NOT_ASKED, type PendingPushes } from "./pending.ts";
import type { RestingTargets } from "./resting.ts";
import { type RestingServices, type Service, SERVICE_RESTS } from "./resting_services.ts";
import type { TargetChanges } from "./target_changes.ts";
import { tell } from "./tell.ts";
import { checkedVerdict, isTaken, laneOf } from "./verdict.ts";

/** What dispatching works with. */
export interface DispatcherParts {
  composer: Composer;
  lastLook: LastLook;
  lease: Lease;
  outbox: Outbox;
  pending: PendingPushes;
  resting: RestingTargets;
  services: RestingServices;
  backlog: Backlog;
  targets: TargetChanges;
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
/** A provider is not asked again sooner, whatever it says: its answers must not make a loop. */
const LEAST_PAUSE_MS = 1_000;
/** The last moment that a Date can say, milliseconds since 1970: a provider may ask for a pause without an end. */
const LAST_MOMENT = 8.64e15;
/** Between two tries to write down what became of a push. */
const INSIST_MS = 1_000;

/** From the least urgent on. */
const URGENCIES = ["very-low", "low", "normal", "high"] as const satisfies Urgency[];

const NO_ANSWER: PushResult = Object.freeze({ verdict: "retry", reason: "no answer in time" });
const REPLACED = "the token was replaced, or registered anew";
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

  /** @returns the ids of those that were taken: the others have ended, or another row is there in their place */
  async take(rows: readonly OutboxRow[]): Promise<ReadonlySet<string>> {
    const { outbox, pending } = this.#parts;
    pending.taking(rows);
    const ids = new Set(await outbox.take(rows.map(({ id }) => id)));
    pending.taken(rows, ids);
    return ids;
  }

  /**
   * Reads what the last look needs.
   * @param groups rows of one user that were taken; those of a group leave as one push
   */
  async read(groups: readonly (readonly OutboxRow[])[]): Promise<Looked[]> {
    const { composer, lastLook, lease } = this.#parts;
    const { term } = lease;
    const rows = groups.flat();
    let found = await lastLook.read(rows);
    if (composer.isAsked) {
      const looks = rows.map((row) => lastLook.at(row, found.get(row.id)!));
      // What was read is old by the time that words were found.
      if (await composer.prepare(looks.filter((look) => "provider" in look))) found = await lastLook.read(rows);
    }
    return groups.map((rows) => ({ rows: rows.map((row) => ({ row, found: found.get(row.id)! })), term }));
  }

  /**
   * Looks for the last time and asks the provider, in one turn: what was looked at has no time to change.
   * @param sent called when the provider has taken it: what follows it may leave, though that is not written down yet
   * @returns resolves when it is written down what became of all rows
   */
  begin({ rows: read, term }: Looked, sent: () => void): Promise<void> {
    const { backlog, lastLook, lease, pace, pending, services } = this.#parts;
    const rows = read.map(({ row, found }) => ({ row, look: lastLook.at(row, found) }));
    const leaving = rows.flatMap(({ look }) => "provider" in look ? [look] : []);
    // No node waits for one whose lease has lapsed: what it looked at before that may have ended.
    const mayAsk = !this.#closed && lease.isHeld && lease.term === term;
    if (!mayAsk || leaving.length === 0) return this.#finish(rows, leaving, undefined);
    const { provider, row, target } = leaving[0]!;
    if (!pace.mayLeave(row)) return this.#wait(rows, leaving, pace.nextAt(row.targetId), WAITS_FOR_TURN);
    const service: Service = { provider: provider.name, lane: laneOf(provider, addressOf(target)) };
    const heard = services.ask(service, row.userId);
    if (heard === undefined) return this.#wait(rows, leaving, backlog.add(service, row), SERVICE_RESTS);
    const end = pace.leave(row);
    for (const { row } of leaving) pending.asked(row);
    const result = this.#send(asOne(leaving), countOf(leaving)).then((result) => {
      heard(result, result !== NO_ANSWER);
      // What waits for the service's sake is known to wait: it is not taken before its turn.
      if (result.verdict === "retry" && services.restsUntil(service) !== undefined) backlog.add(service, row);
      end(isTaken(result));
      if (isTaken(result)) sent();
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

  /** These may not leave before then. What waits for the same again is not told again. */
  async #wait(rows: readonly LookedAt[], leaving: readonly Parcel[], dueAt: number, why: string): Promise<void> {
    const note = NOT_ASKED + why;
    for (const { row } of leaving) if (row.note !== note || why !== SERVICE_RESTS) this.held(row, why, dueAt);
    await this.#stay(rows);
    await this.#again(leaving.map(({ row }) => row), dueAt, note);
  }

  /** Those of which no provider is asked end here, or wait. */
  async #stay(rows: readonly LookedAt[]): Promise<void> {
    for (const { row, look } of rows) {
      if ("end" in look) await this.#settle([row], look.end, look.note);
      else if ("until" in look) {
        this.held(row, look.note, look.until);
        await this.insist(() => this.#parts.outbox.retry([row], look.until, NOT_ASKED + look.note));
      }
    }
  }

  /** @param leaving what the push stands for; the one it is named after comes first */
  async #land(leaving: readonly Parcel[], result: PushResult): Promise<void> {
    const { clock, resting, targets } = this.#parts;
    const parcel = leaving[0]!;
    const { row, target } = parcel;
    const rows = leaving.map(({ row }) => row);
    switch (result.verdict) {
      case "replaced":
      case "sent": {
        const note = sentNote(result.info ?? parcel.provider.name, leaving);
        resting.trust(row.targetId);
        if (result.verdict === "replaced") {
          const became = await this.insist(() => targets.replace(row, target, result.token));
          if (became !== undefined) this.#note(row, "target-replaced", became, { target: target.id });
        }
        await this.#settle(rows, "sent", note, target.id, result.handle);
        for (const one of leaving) this.#tellOthers(one, note);
        return;
      }
      case "rejected":
        if (result.scope === "unclear") await this.#rest(parcel, resting.doubt(row.targetId), result.reason, true);
        return await this.#settle(rows, "rejected", result.reason, target.id);
      case "gone": {
        // A token that was replaced or registered anew meanwhile says nothing about the one that is there now.
        if (await this.insist(() => targets.disable(row, target, result.reason, result.since))) {
          return await this.#settle(rows, "gone", result.reason, target.id);
        }
        const until = clock.now() + LEAST_PAUSE_MS;
        for (const row of rows) this.#note(row, "push-retry", REPLACED, { target: target.id, until });
        return await this.#again(rows, until, REPLACED);
      }
      case "retry":
        return await this.#retry(parcel, rows, result);
    }
  }

  async #retry(
    parcel: Parcel,
    rows: readonly OutboxRow[],
    { afterMs, reason, scope }: Extract<PushResult, { verdict: "retry" }>,
  ): Promise<void> {
    const { clock, counters, resting } = this.#parts;
    const { attempts, targetId } = parcel.row;
    // What makes no sense counts as nothing said.
    const isSaid = typeof afterMs === "number" && !Number.isNaN(afterMs);
    const isUnclear = scope === "unclear";
    const unsaid = isUnclear ? resting.doubt(targetId) : clock.now() + this.#backoff(attempts);
    const dueAt = Math.ceil(isSaid ? Math.min(clock.now() + Math.max(afterMs, LEAST_PAUSE_MS), LAST_MOMENT) : unsaid);
    const note = isSaid ? SAID + reason : reason;
    counters.pushesRetried += rows.length;
    for (const row of rows) {
      this.#note(row, "push-retry", note, { target: parcel.target.id, until: Math.min(dueAt, row.expiresAt) });
    }
    // Said of the target: what else waits for it waits too.
    if (isUnclear || (isSaid && scope !== "service")) await this.#rest(parcel, dueAt, reason, isUnclear);
    await this.#again(rows, dueAt, note);
  }

  /** Nothing leaves for the target before then. */
  async #rest({ row, target }: Parcel, until: number, reason: string, isDoubted: boolean): Promise<void> {
    const { counters, resting } = this.#parts;
    counters.targetsRested++;
    this.#note(row, "target-rested", reason, { target: target.id, until });
    await this.insist(() => resting.rest(row.targetId, { until, reason, isDoubted }));
  }

  async #again(rows: readonly OutboxRow[], dueAt: number, note: string): Promise<void> {
    const { pending } = this.#parts;
    // Why a push became needless while it was under way is not known after a restart.
    const spared = rows.filter((row) => pending.whySpared(row) !== undefined);
    for (const row of spared) await this.#settle([row], "dropped", pending.whySpared(row)!);
    const left = rows.filter((row) => !spared.includes(row));
    for (const [until, together] of Map.groupBy(left, ({ expiresAt }) => Math.min(dueAt, expiresAt))) {
      await this.insist(() => this.#parts.outbox.retry(together, until, note));
    }
  }

  async #send(parcel: Parcel, waiting: number): Promise<PushResult> {
    const { clock, composer, lease } = this.#parts;
    const { target, provider } = parcel;
    const abort = new AbortController();
    this.#aborts.add(abort);
    const timeout = clock.setTimeout(() => abort.abort(), SEND_TIMEOUT_MS);
    const aborted = new Promise<PushResult>((resolve) => {
      abort.signal.addEventListener("abort", () => resolve(NO_ANSWER), { once: true });
    });
    try {
      const result = await Promise.race([
        provider.send(addressOf(target), composer.notification(parcel, waiting), { signal: abort.signal, nodes: lease.nodes }),
        aborted,
      ]);
      if (result === NO_ANSWER) return result;
      return checkedVerdict(result) ?? { verdict: "retry", reason: "the provider's answer is no verdict" };
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

  /** @param target where they were sent to, by its hash. Absent: no provider was asked */
  async #settle(rows: readonly OutboxRow[], end: OutboxEnd, note: string, target?: string, handle?: string): Promise<void> {
    const { counters, outbox, pending } = this.#parts;
    await this.insist(() => outbox.settle(rows.map(({ id }) => id), end, note, handle));
    for (const [index, row] of rows.entries()) {
      if (end === "dropped") {
        pending.dropped(row, note);
        continue;
      }
      pending.settled(row);
      // Those that are sent together are one push.
      counters[end === "sent" && index > 0 ? "pushesMerged" : ENDS[end].counter]++;
      this.#note(row, ENDS[end].kind, note, { target });
    }
  }

  /**
   * Writes down what became of a push, again and again while the storage refuses: asking the provider twice would be worse.
   * What can't be written before the engine closes is asked again after the next start.
   */
  async insist<Result>(write: () => Promise<Result>): Promise<Result | undefined> {
    const { clock, logger } = this.#parts;
    for (;;) {
      try {
        return await write();
      } catch (error) {
        logger.error("what became of a push could not be written down, it is tried again", { error });
      }
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        const timer = clock.setTimeout(() => {
          this.#naps.delete(timer);
          resolve();
        }, INSIST_MS);
        this.#naps.set(timer, resolve);
      });
    }
  }

  /** A row does not leave before then: tells why. */
  held(row: OutboxRow, why: string, until: number): void {
    this.#note(row, "push-held", why, { until: Math.min(until, row.expiresAt) });
  }

  get #noInput(): string {
    const { leftMs } = this.#parts.policy;
    const minutes = leftMs / 60_000;
    if (!Number.isInteger(minutes)) return `no input for ${leftMs / 1_000} s`;
    return minutes === 1 ? "no input for a minute" : `no input for ${minutes} minutes`;
  }

  /** Messages of a private topic that a row stood for have no row of their own to tell of. */
  #tellOthers({ row, others, target }: Parcel, note: string): void {
    const { provider, topic, userId, deviceId } = row;
    if (isPublic(topic)) return;
    for (const entry of others) {
      const who = { userId, device: deviceName(deviceId) };
      this.#parts.journal.note(entry, who, "push-sent", note, { provider, target: target.id });
    }
  }

  #note(row: OutboxRow, kind: NoteKind, detail: string, facts?: PushFacts): void {
    tell(this.#parts.journal, row, kind, detail, facts);
  }
}

/** Of a push that stands for several the note names the message that it is known by. */
function sentNote(info: string, leaving: readonly Parcel[]): string {
  const count = countOf(leaving);
  const others = count === 2 ? "another one" : `${count - 1} others`;
  const named = leaving[0]!;
  return count === 1 ? info : `${info}, in one push with ${others}, under the name of ${named.entry.id}`;
}

/** A push that stands for several is named after the first. It is as urgent as the most urgent, and worth keeping as long as any. */
function asOne(leaving: readonly Parcel[]): Parcel {
  const first = leaving[0]!;
  const rows = leaving.map(({ row }) => row);
  const urgency = URGENCIES.findLast((urgency) => rows.some((row) => row.urgency === urgency))!;
  return { ...first, row: { ...first.row, urgency, expiresAt: Math.max(...rows.map(({ expiresAt }) => expiresAt)) } };
}

/** How many messages a push stands for. */
function countOf(leaving: readonly Parcel[]): number {
  return leaving.reduce((sum, { others }) => sum + 1 + others.length, 0);
}

/** How an end is told and counted. */
const ENDS = {
  sent: { kind: "push-sent", counter: "pushesSent" },
  gone: { kind: "push-gone", counter: "pushesGone" },
  rejected: { kind: "push-rejected", counter: "pushesRejected" },
  expired: { kind: "expired", counter: "pushesExpired" },
} as const satisfies Partial<Record<OutboxEnd, { kind: NoteKind; counter: keyof Counters }>>;
