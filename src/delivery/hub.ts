import type { Topic } from "../protocol/names.ts";
import type { Transport } from "../ports/transport.ts";
import type { CacheBytes } from "./cache_bytes.ts";
import { Feed, type FeedSink } from "./feed.ts";
import type { Reader } from "./session.ts";

/** The feeds that somebody on this node reads. */
export class Hub {
  readonly #transport: Transport;
  readonly #held: CacheBytes;
  readonly #feeds = new Map<Topic, Feed<Reader>>();
  #sink: FeedSink<Reader> | undefined;

  /** @param held where the bytes are counted that feeds remember */
  constructor(transport: Transport, held: CacheBytes) {
    this.#transport = transport;
    this.#held = held;
  }

  /** Says who takes what the feeds bring. Once, before the first feed. */
  connect(sink: FeedSink<Reader>): void {
    this.#sink = sink;
  }

  /** Each `open` is matched by one `release`. */
  open(topic: Topic): Feed<Reader> | Promise<Feed<Reader>> {
    const feed = this.#feeds.get(topic) ?? this.#begin(topic);
    feed.users++;
    return feed.opening === undefined ? feed : feed.opening.then(() => feed);
  }

  #begin(topic: Topic): Feed<Reader> {
    const feed = new Feed<Reader>(topic, this.#sink!, this.#held);
    this.#feeds.set(topic, feed);
    feed.opening = feed.open(this.#transport).then(
      () => feed.opening = undefined,
      (error: unknown) => {
        this.#feeds.delete(topic);
        throw error;
      },
    );
    return feed;
  }

  release(feed: Feed<Reader>): void {
    if (--feed.users > 0) return feed.prune();
    this.#feeds.delete(feed.topic);
    feed.close();
  }

  find(topic: Topic): Feed<Reader> | undefined {
    const feed = this.#feeds.get(topic);
    return feed?.opening === undefined ? feed : undefined;
  }
}
