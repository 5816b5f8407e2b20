import process from "node:process";

/** Says what is going on: on one line that changes where there is a terminal, as lines otherwise. */
export class Progress {
  readonly #steps: number;
  readonly #startedAt = performance.now();
  #done = 0;

  constructor(steps: number) {
    this.#steps = steps;
  }

  step(what: string): void {
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    const left = this.#done === 0 ? "" : `, about ${Math.ceil(seconds / this.#done * (this.#steps - this.#done))} s left`;
    const text = `${String(++this.#done).padStart(3)} of ${this.#steps}: ${what} (${Math.round(seconds)} s${left})`;
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[2K${text}` : `${text}\n`);
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
  }
}
