import { AtWork } from "../../src/ports/at_work.ts";
import type { Timer } from "../../src/ports/clock.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Work, WorkItem } from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { closed } from "../nats/errors.ts";
import type { Api } from "./api.ts";
import type { Told } from "./head.ts";
import type { Partition } from "./logs.ts";
import { type Pulled, Puller } from "./puller.ts";

/** Topics worked on at a time. */
const CONCURRENCY = 64;
/** Entries that this node has taken and not answered for. */
const MOST_AT_HAND = 2_000;
/** The wait after a first failure; it doubles up to the second. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 30_000;
/** How often the server hears that entries are still worked on: well within its patience. */
const PROGRESS_MS = 3_000;

type Handler = (item: WorkItem) => Promise<void>;

/** New entries of all logs as work, shared among the nodes by one durable consumer per log stream. */
export class SweepWork implements Work {
  readonly #api: Api;
  readonly #context: StorageContext;
  readonly #partitions: readonly Partition[];
  readonly #crews = new Set<Crew>();
  #closed = false;

  constructor(api: Api, context: StorageContext, partitions: readonly Partition[]) {
    this.#api = api;
    this.#context = context;
    this.#partitions = partitions;
  }

  async consume(handler: Handler): Promise<{ close(): Promise<void> }> {
    if (this.#closed) throw closed();
    const crew = new Crew(this.#api, this.#context, this.#partitions, handler);
    this.#crews.add(crew);
    const close = async (): Promise<void> => {
      await crew.close();
      this.#crews.delete(crew);
    };
    try {
      await crew.open();
    } catch (error) {
      await close();
      throw error;
    }
    return { close };
  }

  /** The last entry of a topic that a run under way was told of. */
  told(topic: Topic): Told {
    let told: Told = { offset: 0, expiresAt: 0 };
    for (const crew of this.#crews) {
      const last = crew.underWay(topic);
      if (last !== undefined && last.offset > told.offset) told = { offset: last.offset, expiresAt: last.expiresAt() };
    }
    return told;
  }

  /** Ends when the runs under way have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#crews].map((crew) => crew.close()));
  }
}

/** What is to be done about one topic. */
interface Task {
  readonly epoch: () => number;
  /** What the next run answers for. */
  waiting: Pulled[];
  /** What the run under way answers for; the last one is the head. */
  running: readonly Pulled[];
}

/** One handler, and what it has to do. */
class Crew {
  readonly #context: StorageContext;
  readonly #handler: Handler;
  readonly #pullers: readonly Puller[];
  readonly #tasks = new Map<Topic, Task>();
  /** Topics whose next run may begin, the longest waiting first. */
  readonly #ready = new Set<Topic>();
  readonly #runs = new Set<Promise<void>>();
  readonly #atWork = new AtWork();
  #atHand = 0;
  #pumping = false;
  #progress: Timer | undefined;
  #closed = false;

  constructor(api: Api, context: StorageContext, partitions: readonly Partition[], handler: Handler) {
    this.#context = context;
    this.#handler = handler;
    this.#pullers = partitions.map(({ stream, tail }) =>
      new Puller(api, context, stream, {
        room: () => MOST_AT_HAND - this.#atHand,
        take: (pulled) => this.#take(pulled, () => tail.epoch),
      })
    );
  }

  async open(): Promise<void> {
    await Promise.all(this.#pullers.map((puller) => puller.open()));
  }

  underWay(topic: Topic): Pulled | undefined {
    return this.#tasks.get(topic)?.running.at(-1);
  }

  /** Begins nothing more, and gives back what nobody works on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ready.clear();
    for (const { waiting } of this.#tasks.values()) for (const pulled of waiting.splice(0)) this.#giveBack(pulled, 0);
    await Promise.all(this.#pullers.map((puller) => puller.close()));
    await Promise.all(this.#runs);
    if (this.#progress !== undefined) this.#context.clock.clearTimeout(this.#progress);
  }

  #take(pulled: Pulled, epoch: () => number): void {
    if (this.#closed) return pulled.giveBack(0);
    this.#atHand++;
    let task = this.#tasks.get(pulled.topic);
    if (task === undefined) this.#tasks.set(pulled.topic, task = { epoch, waiting: [], running: [] });
    task.waiting.push(pulled);
    if (task.running.length === 0) this.#ready.add(pulled.topic);
    this.#progress ??= this.#context.clock.setTimeout(this.#workOn, PROGRESS_MS);
    this.#pump();
  }

  /** Starts what can be started, once this tick has brought all its entries. */
  #pump(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.#context.clock.defer(() => {
      this.#pumping = false;
      for (const topic of this.#ready) {
        if (this.#runs.size >= CONCURRENCY || this.#closed) return;
        if (!this.#atWork.mayBegin(topic)) continue;
        this.#ready.delete(topic);
        this.#atWork.begin(topic);
        const run: Promise<void> = this.#run(topic, this.#tasks.get(topic)!).then(() => {
          this.#runs.delete(run);
          this.#atWork.end(topic);
          if (this.#ready.size > 0) this.#pump();
          for (const puller of this.#pullers) puller.pull();
        });
        this.#runs.add(run);
      }
    });
  }

  async #run(topic: Topic, task: Task): Promise<void> {
    // What was given back comes again, behind what is newer.
    const running = task.waiting.length === 1 ? task.waiting : task.waiting.sort((one, other) => one.offset - other.offset);
    task.running = running;
    task.waiting = [];
    const { offset } = running.at(-1)!;
    try {
      await this.#handler({ topic, head: { epoch: task.epoch(), offset } });
      for (const pulled of running) {
        this.#atHand--;
        pulled.done();
      }
    } catch (error) {
      const times = Math.max(...running.map(({ deliveries }) => deliveries));
      const wait = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(times - 1, 10));
      this.#context.logger.warn("work on a topic failed, it will be tried again", { topic, times, wait, error });
      for (const pulled of running) this.#giveBack(pulled, wait);
    }
    task.running = [];
    if (task.waiting.length === 0) this.#tasks.delete(topic);
    else this.#ready.add(topic);
  }

  #giveBack(pulled: Pulled, waitMs: number): void {
    this.#atHand--;
    pulled.giveBack(waitMs);
  }

  readonly #workOn = (): void => {
    this.#progress = this.#atHand === 0 ? undefined : this.#context.clock.setTimeout(this.#workOn, PROGRESS_MS);
    for (const { waiting, running } of this.#tasks.values()) for (const pulled of [...waiting, ...running]) pulled.stillBusy();
  };
}
