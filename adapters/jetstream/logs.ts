import type { StorageContext } from "../../src/ports/storage.ts";
import type { Appended, AppendOptions, Entry, TopicListener, TopicSubscription, Transport } from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { closed, closedConnection } from "../nats/errors.ts";
import { subjectOf } from "../nats/subjects.ts";
import type { Api } from "./api.ts";
import type { JetStreamMessage } from "./connection.ts";
import { headOf, type Told } from "./head.ts";
import { logSubject, partitionOf, unwrap } from "./log_format.ts";
import type { Publisher } from "./publisher.ts";
import type { LogStream } from "./streams.ts";
import { Tail } from "./tail.ts";

const NOTHING: Told = Object.freeze({ offset: 0, expiresAt: 0 });

interface Subscriber {
  readonly listener: TopicListener;
  /** Entries up to here were there before it came; undefined while the leader is asked. */
  since: number | undefined;
  /** What came while the leader was asked. */
  held: Entry[];
}

/** A topic that somebody on this node reads. */
interface Followed {
  readonly topic: Topic;
  readonly subscribers: Set<Subscriber>;
  /** The last entry that came by the tail, or that was there before the tail began. */
  last: number;
  /** The last position that anybody here was told of. */
  told: Told;
  readonly signals: { unsubscribe(): void };
}

/** One log stream on this node. */
export class Partition {
  readonly index: number;
  readonly stream: string;
  readonly tail: Tail;
  /** By subject: so an entry that nobody here wants costs one look-up. */
  readonly followed = new Map<string, Followed>();
  readonly #logger: StorageContext["logger"];

  constructor(api: Api, context: StorageContext, stream: LogStream) {
    this.index = stream.partition;
    this.stream = stream.name;
    this.#logger = context.logger;
    this.tail = new Tail(api, context, stream, {
      entry: (subject, sequence, message) => {
        const followed = this.followed.get(subject);
        if (followed !== undefined) this.#entry(followed, sequence, message);
      },
      replaced: () => this.#replaced(),
    });
  }

  #entry(followed: Followed, offset: number, message: JetStreamMessage): void {
    const content = unwrap(message.data);
    if (content === undefined) return;
    const { topic, last: previous } = followed;
    const entry: Entry = { topic, epoch: this.tail.epoch, offset, previous, ...content };
    followed.last = offset;
    if (offset > followed.told.offset) followed.told = { offset, expiresAt: entry.expiresAt };
    for (const subscriber of followed.subscribers) {
      if (subscriber.since === undefined) subscriber.held.push(entry);
      else if (offset > subscriber.since) this.tell(() => subscriber.listener.entry(entry));
    }
  }

  #replaced(): void {
    for (const followed of this.followed.values()) {
      followed.last = 0;
      followed.told = NOTHING;
      for (const subscriber of followed.subscribers) {
        // Whoever still waits is told of the head in this life.
        if (subscriber.since === undefined) subscriber.held = [];
        else {
          subscriber.since = 0;
          this.tell(() => subscriber.listener.gap());
        }
      }
    }
  }

  /** A listener's throw is its own. */
  tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#logger.error("a topic's listener threw", { error });
    }
  }
}

/** Topic logs in JetStream: published straight into the streams, read off their tails. */
export class Logs implements Transport {
  readonly durable = true;
  readonly #name: string;
  readonly #api: Api;
  readonly #publisher: Publisher;
  readonly #partitions: readonly Partition[];
  #closed = false;

  constructor(name: string, api: Api, publisher: Publisher, partitions: readonly Partition[]) {
    this.#name = name;
    this.#api = api;
    this.#publisher = publisher;
    this.#partitions = partitions;
  }

  /** Where a topic is kept. */
  locate(topic: Topic): { partition: Partition; subject: string } {
    const partition = this.#partitions[partitionOf(topic, this.#partitions.length)]!;
    return { partition, subject: logSubject(this.#name, partition.index, topic) };
  }

  publish(topic: Topic, bytes: Uint8Array, options: AppendOptions): Promise<Appended> {
    if (this.#closed) return Promise.reject(closed());
    const { partition, subject } = this.locate(topic);
    return this.#publisher.publish(subject, topic, bytes, options, () => partition.tail.epoch);
  }

  async subscribe(topic: Topic, listener: TopicListener): Promise<TopicSubscription> {
    if (this.#closed) throw closed();
    if (this.#api.link.hasEnded) throw closedConnection();
    const { partition, subject } = this.locate(topic);
    const followed = this.#follow(partition, subject, topic);
    // First here, then the question: what comes after the leader's answer has come here, or will.
    const subscriber: Subscriber = { listener, since: undefined, held: [] };
    followed.subscribers.add(subscriber);
    const close = (): void => {
      if (!followed.subscribers.delete(subscriber) || followed.subscribers.size > 0) return;
      partition.followed.delete(subject);
      followed.signals.unsubscribe();
    };
    try {
      const { epoch, head } = await this.#headNow(partition, subject);
      const since = head.offset;
      // Of what the tail has passed already nothing comes any more; of the rest it will tell.
      if (since <= partition.tail.last) followed.last = Math.max(followed.last, since);
      if (since > followed.told.offset) followed.told = head;
      subscriber.since = since;
      this.#release(partition, subscriber, since);
      return { head: { epoch, offset: since }, close };
    } catch (error) {
      close();
      throw error;
    }
  }

  signal(topic: Topic, bytes: Uint8Array): void {
    if (!this.#closed) this.#api.link.send(signalSubject(this.#name, topic), bytes);
  }

  /** What this node was told of a topic: no answer may say less. */
  told(partition: Partition, subject: string): Told {
    return partition.followed.get(subject)?.told ?? NOTHING;
  }

  close(): void {
    this.#closed = true;
    for (const { followed } of this.#partitions) {
      for (const { signals, subscribers } of followed.values()) {
        signals.unsubscribe();
        subscribers.clear();
      }
      followed.clear();
    }
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** The head and the life it is in: asked again if another life began meanwhile. */
  async #headNow(partition: Partition, subject: string): Promise<{ epoch: number; head: Told }> {
    for (;;) {
      const { epoch } = partition.tail;
      const head = await headOf(this.#api, partition.stream, subject);
      if (epoch === partition.tail.epoch) return { epoch, head };
    }
  }

  #follow(partition: Partition, subject: string, topic: Topic): Followed {
    let followed = partition.followed.get(subject);
    if (followed === undefined) {
      const subscribers = new Set<Subscriber>();
      const signals = this.#api.link.connection.subscribe(signalSubject(this.#name, topic), {
        callback: (error, { data }) => {
          if (error !== null) return;
          for (const { listener } of subscribers) partition.tell(() => listener.signal?.(data));
        },
      });
      partition.followed.set(subject, followed = { topic, subscribers, last: 0, told: NOTHING, signals });
    }
    return followed;
  }

  #release(partition: Partition, subscriber: Subscriber, since: number): void {
    const held = subscriber.held;
    subscriber.held = [];
    for (const entry of held) {
      if (entry.offset <= since) continue;
      // Nothing stands between the head and the first entry behind it.
      const joined = entry.previous < since ? { ...entry, previous: since } : entry;
      partition.tell(() => subscriber.listener.entry(joined));
    }
  }
}

function signalSubject(name: string, topic: Topic): string {
  return subjectOf(name, "sig", topic);
}
