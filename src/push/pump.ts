import type { Clock, Timer } from "../ports/clock.ts";

/** What one look at the queue began. */
export interface Begun {
  /** Each resolves when its piece of work has ended, and never rejects. */
  readonly flights: readonly Promise<void>[];
  /** The queue may hold more that can begin now: look again without waiting. */
  readonly more: boolean;
}

/** How long a little room waits for more, milliseconds. */
const PATIENCE_MS = 10;
/** Places given up at the same time, at most so many times the width. */
const SLOW_WIDTHS = 3;

/**
 * Keeps up to `width` pieces of work of a queue under way, beside those that take long.
 *
 * A wake-up can't be lost: one loop looks at the queue for as long as the pump lives, and it waits only between two looks. Whatever
 * it would have to look for (a new row, a landed flight, a timer) is changed first and rung for after that; the ring stays until a
 * look begins behind it.
 */
export class Pump {
  readonly #width: number;
  readonly #clock: Clock;
  readonly #begin: (room: number) => Promise<Begun>;
  readonly #slowMs: number;
  /** What has a place, and since when (monotonic milliseconds): the oldest comes first. */
  readonly #flights = new Map<Promise<void>, number>();
  /** What has given its place up. */
  readonly #slow = new Set<Promise<void>>();
  readonly #loop: Promise<void>;
  #rung = false;
  #heard: (() => void) | undefined;
  /** All places are taken: the oldest gives its up then. */
  #slowness: Timer | undefined;
  /** A little room waits for more. */
  #patience: Timer | undefined;
  /** It has waited. */
  #isImpatient = false;
  #closed = false;

  /**
   * @param begin looks at the queue and begins up to `room` pieces of work. Never rejects, never runs twice at a time
   * @param slowMs what is under way for longer gives its place up to others. Default: nothing does
   */
  constructor(width: number, clock: Clock, begin: (room: number) => Promise<Begun>, slowMs: number = Infinity) {
    this.#width = width;
    this.#slowMs = slowMs;
    this.#clock = clock;
    this.#begin = begin;
    this.#loop = this.#run();
  }

  /** How many pieces of work more may be under way. */
  get room(): number {
    const before = this.#clock.elapsed() - this.#slowMs;
    for (const [flight, begunAt] of this.#flights) {
      if (begunAt > before || this.#slow.size >= SLOW_WIDTHS * this.#width) break;
      this.#flights.delete(flight);
      this.#slow.add(flight);
    }
    return Math.max(0, this.#width - this.#flights.size);
  }

  /** Something may be there to be begun. */
  ring(): void {
    this.#rung = true;
    this.#heard?.();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      if (!this.#rung) await new Promise<void>((resolve) => this.#heard = resolve);
      this.#rung = false;
      const { room } = this;
      // A flight that makes room rings.
      if (room === 0) this.#waitForSlow();
      if (this.#closed || room === 0) continue;
      if (room < this.#width / 8 && !this.#isImpatient) {
        this.#waitForRoom();
        continue;
      }
      this.#isImpatient = false;
      const { flights, more } = await this.#begin(room);
      for (const flight of flights) this.launch(flight);
      if (more) this.ring();
    }
  }

  /** Looking for each landed flight alone would be most of the work. But some may be under way for long, and few make room then. */
  #waitForRoom(): void {
    this.#patience ??= this.#clock.setTimeout(() => {
      this.#patience = undefined;
      this.#isImpatient = true;
      this.ring();
    }, PATIENCE_MS);
  }

  #waitForSlow(): void {
    if (this.#closed || this.#slowMs === Infinity || this.#slow.size >= SLOW_WIDTHS * this.#width) return;
    const [oldest] = this.#flights.values();
    this.#slowness ??= this.#clock.setTimeout(() => {
      this.#slowness = undefined;
      this.ring();
    }, oldest! + this.#slowMs - this.#clock.elapsed());
  }

  /** Counts a piece of work that began between two looks; it rings when it has ended. */
  launch(flight: Promise<void>): void {
    const landed = flight.then(() => {
      this.#flights.delete(landed);
      this.#slow.delete(landed);
      this.ring();
    });
    this.#flights.set(landed, this.#clock.elapsed());
  }

  /** Begins nothing more. @returns once the look under way has ended; what it began may still be under way */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of [this.#patience, this.#slowness]) if (timer !== undefined) this.#clock.clearTimeout(timer);
    this.ring();
    await this.#loop;
  }

  /** Resolves when nothing is under way. Behind `close`. */
  async landed(): Promise<void> {
    await Promise.all([...this.#flights.keys(), ...this.#slow]);
  }
}
