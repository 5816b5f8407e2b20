import type { StatementSync } from "node:sqlite";
import type { StorageContext } from "../../src/ports/storage.ts";
import type {
  Appended,
  AppendOptions,
  Entry,
  History,
  HistoryPage,
  TopicListener,
  TopicSubscription,
  Transport,
} from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Answers } from "./commands.ts";
import type { Reader } from "./reader.ts";
import type { SqliteWork } from "./work.ts";
import type { Writer } from "./writer.ts";

interface Subscriber {
  readonly listener: TopicListener;
  /** Entries up to here were there before it came. */
  readonly since: number;
}

type EntryRow = readonly [position: number, expires: number, bytes: Uint8Array];

/** Topic logs in the file. */
export class SqliteLogs implements Transport, History {
  readonly durable = true;
  readonly #context: StorageContext;
  readonly #epoch: number;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #work: SqliteWork;
  readonly #subscribers = new Map<Topic, Set<Subscriber>>();
  readonly #topic: StatementSync;
  readonly #entries: StatementSync;

  constructor(context: StorageContext, epoch: number, writer: Writer, reader: Reader, work: SqliteWork) {
    this.#context = context;
    this.#epoch = epoch;
    this.#writer = writer;
    this.#reader = reader;
    this.#work = work;
    this.#topic = reader.prepare("SELECT id, head, floor FROM topic WHERE name = ?");
    this.#entries = reader.prepare(
      "SELECT position, expires, bytes FROM entry WHERE topic = ? AND position > ? AND expires > ? ORDER BY position LIMIT ?",
    );
    // An object with names for each row costs a third of the read. Node before 22.16 has only these.
    this.#entries.setReturnArrays?.(true);
  }

  publish(topic: Topic, bytes: Uint8Array, { key, expiresAt }: AppendOptions): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const now = this.#context.clock.now();
      this.#writer.write({ kind: "publish", topic, bytes: alone(bytes), key, expiresAt, now }, (answer) => {
        const { offset, duplicate } = answer as Answers["publish"];
        if (!duplicate) {
          this.#work.hint(topic, offset);
          // Answers come in the order of offsets, so reports do.
          this.#report({ topic, epoch: this.#epoch, offset, previous: offset - 1, bytes, expiresAt });
        }
        resolve({ position: { epoch: this.#epoch, offset }, duplicate, durability: "disk" });
      }, reject);
    });
  }

  subscribe(topic: Topic, listener: TopicListener): Promise<TopicSubscription> {
    return this.#reader.run(() => {
      const head = Number(this.#topic.get(topic)?.head ?? 0);
      const subscriber: Subscriber = { listener, since: head };
      let all = this.#subscribers.get(topic);
      if (all === undefined) this.#subscribers.set(topic, all = new Set());
      all.add(subscriber);
      return {
        head: { epoch: this.#epoch, offset: head },
        close: () => {
          const left = this.#subscribers.get(topic);
          if (left?.delete(subscriber) && left.size === 0) this.#subscribers.delete(topic);
        },
      };
    });
  }

  signal(topic: Topic, bytes: Uint8Array): void {
    for (const { listener } of this.#subscribers.get(topic) ?? []) this.#tell(() => listener.signal?.(bytes));
  }

  read(topic: Topic, after: number, limit: number, maxBytes: number = Infinity): Promise<HistoryPage> {
    return this.#reader.together(() => {
      const row = this.#topic.get(topic) as { id: number; head: number; floor: number } | undefined;
      const head = { epoch: this.#epoch, offset: row?.head ?? 0 };
      if (row === undefined) return { entries: [], through: 0, expired: 0, head, floor: 0 };
      const entries: Entry[] = [];
      let bytes = 0;
      let more = false;
      // One more than fits tells whether there is more.
      for (const found of this.#entries.iterate(row.id, after, this.#context.clock.now(), limit + 1)) {
        const entry = this.#entry(topic, rowOf(found));
        bytes += entry.bytes.length;
        more = entries.length === limit || (entries.length > 0 && bytes > maxBytes);
        if (more) break;
        entries.push(entry);
      }
      const through = more ? entries.at(-1)?.offset ?? after : row.head;
      // Above the floor only expired entries are missing.
      const expired = Math.max(0, through - Math.max(after, row.floor) - entries.length);
      return { entries, through, expired, head, floor: row.floor };
    });
  }

  #entry(topic: Topic, [offset, expires, bytes]: EntryRow): Entry {
    return { topic, epoch: this.#epoch, offset, previous: offset - 1, bytes, expiresAt: expires };
  }

  #report(entry: Entry): void {
    for (const { listener, since } of this.#subscribers.get(entry.topic) ?? []) {
      if (entry.offset > since) this.#tell(() => listener.entry(entry));
    }
  }

  #tell(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#context.logger.error("a topic's listener threw", { error });
    }
  }
}

/** A row in the order in which its columns were asked for. */
function rowOf(found: unknown): EntryRow {
  return (Array.isArray(found) ? found : Object.values(found as object)) as unknown as EntryRow;
}

/** Bytes that are a part of a larger buffer would take all of that to the other thread. */
function alone(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
