import type { Topic } from "../protocol/names.ts";
import type { Transport } from "../ports/transport.ts";
import { Feed, type FeedSink } from "./feed.ts";
import type { Reader } from "./session.ts";

/** The feeds that somebody on this node reads. */
export class Hub {
  readonly #transport: Transport;
  readonly #feeds = new Map<Topic, { feed: Promise<Feed<Reader>>; opened: Feed<Reader> | undefined; users: number }>();
  #sink: FeedSink<Reader> | undefined;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Says who takes what the feeds bring. Once, before the first feed. */
  connect(sink: FeedSink<Reader>): void {
    this.#sink = sink;
  }

  /** Each `open` is matched by one `release`. */
  async open(topic: Topic): Promise<Feed<Reader>> {
    let slot = this.#feeds.get(topic);
    if (slot === undefined) {
      const feed = new Feed<Reader>(topic);
      slot = { feed: feed.open(this.#transport, this.#sink!), opened: undefined, users: 0 };
      this.#feeds.set(topic, slot);
    }
    slot.users++;
    try {
      return slot.opened ??= await slot.feed;
    } catch (error) {
      if (this.#feeds.get(topic) === slot) this.#feeds.delete(topic);
      throw error;
    }
  }

  release(feed: Feed<Reader>): void {
    const slot = this.#feeds.get(feed.topic);
    if (slot === undefined || --slot.users > 0) return;
    this.#feeds.delete(feed.topic);
    feed.close();
  }

  find(topic: Topic): Feed<Reader> | undefined {
    return this.#feeds.get(topic)?.opened;
  }

  get size(): number {
    return this.#feeds.size;
  }
}
