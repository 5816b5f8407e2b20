import type { Clock } from "../ports/clock.ts";
import type { OutboxRow } from "../ports/outbox.ts";
import { NOT_ASKED } from "./pending.ts";

/** Pushes that leave for a target as they come … */
const BURST = 5;
/** … within this time. */
const WITHIN_MS = 60_000;
/** What waits for its turn leaves within this time of it. */
const TURN_MS = 2_000;
/** Targets that are remembered. Of more those are forgotten that nothing left for the longest: they may get a burst again. */
const REMEMBERED = 10_000;

/** Why a push waits, as it is told. */
export const WAITS_FOR_TURN = "many came within a minute: waits for the next push that may leave";
/** The note of a row that waits for its turn. */
const NOTE = NOT_ASKED + WAITS_FOR_TURN;

type Paced = Pick<OutboxRow, "note" | "silent" | "targetId" | "urgency">;

interface Target {
  /** When the last ones left, monotonic, {@link BURST} at most. */
  readonly times: number[];
  isPaced: boolean;
  /** Something was told to wait since the last one left. */
  isWaitedFor: boolean;
}

/**
 * How often a person is told of something at one target: after {@link BURST} pushes within a minute one leaves per `coalesceMs`, for
 * all that waits, until nothing came for so long. A high urgency is never kept waiting. Silent pushes tell a person nothing: they
 * neither wait nor count.
 *
 * Each node counts what it sends itself, and begins anew with a restart, but for targets that something waits for then.
 */
export class Pace {
  readonly #coalesceMs: number;
  readonly #clock: Clock;
  /** Those that were asked about the longest ago come first, but for those that are waited for. */
  readonly #targets = new Map<string, Target>();

  constructor(coalesceMs: number, clock: Clock) {
    this.#coalesceMs = coalesceMs;
    this.#clock = clock;
  }

  /** How many targets are remembered. */
  get remembered(): number {
    return this.#targets.size;
  }

  /** Rows from before this node began: a target keeps the turn that they wait for, or what is new would overtake them. */
  restored(rows: readonly OutboxRow[]): void {
    const now = this.#clock.elapsed();
    for (const { dueAt, note, targetId } of rows) {
      if (note !== NOTE || this.#coalesceMs === 0) continue;
      // Where the clock was set back meanwhile, no push waits longer for that.
      const waitMs = Math.min(dueAt - this.#clock.now(), this.#coalesceMs);
      const last = Math.max(now + waitMs - this.#coalesceMs, this.#targets.get(targetId)?.times.at(-1) ?? -Infinity);
      this.#targets.set(targetId, { times: [last], isPaced: true, isWaitedFor: true });
      this.#forget(targetId, now);
    }
  }

  /** Whether a push may leave now; it is remembered that it waits where not. */
  mayLeave(row: Paced): boolean {
    if (this.#isFree(row)) return true;
    const now = this.#clock.elapsed();
    const target = this.#find(row, now);
    const mayLeave = row.urgency === "high" || !target.isPaced || now >= this.#nextOf(target);
    if (!mayLeave) target.isWaitedFor = true;
    return mayLeave;
  }

  /** Whether a push has to wait, as far as is known by now. Nothing is remembered. */
  waits(row: Paced): boolean {
    return isPatient(row) && this.isPaced(row.targetId) && this.#clock.elapsed() < this.#nextOf(this.#targets.get(row.targetId)!);
  }

  /** Whether what waits for a target leaves as one push. */
  isPaced(targetId: string): boolean {
    return this.#targets.get(targetId)?.isPaced === true;
  }

  /**
   * A push that may leave does so now.
   * @returns what is to be called when it has ended, for what did not arrive does not count
   */
  leave(row: Paced): (isSent: boolean) => void {
    if (this.#isFree(row)) return nothing;
    const now = this.#clock.elapsed();
    const target = this.#find(row, now);
    // A turn is not used up by what needs none.
    if (target.isPaced && now < this.#nextOf(target)) return nothing;
    const { times } = target;
    times.push(now);
    if (times.length > BURST) times.shift();
    target.isWaitedFor = false;
    return (isSent) => {
      const index = isSent ? -1 : times.lastIndexOf(now);
      if (index >= 0) times.splice(index, 1);
    };
  }

  /** When the next push may leave for a target. Milliseconds since 1970, whole. */
  nextAt(targetId: string): number {
    const target = this.#targets.get(targetId);
    const waitMs = target?.isPaced ? Math.max(0, this.#nextOf(target) - this.#clock.elapsed()) : 0;
    return Math.ceil(this.#clock.now() + waitMs);
  }

  #isFree({ silent }: Paced): boolean {
    return silent === true || this.#coalesceMs === 0;
  }

  #nextOf({ times }: Target): number {
    return (times.at(-1) ?? -Infinity) + this.#coalesceMs;
  }

  /** A target, with whether it is paced from now on, or no longer. */
  #find({ note, targetId }: Paced, now: number): Target {
    const target = this.#targets.get(targetId) ?? { times: [], isPaced: false, isWaitedFor: false };
    this.#targets.delete(targetId);
    this.#targets.set(targetId, target);
    const { isPaced, times } = target;
    // What waits stands before what is new. Where that comes long after the turn, what waited was dropped meanwhile.
    if (note === undefined && now >= this.#nextOf(target) + TURN_MS) target.isWaitedFor = false;
    const isBurst = times.length === BURST && times[0]! > now - WITHIN_MS;
    target.isPaced = isBurst || (isPaced && (target.isWaitedFor || now < this.#nextOf(target)));
    this.#forget(targetId, now);
    return target;
  }

  #forget(known: string, now: number): void {
    const past = now - Math.max(WITHIN_MS, this.#coalesceMs);
    for (const [id, target] of this.#targets) {
      if (id === known) break;
      const isPast = (target.times.at(-1) ?? -Infinity) < past;
      const isFull = this.#targets.size > REMEMBERED;
      if (!isPast && !isFull) break;
      this.#targets.delete(id);
      // What is waited for may never be asked about again: it must not keep those behind it. It goes behind them.
      if (target.isWaitedFor && !isFull) this.#targets.set(id, target);
    }
  }
}

/** Whether a row is kept waiting where its target is paced. */
export function isPatient({ silent, urgency }: Paced): boolean {
  return silent !== true && urgency !== "high";
}

function nothing(): void {}
