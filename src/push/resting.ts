import type { Clock } from "../ports/clock.ts";
import type { Outbox } from "../ports/outbox.ts";
import { NOT_ASKED } from "./pending.ts";

/** Targets that are remembered; of more those are forgotten that began to rest the longest ago. */
const REMEMBERED = 10_000;

/** A target whose own fault a reply may be rests for so long at first, for twice as long each time, and at most … */
const FIRST_REST_MS = 60_000;
const LAST_REST_MS = 3_600_000;

const RESTS = `${NOT_ASKED}its provider asked for a pause`;

/** Targets that a provider does not want to be asked for before some time: their rows are due then, the new ones too. */
export class RestingTargets {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  /** Until when, milliseconds since 1970. */
  readonly #until = new Map<string, number>();
  /** How often in a row a reply may have been the target's own fault. */
  readonly #doubted = new Map<string, number>();

  constructor(outbox: Outbox, clock: Clock) {
    this.#outbox = outbox;
    this.#clock = clock;
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
  async rest(targetId: string, until: number): Promise<void> {
    remember(this.#until, targetId, until);
    await this.postpone([targetId]);
  }

  rests(targetId: string): boolean {
    const until = this.#until.get(targetId);
    if (until === undefined) return false;
    if (until > this.#clock.now()) return true;
    this.#until.delete(targetId);
    return false;
  }

  /** Of these targets those that rest: what waits for them is due at the end of that. Rows of another node may have come since. */
  async postpone(targetIds: readonly string[]): Promise<void> {
    const resting = [...new Set(targetIds)].filter((targetId) => this.rests(targetId));
    await Promise.all(resting.map(async (targetId) => {
      const until = this.#until.get(targetId)!;
      const waiting = await this.#outbox.waiting([targetId]);
      const ids = waiting.filter(({ dueAt }) => dueAt < until).map(({ id }) => id);
      if (ids.length > 0) await this.#outbox.postpone(ids, until, RESTS);
    }));
  }
}

function remember(map: Map<string, number>, targetId: string, value: number): void {
  map.delete(targetId);
  map.set(targetId, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value!);
}
