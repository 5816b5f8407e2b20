import type { Entry, HistoryPage, TopicListener, TopicSubscription } from "../ports/transport.ts";
import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** Idempotency keys of one topic before the older half is forgotten ahead of time: a Map ends at 16 million. */
const MAX_KEYS = 1_000_000;

/** What a log needs to know of its storage. */
export interface LogLimits {
  readonly maxEntries: number;
  readonly idempotencyMs: number;
}

/**
 * One subscription of one topic. There is one for each topic that is read, and most topics are one person's own: so the same object
 * is handed to the subscriber.
 */
class Subscriber implements TopicSubscription {
  readonly listener: TopicListener;
  readonly head: Position;
  readonly #log: TopicLog;

  constructor(listener: TopicListener, log: TopicLog) {
    this.listener = listener;
    this.head = log.head;
    this.#log = log;
  }

  close(): void {
    this.#log.leave(this);
  }
}

interface Remembered {
  readonly offset: number;
  readonly at: number;
}

const NOBODY: readonly Subscriber[] = Object.freeze([]);

/** One topic: its entries, who listens, and which idempotency keys it has seen. */
export class TopicLog {
  readonly topic: Topic;
  readonly epoch: number;
  /** The highest offset evicted before it expired. */
  floor = 0;
  /** Work is done up to here. */
  swept: number;
  /** Before its first entry. */
  readonly #beginning: number;
  #head: number;
  readonly #left: (log: TopicLog) => void;
  /** Entries with consecutive offsets up to the head; those before `#start` are gone. */
  #entries: (Entry | undefined)[] = [];
  #start = 0;
  /** Keys of the current and the former half window. Made with the first entry: most logs are read more often than written. */
  #keys: Map<string, Remembered> | undefined;
  #olderKeys: Map<string, Remembered> | undefined;
  #keysSince = 0;
  /** Changed by copy, so that a listener may come or go while others are told. */
  #subscribers: readonly Subscriber[] = NOBODY;
  /** Entries waiting to be reported while a listener runs: one that publishes must not let others hear of it first. */
  #unreported: Entry[] | undefined;

  /**
   * @param beginning its offsets are above that one
   * @param left told when a listener has left
   */
  constructor(topic: Topic, epoch: number, beginning: number, left: (log: TopicLog) => void) {
    this.topic = topic;
    this.epoch = epoch;
    this.#left = left;
    this.swept = this.#beginning = this.#head = beginning;
  }

  /** Whether nobody listens, nothing is kept or was evicted, and no work is left: it can be made again when it is needed. */
  get isIdle(): boolean {
    return this.#subscribers.length === 0 && this.#start === this.#entries.length && this.#keys === undefined &&
      this.#olderKeys === undefined && this.swept === this.#head && this.floor === 0;
  }

  get head(): Position {
    return { epoch: this.epoch, offset: this.#head };
  }

  get headOffset(): number {
    return this.#head;
  }

  /** The position that a key stands for, if it was used within the window. */
  known(key: string, now: number, limits: LogLimits): Position | undefined {
    const found = this.#keys?.get(key) ?? this.#olderKeys?.get(key);
    if (found === undefined || found.at + limits.idempotencyMs <= now) return undefined;
    return { epoch: this.epoch, offset: found.offset };
  }

  append(bytes: Uint8Array, key: string, expiresAt: number, now: number, limits: LogLimits): Entry {
    const previous = this.#head;
    const entry: Entry = { topic: this.topic, epoch: this.epoch, offset: previous + 1, previous, bytes, expiresAt };
    this.#head = entry.offset;
    this.#entries.push(entry);
    if (this.#entries.length - this.#start > limits.maxEntries) this.#dropFirst(now);
    this.purge(now, limits);
    if (this.#keys !== undefined && this.#keys.size >= MAX_KEYS) this.#turnKeys(now);
    (this.#keys ??= new Map()).set(key, { offset: entry.offset, at: now });
    return entry;
  }

  /** Lets go of what nobody can ask for any more. What expired behind an unexpired entry waits for that one. */
  purge(now: number, limits: LogLimits): void {
    for (
      let first = this.#entries[this.#start];
      first !== undefined && first.expiresAt <= now;
      first = this.#entries[this.#start]
    ) {
      this.#dropFirst(now);
    }
    if (now - this.#keysSince >= limits.idempotencyMs) this.#turnKeys(now);
  }

  read(after: number, now: number, limit: number, maxBytes: number = Infinity): HistoryPage {
    const entries: Entry[] = [];
    let bytes = 0;
    const first = this.#head - (this.#entries.length - this.#start) + 1;
    let through = Math.min(Math.max(after, first - 1), this.#head);
    // Between the floor and the first kept entry only expired ones are missing.
    let expired = Math.max(0, through - Math.max(after, this.floor, this.#beginning));
    for (; through < this.#head; through++) {
      const entry = this.#entries[this.#start + through + 1 - first]!;
      if (entry.expiresAt <= now) {
        expired++;
        continue;
      }
      bytes += entry.bytes.length;
      if (entries.length === limit || (entries.length > 0 && bytes > maxBytes)) break;
      entries.push(entry);
    }
    return { entries, through, expired, head: this.head, floor: this.floor };
  }

  subscribe(listener: TopicListener): TopicSubscription {
    const subscriber = new Subscriber(listener, this);
    this.#subscribers = this.#subscribers.concat(subscriber);
    return subscriber;
  }

  leave(subscriber: Subscriber): void {
    this.#subscribers = this.#subscribers.filter((other) => other !== subscriber);
    this.#left(this);
  }

  /** Tells every listener, in the order of offsets. */
  report(entry: Entry, failed: (error: unknown) => void): void {
    if (this.#unreported !== undefined) {
      this.#unreported.push(entry);
      return;
    }
    if (this.#subscribers.length === 0) return;
    const queue = this.#unreported = [entry];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      for (const { listener, head } of this.#subscribers) {
        if (next.offset <= head.offset) continue;
        try {
          listener.entry(next);
        } catch (error) {
          failed(error);
        }
      }
    }
    this.#unreported = undefined;
  }

  signal(bytes: Uint8Array, failed: (error: unknown) => void): void {
    for (const { listener } of this.#subscribers) {
      try {
        listener.signal?.(bytes);
      } catch (error) {
        failed(error);
      }
    }
  }

  #dropFirst(now: number): void {
    const entry = this.#entries[this.#start]!;
    if (entry.expiresAt > now) this.floor = entry.offset;
    this.#entries[this.#start++] = undefined;
    // Copying costs no more than the appends that made it necessary.
    if (this.#start > 64 && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }

  #turnKeys(now: number): void {
    this.#olderKeys = this.#keys;
    this.#keys = undefined;
    this.#keysSince = now;
  }
}
