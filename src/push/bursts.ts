import type { Clock } from "../ports/clock.ts";

/** What is rare by itself is a burst when it happens within this time … */
const WITHIN_MS = 600_000;
/** Lanes that are remembered. Of more those are forgotten that began first. */
const REMEMBERED = 1_000;

/** How much makes a burst. */
export interface BurstLimits {
  /** … to so many users: one alone can't raise an alarm, whatever it registers. */
  readonly users: number;
  /** … and with at least this share of what happened in that time, between 0 and 1. */
  readonly share: number;
}

/** Many users were hit in a short time. */
export interface Burst {
  /** When the first one was, milliseconds since 1970. */
  readonly since: number;
  readonly users: number;
}

interface Lane {
  readonly since: number;
  lastAt: number;
  /** Users who were hit, as many as make a burst. */
  readonly users: Set<string>;
  hits: number;
  spared: number;
  isTold: boolean;
}

/** Finds out when something happens to many users of a lane within a short time. A burst lasts until no user is hit for that long. */
export class Bursts {
  readonly #limits: BurstLimits;
  readonly #clock: Clock;
  readonly #lanes = new Map<string, Lane>();

  constructor(limits: BurstLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** It happened to this user. @returns once for each burst */
  hit(lane: string, userId: string): Burst | undefined {
    const hit = this.#find(lane);
    hit.lastAt = this.#clock.now();
    if (hit.isTold) return undefined;
    hit.hits++;
    if (hit.users.size < this.#limits.users) hit.users.add(userId);
    const { hits, since, spared, users } = hit;
    if (users.size < this.#limits.users || hits < this.#limits.share * (hits + spared)) return undefined;
    hit.isTold = true;
    return { since, users: users.size };
  }

  /** It did not happen to a user. */
  spared(lane: string): void {
    const hit = this.#lanes.get(lane);
    if (hit !== undefined) hit.spared++;
  }

  #find(lane: string): Lane {
    const now = this.#clock.now();
    const known = this.#lanes.get(lane);
    if (known !== undefined && now - (known.isTold ? known.lastAt : known.since) < WITHIN_MS) return known;
    const begun = { since: now, lastAt: now, users: new Set<string>(), hits: 0, spared: 0, isTold: false };
    this.#lanes.delete(lane);
    this.#lanes.set(lane, begun);
    if (this.#lanes.size > REMEMBERED) this.#lanes.delete(this.#lanes.keys().next().value!);
    return begun;
  }
}
