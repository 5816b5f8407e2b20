/** Lets so many in at a time; the others wait in a row. */
export class Gate {
  readonly #waiting: (() => void)[] = [];
  #room: number;

  constructor(width: number) {
    this.#room = width;
  }

  /** Whoever came in leaves again. @returns what to wait for; undefined: there is room */
  enter(): Promise<void> | undefined {
    if (this.#room === 0) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#room--;
    return undefined;
  }

  leave(): void {
    // Whoever is next takes the place over.
    const next = this.#waiting.shift();
    if (next === undefined) this.#room++;
    else next();
  }
}
