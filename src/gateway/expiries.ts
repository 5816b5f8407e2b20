import { encodeServerFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { Clock, Timer } from "../ports/clock.ts";

/** A connection whose token may run out. */
export interface Expiring {
  write(frame: Uint8Array): void;
  fail(error: PeykError): void;
}

/** How long before its end a client is asked for a fresh token, at most. */
const ASK_BEFORE_MS = 30_000;
/** Timers of runtimes count in 31 bits: a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Asks connections for a fresh token before theirs runs out, and ends those that bring none. */
export class Expiries {
  readonly #clock: Clock;
  readonly #timers = new Map<Expiring, Timer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param expiresAt milliseconds since 1970; undefined: never */
  set(connection: Expiring, expiresAt: number | undefined): void {
    this.clear(connection);
    if (expiresAt === undefined) return;
    const left = expiresAt - this.#clock.now();
    const untilAsked = Math.max(left - ASK_BEFORE_MS, left / 2);
    if (untilAsked > MAX_TIMER_MS) this.#after(connection, MAX_TIMER_MS, () => this.set(connection, expiresAt));
    else this.#after(connection, untilAsked, () => this.#ask(connection, expiresAt));
  }

  /** The connection is over. */
  clear(connection: Expiring): void {
    const timer = this.#timers.get(connection);
    if (timer === undefined) return;
    this.#clock.clearTimeout(timer);
    this.#timers.delete(connection);
  }

  #ask(connection: Expiring, expiresAt: number): void {
    const inMs = Math.max(0, Math.floor(expiresAt - this.#clock.now()));
    connection.write(encodeServerFrame({ type: "expiring", inMs }));
    const expired = new PeykError("expired", "the token has expired", { retryable: true, hint: "Come back with a fresh token." });
    this.#after(connection, inMs, () => connection.fail(expired));
  }

  #after(connection: Expiring, ms: number, task: () => void): void {
    this.#timers.set(connection, this.#clock.setTimeout(task, ms));
  }
}
