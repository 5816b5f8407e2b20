import type { Clock } from "../ports/clock.ts";
import type { Outbox } from "../ports/outbox.ts";

/** Targets that are remembered; of more those are forgotten that rest the longest ago. */
const REMEMBERED = 10_000;

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
    await this.#outbox.postpone(targetId, until);
  }

  /** Whether the target rests; what waits for it is due at the end of that. */
  async postponed(targetId: string): Promise<boolean> {
    const until = this.#until.get(targetId);
    if (until === undefined) return false;
    if (until > this.#clock.now()) {
      await this.#outbox.postpone(targetId, until);
      return true;
    }
    this.#until.delete(targetId);
    return false;
  }
}
