import type { Clock } from "../ports/clock.ts";
import type { OutboxRow } from "../ports/outbox.ts";

/** Pushes that leave for a target as they come … */
const BURST = 5;
/** … within this time. */
const WITHIN_MS = 60_000;
/** Targets that are remembered. Of more those are forgotten that nothing left for the longest: they may get a burst again. */
const REMEMBERED = 20_000;

/** A push that may leave now. */
export interface Departure {
  /** The target is paced: whatever else waits for it leaves in the same push. */
  readonly isPaced: boolean;
  /** It has ended. What did not arrive does not count. */
  end(isSent: boolean): void;
}

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
 * Each node counts what it sends itself, and begins anew with a restart.
 */
export class Pace {
  readonly #coalesceMs: number;
  readonly #clock: Clock;
  /** Those that were asked about the longest ago come first. */
  readonly #targets = new Map<string, Target>();

  constructor(coalesceMs: number, clock: Clock) {
    this.#coalesceMs = coalesceMs;
    this.#clock = clock;
  }

  /** @returns undefined: the push is to wait, until `nextAt` at least */
  begin({ silent, targetId, urgency }: Pick<OutboxRow, "silent" | "targetId" | "urgency">): Departure | undefined {
    if (silent === true || this.#coalesceMs === 0) return UNCOUNTED;
    const now = this.#clock.elapsed();
    const target = this.#find(targetId, now);
    this.#look(target, now);
    if (target.isPaced) {
      if (urgency === "high") return UNCOUNTED;
      if (now < this.#nextOf(target)) {
        target.isWaitedFor = true;
        return undefined;
      }
    }
    const { isPaced, times } = target;
    times.push(now);
    if (times.length > BURST) times.shift();
    target.isWaitedFor = false;
    const end = (isSent: boolean): void => {
      const index = isSent ? -1 : times.lastIndexOf(now);
      if (index >= 0) times.splice(index, 1);
    };
    return { isPaced, end };
  }

  /** When the next push may leave for a target. Milliseconds since 1970, whole. */
  nextAt(targetId: string): number {
    const target = this.#targets.get(targetId);
    const waitMs = target?.isPaced ? Math.max(0, this.#nextOf(target) - this.#clock.elapsed()) : 0;
    return Math.ceil(this.#clock.now() + waitMs);
  }

  /** Whether a target is paced from now on, or no longer. */
  #look(target: Target, now: number): void {
    const { isPaced, isWaitedFor, times } = target;
    const isBurst = times.length === BURST && times[0]! > now - WITHIN_MS;
    target.isPaced = isBurst || (isPaced && (isWaitedFor || now < this.#nextOf(target)));
  }

  #nextOf({ times }: Target): number {
    return (times.at(-1) ?? -Infinity) + this.#coalesceMs;
  }

  #find(targetId: string, now: number): Target {
    const target = this.#targets.get(targetId) ?? { times: [], isPaced: false, isWaitedFor: false };
    this.#targets.delete(targetId);
    this.#targets.set(targetId, target);
    const past = now - Math.max(WITHIN_MS, this.#coalesceMs);
    for (const [id, { isWaitedFor, times }] of this.#targets) {
      const isOver = !isWaitedFor && (times.at(-1) ?? -Infinity) < past;
      if (id === targetId || (!isOver && this.#targets.size <= REMEMBERED)) break;
      this.#targets.delete(id);
    }
    return target;
  }
}

const UNCOUNTED: Departure = Object.freeze({ isPaced: false, end: () => {} });
