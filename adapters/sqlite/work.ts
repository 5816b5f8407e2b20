import type { StatementSync } from "node:sqlite";
import { AtWork } from "../../src/ports/at_work.ts";
import type { Timer } from "../../src/ports/clock.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Work, WorkItem } from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** Topics worked on at a time. */
const CONCURRENCY = 64;
/** Topics read at a time of those that an earlier life or an absent consumer left. */
const BACKLOG_PAGE = 500;
/** The wait after a topic's first failure; it doubles up to the second. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 30_000;

type Handler = (item: WorkItem) => Promise<void>;

interface Consumer {
  readonly handler: Handler;
  readonly running: Set<Promise<void>>;
}

interface Failed {
  readonly times: number;
  head: number;
  /** Undefined once the topic may be tried again. */
  timer: Timer | undefined;
}

/** Hands topics with new entries to whoever consumes, one run per topic at a time. The file knows how far each one is. */
export class SqliteWork implements Work {
  readonly #context: StorageContext;
  readonly #epoch: number;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #backlog: StatementSync;
  /** Where the backlog is read on; undefined: all of it was. */
  #backlogAfter: number | undefined;
  /** Topics with unswept entries that nobody works on, and how far they reach; oldest hint first. */
  readonly #waiting = new Map<Topic, number>();
  /** Topics under way, and how far they reach by now. */
  readonly #busy = new Map<Topic, number>();
  readonly #atWork = new AtWork();
  /** Topics whose handler failed, until they are tried again. */
  readonly #failed = new Map<Topic, Failed>();
  readonly #consumers: Consumer[] = [];
  #pumping = false;

  constructor(context: StorageContext, epoch: number, writer: Writer, reader: Reader) {
    this.#context = context;
    this.#epoch = epoch;
    this.#writer = writer;
    this.#reader = reader;
    this.#backlog = reader.prepare("SELECT id, name, head FROM topic WHERE swept < head AND id > ? ORDER BY id LIMIT ?");
  }

  consume(handler: Handler): Promise<{ close(): Promise<void> }> {
    const consumer: Consumer = { handler, running: new Set() };
    this.#consumers.push(consumer);
    this.#backlogAfter = 0;
    this.#pump();
    return Promise.resolve({
      close: async () => {
        const index = this.#consumers.indexOf(consumer);
        if (index >= 0) this.#consumers.splice(index, 1);
        await Promise.all(consumer.running);
        if (this.#consumers.length === 0) this.#forget();
      },
    });
  }

  /** The log grew up to `head`. Without a consumer the file remembers. */
  hint(topic: Topic, head: number): void {
    if (this.#consumers.length === 0) return;
    const failed = this.#failed.get(topic);
    if (failed?.timer !== undefined) failed.head = Math.max(failed.head, head);
    else if (this.#busy.has(topic)) this.#busy.set(topic, Math.max(this.#busy.get(topic)!, head));
    else {
      this.#waiting.set(topic, Math.max(this.#waiting.get(topic) ?? 0, head));
      this.#pump();
    }
  }

  /** Ends when the runs under way have ended. */
  async close(): Promise<void> {
    await Promise.all(this.#consumers.splice(0).flatMap(({ running }) => [...running]));
    this.#forget();
  }

  #forget(): void {
    this.#waiting.clear();
    for (const { timer } of this.#failed.values()) if (timer !== undefined) this.#context.clock.clearTimeout(timer);
    this.#failed.clear();
  }

  /** Starts what can be started, once this tick has brought all its entries. */
  #pump(): void {
    if (this.#pumping || this.#consumers.length === 0) return;
    if (this.#waiting.size === 0 && this.#backlogAfter === undefined) return;
    this.#pumping = true;
    this.#context.clock.defer(() => {
      this.#pumping = false;
      if (this.#consumers.length > 0 && this.#busy.size < CONCURRENCY && this.#waiting.size === 0) this.#readBacklog();
      for (const [topic, head] of this.#waiting) {
        if (this.#busy.size >= CONCURRENCY) return;
        if (!this.#atWork.mayBegin(topic)) continue;
        const consumer = this.#consumers.shift();
        if (consumer === undefined) return;
        // Those who share the work take turns.
        this.#consumers.push(consumer);
        this.#atWork.begin(topic);
        this.#waiting.delete(topic);
        this.#busy.set(topic, head);
        const run: Promise<void> = this.#run(topic, head, consumer.handler).finally(() => {
          consumer.running.delete(run);
          const reached = this.#busy.get(topic)!;
          this.#busy.delete(topic);
          this.#atWork.end(topic);
          if (reached > head) this.hint(topic, reached);
          this.#pump();
        });
        consumer.running.add(run);
      }
    });
  }

  #readBacklog(): void {
    const after = this.#backlogAfter;
    if (after === undefined) return;
    try {
      const rows = this.#reader.now(() => this.#backlog.all(after, BACKLOG_PAGE));
      this.#backlogAfter = rows.length < BACKLOG_PAGE ? undefined : Number(rows.at(-1)!.id);
      for (const { name, head } of rows) this.hint(String(name), Number(head));
    } catch (error) {
      this.#backlogAfter = undefined;
      this.#context.logger.error("what is left to do could not be read", { error });
    }
  }

  async #run(topic: Topic, head: number, handler: Handler): Promise<void> {
    try {
      await handler({ topic, head: { epoch: this.#epoch, offset: head } });
      await this.#writer.send({ kind: "swept", topic, head, now: this.#context.clock.now() });
      this.#failed.delete(topic);
    } catch (error) {
      const times = (this.#failed.get(topic)?.times ?? 0) + 1;
      const wait = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (times - 1));
      this.#context.logger.warn("work on a topic failed, it will be tried again", { topic, times, wait, error });
      const failed: Failed = { times, head, timer: undefined };
      failed.timer = this.#context.clock.setTimeout(() => {
        failed.timer = undefined;
        this.hint(topic, failed.head);
      }, wait);
      this.#failed.set(topic, failed);
    }
  }
}
