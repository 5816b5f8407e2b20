import type { Journal } from "../delivery/journal.ts";
import type { Clock } from "../ports/clock.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import { NOT_ASKED } from "./pending.ts";
import { tell } from "./tell.ts";

/** Targets that are remembered; of more those are forgotten that began to rest the longest ago. */
const REMEMBERED = 10_000;

/** A target whose own fault a reply may be rests for so long at first, for twice as long each time, and at most … */
const FIRST_REST_MS = 60_000;
const LAST_REST_MS = 3_600_000;

/** Why a row waits, as it is told, begins so. */
const TARGET_RESTS = "its target rests: ";

/** A target that its provider is not asked for. */
export interface Rest {
  /** Milliseconds since 1970. */
  readonly until: number;
  /** What its provider said last. */
  readonly reason: string;
}

interface KnownRest extends Rest {
  readonly since: number;
  /** The reply may be the target's own fault. Else its provider asked for a pause. */
  readonly isDoubted: boolean;
}

/** Targets that a provider does not want to be asked for before some time: their rows are due then, the new ones too. */
export class RestingTargets {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #rests = new Map<string, KnownRest>();
  /** Walks over them, so that rests that are over are forgotten without a timer, also those of targets that get no push any more. */
  #round: Iterator<[string, KnownRest]>;
  /** How often in a row a reply may have been the target's own fault. */
  readonly #doubted = new Map<string, number>();

  constructor(outbox: Outbox, journal: Journal, clock: Clock) {
    this.#outbox = outbox;
    this.#journal = journal;
    this.#clock = clock;
    this.#round = this.#rests.entries();
  }

  /** How many rests are remembered. */
  get remembered(): number {
    return this.#rests.size;
  }

  /**
   * A reply may be this target's own fault.
   * @returns until when it is to rest
   */
  doubt(targetId: string): number {
    const times = this.#doubted.get(targetId) ?? 0;
    remember(this.#doubted, targetId, times + 1);
    return this.#clock.now() + Math.min(FIRST_REST_MS * 2 ** times, LAST_REST_MS);
  }

  /** It takes pushes. */
  trust(targetId: string): void {
    this.#doubted.delete(targetId);
  }

  /** Nothing leaves for this target before then. */
  async rest(targetId: string, rest: Omit<KnownRest, "since">): Promise<void> {
    const now = this.#clock.now();
    remember(this.#rests, targetId, { ...rest, since: now });
    // Two for one: they don't become more than a few times those that rest.
    this.#forgetNext(now);
    this.#forgetNext(now);
    await this.postpone([targetId]);
  }

  /**
   * The target was registered by its client: another one that is there now has nothing to do with what was said of the former one,
   * and the same one may be right by now. But a client that registers it again and again does not have it tried all the time.
   * @returns whether what waits for it may be tried
   */
  registered(targetId: string, isAnother: boolean): boolean {
    const rest = this.#rests.get(targetId);
    const isRight = rest?.isDoubted === true && this.#clock.now() - rest.since >= FIRST_REST_MS;
    if (isAnother) this.trust(targetId);
    if (isAnother || isRight) this.#rests.delete(targetId);
    return isAnother || isRight;
  }

  rests(targetId: string): boolean {
    return this.restOf(targetId) !== undefined;
  }

  /** Undefined: it does not rest. */
  restOf(targetId: string): Rest | undefined {
    const rest = this.#rests.get(targetId);
    if (rest === undefined) return undefined;
    const { reason, until } = rest;
    if (until > this.#clock.now()) return { reason, until };
    this.#rests.delete(targetId);
    return undefined;
  }

  /** Of these targets those that rest: what waits for them is due at the end of that. Rows of another node may have come since. */
  async postpone(targetIds: readonly string[]): Promise<void> {
    await Promise.all([...new Set(targetIds)].map(async (targetId) => {
      const rest = this.restOf(targetId);
      if (rest === undefined) return;
      const { until, reason } = rest;
      const rows = (await this.#outbox.waiting([targetId])).filter(({ dueAt }) => dueAt < until);
      if (rows.length === 0) return;
      const why = TARGET_RESTS + reason;
      await this.#outbox.postpone(rows.map(({ id }) => id), until, NOT_ASKED + why);
      for (const row of rows) tell(this.#journal, row, "push-held", why, { until: Math.min(until, row.expiresAt) });
    }));
  }

  #forgetNext(now: number): void {
    const next = this.#round.next();
    if (next.done) {
      this.#round = this.#rests.entries();
      return;
    }
    const [targetId, { until }] = next.value;
    if (until <= now) this.#rests.delete(targetId);
  }
}

/** Whether a row was put off for its target rested. */
export function waitsForTarget({ note }: OutboxRow): boolean {
  return note?.startsWith(NOT_ASKED + TARGET_RESTS) === true;
}

function remember<Value>(map: Map<string, Value>, targetId: string, value: Value): void {
  map.delete(targetId);
  map.set(targetId, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value!);
}
