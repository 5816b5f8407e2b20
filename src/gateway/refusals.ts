import type { Counters } from "../delivery/counters.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { UpgradeRefusal } from "../ports/connection.ts";
import type { Logger } from "../ports/logger.ts";

/** How often each reason is in the log, milliseconds. */
const LOG_EVERY_MS = 60_000;
/** How much of an upgrade's path, origin or host goes into the log, characters. */
const MAX_WHAT = 200;

/** Refusals of one reason since the last line in the log. */
interface Since {
  timer: Timer;
  what: string;
  repeated: number;
}

/** Counts the upgrades that gateways refuse, and tells the log: the first of each reason at once, then all of a minute in one line. */
export class Refusals {
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #since = new Map<UpgradeRefusal, Since>();

  constructor(counters: Counters, clock: Clock, logger: Logger) {
    this.#counters = counters;
    this.#clock = clock;
    this.#logger = logger;
  }

  add(reason: UpgradeRefusal, asked: string): void {
    this.#counters.refused[reason]++;
    const what = asked.slice(0, MAX_WHAT).toWellFormed();
    const since = this.#since.get(reason);
    if (since !== undefined) {
      since.what = what;
      since.repeated++;
      return;
    }
    this.#logger.warn("an upgrade was refused", { reason, what });
    this.#wait(reason);
  }

  #wait(reason: UpgradeRefusal): void {
    const timer = this.#clock.setTimeout(() => {
      if (this.#tell(reason)) this.#wait(reason);
    }, LOG_EVERY_MS);
    this.#since.set(reason, { timer, what: "", repeated: 0 });
  }

  /** @returns whether there was something to tell */
  #tell(reason: UpgradeRefusal): boolean {
    const { what, repeated } = this.#since.get(reason)!;
    this.#since.delete(reason);
    if (repeated > 0) this.#logger.warn("an upgrade was refused", { reason, what, repeated });
    return repeated > 0;
  }

  /** Tells what was counted. */
  close(): void {
    for (const [reason, { timer }] of this.#since) {
      this.#clock.clearTimeout(timer);
      this.#tell(reason);
    }
  }
}
