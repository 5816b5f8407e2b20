import { existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * How far the receiver is, in a small file that stays in memory. The server looks there before it publishes on, which costs
 * it a microsecond per look and no turn of its event loop.
 */
export interface Tally {
  /** Messages received, summed over all subscribers. */
  received: number;
  /** Subscribers that still owe an ack. */
  unacked: number;
}

export class TallyWriter {
  readonly #file: number;
  readonly #numbers = new Float64Array(2);

  constructor(path: string) {
    this.#file = openSync(path, "w");
    this.write(0, 0);
  }

  write(received: number, unacked: number): void {
    this.#numbers[0] = received;
    this.#numbers[1] = unacked;
    writeSync(this.#file, this.#numbers, 0, 16, 0);
  }
}

export class TallyReader {
  readonly #path: string;
  readonly #numbers = new Float64Array(2);
  #file: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  read(): Tally {
    this.#file ??= openSync(this.#path, "r");
    readSync(this.#file, new Uint8Array(this.#numbers.buffer), 0, 16, 0);
    return { received: this.#numbers[0] ?? 0, unacked: this.#numbers[1] ?? 0 };
  }
}

/** Lends a folder for tallies: in memory, where there is a file system for that. */
export async function withTallies<Result>(task: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "peyk-bench-"));
  try {
    return await task(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
