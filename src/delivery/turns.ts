import type { Clock } from "../ports/clock.ts";
import { Exclusive } from "./exclusive.ts";

/** Lets tasks of one key run one after the other. */
export interface Sections {
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
}

/**
 * Lets a few tasks run at the same time, one of each key. The key's section is entered first and a slot is taken after that: however
 * many tasks of one key wait, and however long its section is busy, they hold no slot. Keys get slots in the order in which they ask.
 *
 * No more of them than that, or than is said, begin in one turn of the event loop: those that find all they need at hand would end in the turn in which
 * they began, and thousands of them would run one after the other before anything else does.
 */
export class Turns {
  readonly #perTurn: number;
  readonly #clock: Clock;
  readonly #sections: Sections;
  #free: number;
  /** How many began in this turn of the loop. */
  #begun = 0;
  /** A list of links: taking the first out of a long array moves all others. */
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  #tasks = 0;
  #idle: (() => void)[] = [];

  /**
   * @param width how many tasks at the same time
   * @param sections what keeps tasks of one key apart; default: sections of these turns alone
   * @param perTurn how many may begin in one turn of the event loop
   */
  constructor(width: number, clock: Clock, sections: Sections = new Exclusive(), perTurn: number = width) {
    this.#free = width;
    this.#perTurn = perTurn;
    this.#clock = clock;
    this.#sections = sections;
  }

  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    this.#tasks++;
    try {
      return await this.#sections.run(key, () => this.#inSlot(task));
    } finally {
      if (--this.#tasks === 0) { for (const resolve of this.#idle.splice(0)) resolve(); }
    }
  }

  async #inSlot<T>(task: () => Promise<T>): Promise<T> {
    if (this.#hasRoom) this.#begin();
    else await new Promise<void>((go) => this.#wait({ go, next: undefined }));
    try {
      return await task();
    } finally {
      this.#free++;
      this.#goOn();
    }
  }

  get #hasRoom(): boolean {
    return this.#free > 0 && this.#begun < this.#perTurn;
  }

  #begin(): void {
    this.#free--;
    if (this.#begun++ > 0) return;
    this.#clock.defer(() => {
      this.#begun = 0;
      this.#goOn();
    });
  }

  #goOn(): void {
    while (this.#first !== undefined && this.#hasRoom) {
      const { go, next } = this.#first;
      // One that has grown old would keep all who came after it until the next collection of the whole heap.
      this.#first.next = undefined;
      this.#first = next;
      this.#begin();
      go();
    }
  }

  #wait(waiting: Waiting): void {
    if (this.#first === undefined) this.#first = waiting;
    else this.#last!.next = waiting;
    this.#last = waiting;
  }

  /** Resolves when nothing runs or waits. */
  idle(): Promise<void> {
    return this.#tasks === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}

interface Waiting {
  readonly go: () => void;
  next: Waiting | undefined;
}
