import { AtWork } from "../ports/at_work.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Work, WorkItem } from "../ports/transport.ts";
import type { TopicLog } from "./log.ts";

/** Topics worked on at a time. */
const CONCURRENCY = 64;
/** The wait after a topic's first failure; it doubles up to the second. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 30_000;

type Handler = (item: WorkItem) => Promise<void>;

interface Consumer {
  readonly handler: Handler;
  readonly running: Set<Promise<void>>;
}

/** Hands topics with new entries to whoever consumes, one run per topic at a time. */
export class MemoryWork implements Work {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Topics with unswept entries that nobody works on, oldest hint first. */
  readonly #waiting = new Set<TopicLog>();
  readonly #busy = new Set<TopicLog>();
  readonly #atWork = new AtWork();
  /** Topics whose handler failed, until they are tried again. */
  readonly #failed = new Map<TopicLog, { times: number; timer: Timer | undefined }>();
  readonly #consumers: Consumer[] = [];
  #pumping = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  consume(handler: Handler): Promise<{ close(): Promise<void> }> {
    const consumer: Consumer = { handler, running: new Set() };
    this.#consumers.push(consumer);
    this.#pump();
    return Promise.resolve({
      close: async () => {
        const index = this.#consumers.indexOf(consumer);
        if (index >= 0) this.#consumers.splice(index, 1);
        await Promise.all(consumer.running);
      },
    });
  }

  /** The log grew. */
  hint(log: TopicLog): void {
    if (this.#waiting.has(log) || this.#busy.has(log) || this.#failed.get(log)?.timer !== undefined) return;
    this.#waiting.add(log);
    this.#pump();
  }

  /** Ends when the runs under way have ended. */
  async close(): Promise<void> {
    await Promise.all(this.#consumers.splice(0).flatMap(({ running }) => [...running]));
    for (const { timer } of this.#failed.values()) if (timer !== undefined) this.#clock.clearTimeout(timer);
    this.#failed.clear();
  }

  /** Starts what can be started, once this tick has brought all its entries. */
  #pump(): void {
    if (this.#pumping || this.#consumers.length === 0 || this.#waiting.size === 0) return;
    this.#pumping = true;
    this.#clock.defer(() => {
      this.#pumping = false;
      for (const log of this.#waiting) {
        if (this.#busy.size >= CONCURRENCY) return;
        if (!this.#atWork.mayBegin(log.topic)) continue;
        const consumer = this.#consumers.shift();
        if (consumer === undefined) return;
        // Those who share the work take turns.
        this.#consumers.push(consumer);
        this.#atWork.begin(log.topic);
        this.#waiting.delete(log);
        this.#busy.add(log);
        const run: Promise<void> = this.#run(log, consumer.handler).finally(() => {
          consumer.running.delete(run);
          this.#busy.delete(log);
          this.#atWork.end(log.topic);
          if (log.swept < log.headOffset) this.hint(log);
          this.#pump();
        });
        consumer.running.add(run);
      }
    });
  }

  async #run(log: TopicLog, handler: Handler): Promise<void> {
    const head = log.head;
    try {
      await handler({ topic: log.topic, head });
      log.swept = head.offset;
      this.#failed.delete(log);
    } catch (error) {
      const times = (this.#failed.get(log)?.times ?? 0) + 1;
      const wait = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (times - 1));
      this.#logger.warn("work on a topic failed, it will be tried again", { topic: log.topic, times, wait, error });
      const timer = this.#clock.setTimeout(() => {
        this.#failed.set(log, { times, timer: undefined });
        this.hint(log);
      }, wait);
      this.#failed.set(log, { times, timer });
    }
  }
}
