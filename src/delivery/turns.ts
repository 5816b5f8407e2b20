import { Exclusive } from "./exclusive.ts";

/** Lets tasks of one key run one after the other. */
export interface Sections {
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
}

/**
 * Lets a few tasks run at the same time, one of each key. The key's section is entered first and a slot is taken after that: however
 * many tasks of one key wait, and however long its section is busy, they hold no slot. Keys get slots in the order in which they ask.
 */
export class Turns {
  readonly #sections: Sections;
  #free: number;
  /** A list of links: taking the first out of a long array moves all others. */
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  #tasks = 0;
  #idle: (() => void)[] = [];

  /**
   * @param width how many tasks at the same time
   * @param sections what keeps tasks of one key apart; default: sections of these turns alone
   */
  constructor(width: number, sections: Sections = new Exclusive()) {
    this.#free = width;
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
    if (this.#free === 0) await new Promise<void>((go) => this.#wait({ go, next: undefined }));
    else this.#free--;
    try {
      return await task();
    } finally {
      const first = this.#first;
      if (first === undefined) this.#free++;
      else {
        this.#first = first.next;
        first.go();
      }
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
