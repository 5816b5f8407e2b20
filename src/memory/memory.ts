import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Random } from "../ports/random.ts";
import { checkedRetention, type OpenStorage, type Retention, type Storage } from "../ports/storage.ts";
import type {
  Appended,
  AppendOptions,
  History,
  HistoryPage,
  TopicListener,
  TopicSubscription,
  Transport,
} from "../ports/transport.ts";
import { PeykError } from "../protocol/errors.ts";
import { checkKinds } from "../protocol/fields.ts";
import type { Topic } from "../protocol/names.ts";
import { type LogLimits, TopicLog } from "./log.ts";
import { MemoryOutbox } from "./outbox.ts";
import { MemoryUsers } from "./users.ts";
import { MemoryWork } from "./work.ts";

/**
 * Keeps everything in this process and loses it with the process: receipts say `durability: "memory"`. The engine's default.
 * Each `open` begins empty. Of a topic's idempotency keys at least the last million are remembered, whatever the window.
 *
 * @throws {PeykError} `bad-config`
 */
export function memory(options: { retention?: Retention } = {}): Storage {
  checkKinds(options, { retention: "object" }, "memory");
  const retention = checkedRetention(options.retention);
  return {
    open({ clock, logger, random }): Promise<OpenStorage> {
      const outbox = new MemoryOutbox(clock, random);
      const work = new MemoryWork(clock, logger);
      const transport = new MemoryTransport(
        clock,
        logger,
        random,
        retention,
        work,
        (topic) => outbox.topicEnded(topic),
      );
      return Promise.resolve({
        transport,
        history: transport,
        work,
        users: new MemoryUsers(clock, random, outbox),
        outbox,
        async close() {
          transport.close();
          await work.close();
        },
      });
    },
  };
}

/** Topic logs as long as the process lives. */
export class MemoryTransport implements Transport, History {
  readonly durable = false;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #limits: LogLimits;
  readonly #work: MemoryWork;
  readonly #logs = new Map<Topic, TopicLog>();
  /** Walks over all logs, a step per publish, so that idle ones let go of what expired without a timer. */
  #round: Iterator<TopicLog>;
  /** Of this life of all logs. Within 31 bits: it travels with every entry, msgpack takes 5 bytes for it instead of 9, and engines keep it unboxed. */
  readonly #epoch: number;
  readonly #ended: (topic: Topic) => void;
  /** No log that was let go had an offset above this one: those that are made from here on begin there, so that none comes twice. */
  #beginning = 0;
  #closed = false;

  /** @param ended told of topics whose log was let go */
  constructor(clock: Clock, logger: Logger, random: Random, limits: LogLimits, work: MemoryWork, ended: (topic: Topic) => void) {
    this.#ended = ended;
    this.#clock = clock;
    this.#logger = logger;
    this.#limits = limits;
    this.#work = work;
    this.#epoch = 1 + Math.floor(random.fraction() * 0x7fff_fffe);
    this.#round = this.#logs.values();
  }

  publish(topic: Topic, bytes: Uint8Array, { key, expiresAt }: AppendOptions): Promise<Appended> {
    if (this.#closed) return Promise.reject(closed());
    const now = this.#clock.now();
    const log = this.#log(topic);
    const known = log.known(key, now, this.#limits);
    if (known !== undefined) return Promise.resolve({ position: known, duplicate: true, durability: "memory" });
    const entry = log.append(bytes, key, expiresAt, now, this.#limits);
    this.#work.hint(log);
    log.report(entry, this.#listenerFailed);
    this.#purgeNext(now);
    const position = { epoch: entry.epoch, offset: entry.offset };
    return Promise.resolve({ position, duplicate: false, durability: "memory" });
  }

  subscribe(topic: Topic, listener: TopicListener): Promise<TopicSubscription> {
    if (this.#closed) return Promise.reject(closed());
    return Promise.resolve(this.#log(topic).subscribe(listener));
  }

  signal(topic: Topic, bytes: Uint8Array): void {
    this.#logs.get(topic)?.signal(bytes, this.#listenerFailed);
  }

  read(topic: Topic, after: number, limit: number, maxBytes?: number): Promise<HistoryPage> {
    if (this.#closed) return Promise.reject(closed());
    const log = this.#logs.get(topic);
    if (log !== undefined) return Promise.resolve(log.read(after, this.#clock.now(), limit, maxBytes));
    return Promise.resolve({ entries: [], through: 0, expired: 0, head: { epoch: this.#epoch, offset: 0 }, floor: 0 });
  }

  close(): void {
    this.#closed = true;
    this.#logs.clear();
  }

  #log(topic: Topic): TopicLog {
    let log = this.#logs.get(topic);
    if (log === undefined) this.#logs.set(topic, log = new TopicLog(topic, this.#epoch, this.#beginning, this.#letGo));
    return log;
  }

  /** How many topics take memory. */
  get topics(): number {
    return this.#logs.size;
  }

  /** No log is kept of a topic without listeners, entries and work. */
  readonly #letGo = (log: TopicLog): void => {
    if (!log.isIdle || this.#logs.get(log.topic) !== log) return;
    this.#logs.delete(log.topic);
    this.#beginning = Math.max(this.#beginning, log.headOffset);
    this.#ended(log.topic);
  };

  #purgeNext(now: number): void {
    const next = this.#round.next();
    if (next.done) {
      this.#round = this.#logs.values();
      return;
    }
    next.value.purge(now, this.#limits);
    this.#letGo(next.value);
  }

  readonly #listenerFailed = (error: unknown): void => {
    this.#logger.error("a topic's listener threw", { error });
  };
}

function closed(): PeykError {
  return new PeykError("closed", "the storage is closed", { hint: "Open the storage again." });
}
