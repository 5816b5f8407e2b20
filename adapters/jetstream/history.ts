import type { StorageContext } from "../../src/ports/storage.ts";
import type { Entry, History, HistoryPage } from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { closed, closedConnection, unavailable } from "../nats/errors.ts";
import type { Api } from "./api.ts";
import type { JetStreamMessage } from "./connection.ts";
import { headOf, nextOf, READ_MS, type Told } from "./head.ts";
import { Joined } from "./joined.ts";
import type { Logs } from "./logs.ts";
import { unwrap } from "./log_format.ts";
import { Replicas } from "./replicas.ts";

/** Who else was told of entries. */
export interface Hearsay {
  told(topic: Topic): Told;
}

interface Stored {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly expiresAt: number;
}

/** A part of a log as one replica has it. */
interface Batch {
  readonly stored: Stored[];
  /** Whether the replica has more. */
  readonly more: boolean;
}

/** Reads logs: pages from whichever replica answers, the head from the leader; and single entries too, which nothing is then to hold up. */
export class LogHistory implements History {
  readonly #api: Api;
  readonly #clock: StorageContext["clock"];
  readonly #logs: Logs;
  readonly #hearsay: Hearsay;
  readonly #replicas: Replicas;
  /** When a node died, all who read a public topic come at once, and want the same pages. */
  readonly #pages = new Joined<HistoryPage>();

  constructor(api: Api, clock: StorageContext["clock"], logs: Logs, hearsay: Hearsay) {
    this.#api = api;
    this.#clock = clock;
    this.#logs = logs;
    this.#hearsay = hearsay;
    this.#replicas = new Replicas(api, clock);
  }

  /** Ends what is being read. */
  close(): void {
    this.#replicas.close(closed());
  }

  read(topic: Topic, after: number, limit: number, maxBytes: number = Infinity): Promise<HistoryPage> {
    return this.#pages.ask(`${after} ${limit} ${maxBytes} ${topic}`, () => this.#page(topic, after, limit, maxBytes));
  }

  async #page(topic: Topic, after: number, limit: number, maxBytes: number): Promise<HistoryPage> {
    const end = this.#clock.elapsed() + READ_MS;
    do {
      if (this.#logs.isClosed) throw closed();
      if (this.#api.link.hasEnded) throw closedConnection();
      const page = await this.#read(topic, after, limit, maxBytes);
      if (page !== undefined) return page;
    } while (this.#clock.elapsed() < end);
    throw unavailable("the log's leader lacks entries that it should have");
  }

  /** @returns undefined: another life began meanwhile, or a leader that was voted out answered; it is to be asked again */
  async #read(topic: Topic, after: number, limit: number, maxBytes: number): Promise<HistoryPage | undefined> {
    const { partition, subject } = this.#logs.locate(topic);
    const { stream, tail } = partition;
    const { epoch } = tail;
    // What was told before the question: on a busy topic more is told while the answers are on their way.
    const told = [this.#logs.told(partition, subject), this.#hearsay.told(topic)];
    const first = after < Number.MAX_SAFE_INTEGER ? this.#first(stream, subject, after + 1, limit, maxBytes) : NOTHING;
    const [leaders, batch] = await Promise.all([headOf(this.#api, stream, subject), first]);
    const now = this.#clock.now();
    const entries: Entry[] = [];
    let through = after;
    let expired = 0;
    /** Whether there are unexpired entries beyond the page. */
    let more = false;
    let last = 0;
    let taken = 0;
    const take = ({ offset, bytes, expiresAt }: Stored): void => {
      last = offset;
      if (more) return;
      if (expiresAt <= now) expired++;
      else if (entries.length === limit || (entries.length > 0 && taken + bytes.length > maxBytes)) more = true;
      else {
        taken += bytes.length;
        entries.push({ topic, epoch, offset, previous: through, bytes, expiresAt });
      }
      if (!more) through = offset;
    };
    batch.stored.forEach(take);
    for (let next = batch; !more && next.more && next.stored.length > 0; next.stored.forEach(take)) {
      next = await this.#batch(stream, subject, through + 1, limit + 1 - entries.length, maxBytes - taken);
    }
    // That replica may lag behind what the leader, and by it this node, knows of.
    while (!more && through < leaders.offset) {
      // Whoever wants one entry does not read on: to step over what expired behind it is not worth a question.
      if (limit === 1 && entries.length === 1) more = true;
      else {
        const next = await this.#fromLeader(stream, subject, through + 1);
        if (next === undefined) {
          // Its head is not there any more: it has expired since, or another leader answers by now that has not applied it yet.
          if (leaders.expiresAt > this.#clock.now()) return undefined;
          break;
        }
        take(next);
      }
    }
    if (epoch !== tail.epoch) return undefined;
    let head = Math.max(leaders.offset, last);
    for (const { offset, expiresAt } of told) {
      if (offset <= head) continue;
      if (expiresAt > now) return undefined;
      head = offset;
    }
    if (!more) through = head;
    return { entries, through, expired, head: { epoch, offset: head }, floor: 0 };
  }

  /** As many as are wanted, and one more where that costs nothing: to know whether there are more. */
  #first(stream: string, subject: string, seq: number, limit: number, maxBytes: number): Promise<Batch> {
    if (limit > 1) return this.#batch(stream, subject, seq, limit + 1, maxBytes);
    return this.#fromLeader(stream, subject, seq).then((stored) =>
      stored === undefined ? NOTHING : { stored: [stored], more: false }
    );
  }

  async #fromLeader(stream: string, subject: string, seq: number): Promise<Stored | undefined> {
    const message = await nextOf(this.#api, stream, subject, seq);
    const content = message && unwrap(message.bytes);
    return content && { offset: message!.seq, ...content };
  }

  async #batch(stream: string, subject: string, seq: number, most: number, maxBytes: number): Promise<Batch> {
    const { messages, more } = await this.#replicas.read(stream, subject, seq, most, maxBytes);
    return { stored: messages.map(storedOf).filter((stored) => stored !== undefined), more };
  }
}

const NOTHING: Batch = Object.freeze({ stored: [], more: false });

function storedOf(message: JetStreamMessage): Stored | undefined {
  const content = unwrap(message.data);
  return content && { offset: Number(message.headers?.get("Nats-Sequence")), ...content };
}
