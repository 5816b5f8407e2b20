import type { Clock } from "../ports/clock.ts";
import type { Outbox } from "../ports/outbox.ts";
import { NOT_ASKED } from "./pending.ts";

/** Targets that are remembered; of more those are forgotten that began to rest the longest ago. */
const REMEMBERED = 10_000;

const RESTS = `${NOT_ASKED}its provider asked for a pause`;

/** Targets that a provider does not want to be asked for before some time: their rows are due then, the new ones too. */
export class RestingTargets {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  /** Until when, milliseconds since 1970. */
  readonly #until = new Map<string, number>();

  constructor(outbox: Outbox, clock: Clock) {
    this.#outbox = outbox;
    this.#clock = clock;
  }

  /** Nothing leaves for this target before then. */
  async rest(targetId: string, until: number): Promise<void> {
    this.#until.delete(targetId);
    this.#until.set(targetId, until);
    if (this.#until.size > REMEMBERED) this.#until.delete(this.#until.keys().next().value!);
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
