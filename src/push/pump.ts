/** What one look at the queue began. */
export interface Begun {
  /** Each resolves when its piece of work has ended, and never rejects. */
  readonly flights: readonly Promise<void>[];
  /** The queue may hold more that can begin now: look again without waiting. */
  readonly more: boolean;
}

/**
 * Keeps up to `width` pieces of work of a queue under way.
 *
 * A wake-up can't be lost: one loop looks at the queue for as long as the pump lives, and it waits only between two looks. Whatever
 * it would have to look for (a new row, a landed flight, a timer) is changed first and rung for after that; the ring stays until a
 * look begins behind it.
 */
export class Pump {
  readonly #width: number;
  readonly #begin: (room: number) => Promise<Begun>;
  readonly #flights = new Set<Promise<void>>();
  readonly #loop: Promise<void>;
  #rung = false;
  #heard: (() => void) | undefined;
  #closed = false;

  /** @param begin looks at the queue and begins up to `room` pieces of work. Never rejects, never runs twice at a time */
  constructor(width: number, begin: (room: number) => Promise<Begun>) {
    this.#width = width;
    this.#begin = begin;
    this.#loop = this.#run();
  }

  /** How many pieces of work more may be under way. */
  get room(): number {
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
      // The flight that makes room rings: looking for each one alone would be most of the work.
      if (this.#closed || room < this.#width / 8) continue;
      const { flights, more } = await this.#begin(room);
      for (const flight of flights) this.launch(flight);
      if (more) this.ring();
    }
  }

  /** Counts a piece of work that began between two looks; it rings when it has ended. */
  launch(flight: Promise<void>): void {
    const landed = flight.then(() => {
      this.#flights.delete(landed);
      this.ring();
    });
    this.#flights.add(landed);
  }

  /** Begins nothing more. @returns once the look under way has ended; what it began may still be under way */
  async close(): Promise<void> {
    this.#closed = true;
    this.ring();
    await this.#loop;
  }

  /** Resolves when nothing is under way. Behind `close`. */
  async landed(): Promise<void> {
    await Promise.all(this.#flights);
  }
}
