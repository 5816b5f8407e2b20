/** Lets so many in at a time; the others wait in a row. */
export class Gate {
  /** A list of links: taking the first out of a long array moves all others. */
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  #room: number;

  constructor(width: number) {
    this.#room = width;
  }

  /** Whoever came in leaves again. @returns what to wait for; undefined: there is room */
  enter(): Promise<void> | undefined {
    if (this.#room === 0) return new Promise((resolve) => this.#queue({ go: resolve, next: undefined }));
    this.#room--;
    return undefined;
  }

  leave(): void {
    const next = this.#first;
    if (next === undefined) return void this.#room++;
    // Whoever is next takes the place over.
    this.#first = next.next;
    if (this.#first === undefined) this.#last = undefined;
    next.go();
  }

  #queue(waiting: Waiting): void {
    if (this.#last === undefined) this.#first = waiting;
    else this.#last.next = waiting;
    this.#last = waiting;
  }
}

interface Waiting {
  go(): void;
  next: Waiting | undefined;
}
