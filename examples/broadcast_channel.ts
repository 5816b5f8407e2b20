/**
 * A storage of your own, made from what src/ports says: its transport is a BroadcastChannel, which joins the engines in the
 * worker threads of one process (in a browser: in the tabs of one origin). Live only: no log, so nobody catches up on what
 * was said while they were away, and a message has no position. See it run in broadcast_channel_demo.ts.
 */
import { PeykError } from "peyk";
import type {
  Appended,
  OpenStorage,
  Position,
  Storage,
  StorageContext,
  Topic,
  TopicListener,
  TopicSubscription,
  Transport,
} from "peyk";

/** What goes over the channel: a structured clone, so bytes stay bytes and topics need no escaping. */
interface Told {
  topic: Topic;
  bytes: Uint8Array;
}

/** No log has a last position. Always the same one, so that no engine takes it for a log that was lost. */
const HEAD: Position = { epoch: 1, offset: 0 };

/**
 * @param name engines that name the same channel hear each other
 * @param keeper where users and pushes are kept: `memory()` for each engine by itself
 */
export function broadcastChannel(name: string, keeper: Storage): Storage {
  return {
    async open(context: StorageContext): Promise<OpenStorage> {
      const kept = await keeper.open(context);
      const channel = new ChannelTransport(name, context);
      return {
        transport: channel,
        users: kept.users,
        outbox: kept.outbox,
        ...(kept.peers && { peers: kept.peers }),
        async close() {
          channel.close();
          await kept.close();
        },
      };
    },
  };
}

class ChannelTransport implements Transport {
  readonly durable = false;
  readonly #logger: StorageContext["logger"];
  /** A BroadcastChannel never hears itself; a publisher is to hear its own messages. So one speaks and its twin hears. */
  readonly #mouth: BroadcastChannel;
  readonly #ear: BroadcastChannel;
  readonly #subscriptions = new Map<Topic, Set<{ listener: TopicListener }>>();
  #closed = false;

  constructor(name: string, { logger }: StorageContext) {
    this.#logger = logger;
    this.#mouth = new BroadcastChannel(`peyk ${name}`);
    this.#ear = new BroadcastChannel(`peyk ${name}`);
    this.#ear.onmessage = ({ data }: MessageEvent<Told>) => this.#tell(data);
  }

  publish(topic: Topic, bytes: Uint8Array): Promise<Appended> {
    if (this.#closed) return Promise.reject(closed());
    this.signal(topic, bytes);
    return Promise.resolve({ position: null, duplicate: false, durability: "memory" });
  }

  subscribe(topic: Topic, listener: TopicListener): Promise<TopicSubscription> {
    if (this.#closed) return Promise.reject(closed());
    const subscription = { listener };
    const all = this.#subscriptions.get(topic) ?? new Set();
    this.#subscriptions.set(topic, all.add(subscription));
    const close = () => void (all.delete(subscription) && all.size === 0 && this.#subscriptions.delete(topic));
    return Promise.resolve({ head: HEAD, close });
  }

  signal(topic: Topic, bytes: Uint8Array): void {
    // The clone takes the whole buffer that lies behind the bytes; slice() leaves what is not theirs.
    if (!this.#closed) this.#mouth.postMessage({ topic, bytes: bytes.slice() } satisfies Told);
  }

  close(): void {
    this.#closed = true;
    this.#mouth.close();
    this.#ear.close();
  }

  #tell({ topic, bytes }: Told): void {
    for (const { listener } of this.#subscriptions.get(topic) ?? []) {
      try {
        listener.signal?.(bytes);
      } catch (error) {
        this.#logger.error("a listener threw", { topic, error: String(error) });
      }
    }
  }
}

const closed = (): PeykError => new PeykError("closed", "the channel is closed");
