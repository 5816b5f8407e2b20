import { Worker } from "node:worker_threads";

export interface RowCounts {
  /** That waited at any one time, looked at every 200 ms. */
  mostPending: number;
  /** That were written and are still known, settled ones included. */
  all: number;
}

/** Watches the outbox of a sqlite file. */
export class RowWatch {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** @returns once it has looked for the first time */
  static async begin(path: string): Promise<RowWatch> {
    const worker = new Worker(new URL("./row_watch_thread.ts", import.meta.url), { workerData: path });
    await new Promise((resolve) => worker.once("message", resolve));
    return new RowWatch(worker);
  }

  /** Ends it. */
  async counts(): Promise<RowCounts> {
    const counts = new Promise<RowCounts>((resolve) => this.#worker.once("message", resolve));
    this.#worker.postMessage("counts");
    const found = await counts;
    await this.#worker.terminate();
    return found;
  }
}
