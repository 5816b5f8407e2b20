import type { Clock } from "../ports/clock.ts";
import type { Lease } from "./lease.ts";

/**
 * The end of a tick of the event loop: first feeds hand out what arrived in it, then connections write what was gathered. So a
 * burst passes each receiver once, however many messages it has. A node whose lease has lapsed holds all of it back.
 */
export class Tick {
  readonly #clock: Clock;
  readonly #lease: Lease;
  #spreads: ((alone: boolean) => void)[] = [];
  #writes: (() => void)[] = [];
  #asked = false;

  constructor(clock: Clock, lease: Lease) {
    this.#clock = clock;
    this.#lease = lease;
  }

  /** Runs at the end of the tick; `alone` says that no other feed has anything to hand out. */
  spread(task: (alone: boolean) => void): void {
    this.#spreads.push(task);
    this.#ask();
  }

  /** Runs after that. */
  write(task: () => void): void {
    this.#writes.push(task);
    this.#ask();
  }

  /** The node may write again: what was held back leaves. */
  resume(): void {
    if (this.#asked) this.#clock.defer(() => this.#end());
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#clock.defer(() => this.#end());
  }

  #end(): void {
    if (!this.#lease.isHeld) return;
    const spreads = this.#spreads;
    this.#spreads = [];
    const alone = spreads.length === 1;
    // What is handed out directly does not wait for the end, so what was gathered before it leaves now.
    if (alone) this.#write();
    for (const spread of spreads) spread(alone);
    // What is asked for from here on belongs to the next tick.
    this.#asked = this.#spreads.length > 0;
    this.#write();
    if (this.#asked) this.#clock.defer(() => this.#end());
  }

  #write(): void {
    const writes = this.#writes;
    this.#writes = [];
    for (const write of writes) write();
  }
}
