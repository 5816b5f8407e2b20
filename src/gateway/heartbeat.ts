import { encodeServerFrame } from "../protocol/codec.ts";
import type { Clock, Timer } from "../ports/clock.ts";

/** Somebody who is to be looked at once per heartbeat. */
export interface Beating {
  beat(): void;
}

/** Parts of a heartbeat: connections are spread over them, so that pings don't leave all at once. */
const SLOTS = 25;

/** One timer for all connections: each is looked at once per heartbeat. No connections, no timer. */
export class Heartbeat {
  /** The frame that asks for a sign of life. */
  readonly ping: Uint8Array = encodeServerFrame({ type: "ping" });
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #slots: Set<Beating>[] = Array.from({ length: SLOTS }, () => new Set());
  #count = 0;
  #now = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  add(connection: Beating): void {
    // The slot just visited: its turn comes after a whole heartbeat.
    this.#slots[(this.#now + SLOTS - 1) % SLOTS]!.add(connection);
    this.#count++;
    this.#timer ??= this.#schedule();
  }

  remove(connection: Beating): void {
    for (const slot of this.#slots) if (slot.delete(connection)) this.#count--;
    if (this.#count > 0 || this.#timer === undefined) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(): Timer {
    return this.#clock.setTimeout(() => {
      this.#timer = undefined;
      const slot = this.#slots[this.#now]!;
      this.#now = (this.#now + 1) % SLOTS;
      for (const connection of slot) connection.beat();
      if (this.#count > 0) this.#timer ??= this.#schedule();
    }, this.#ms / SLOTS);
  }
}
