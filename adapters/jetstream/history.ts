import type { StorageContext } from "../../src/ports/storage.ts";
import type { Entry, History, HistoryPage } from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Api } from "./api.ts";
import { bytesOf, headOf, nextOf, READ_MS, type Told } from "./head.ts";
import { closedConnection, type JetStreamMessage, unavailable } from "./link.ts";
import { closed, type Logs } from "./logs.ts";
import { unwrap } from "./log_format.ts";

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

/** Entries asked for at a time. */
const MOST_AT_ONCE = 1_000;

/** Reads logs: entries from whichever replica answers, the head from the leader. */
export class LogHistory implements History {
  readonly #api: Api;
  readonly #clock: StorageContext["clock"];
  readonly #logs: Logs;
  readonly #hearsay: Hearsay;

  constructor(api: Api, clock: StorageContext["clock"], logs: Logs, hearsay: Hearsay) {
    this.#api = api;
    this.#clock = clock;
    this.#logs = logs;
    this.#hearsay = hearsay;
  }

  async read(topic: Topic, after: number, limit: number): Promise<HistoryPage> {
    const end = this.#clock.elapsed() + READ_MS;
    do {
      if (this.#logs.isClosed) throw closed();
      if (this.#api.link.hasEnded) throw closedConnection();
      const page = await this.#read(topic, after, limit);
      if (page !== undefined) return page;
    } while (this.#clock.elapsed() < end);
    throw unavailable("the log's leader lacks entries that it should have");
  }

  /** @returns undefined: another life began meanwhile, or a leader that was voted out answered; it is to be asked again */
  async #read(topic: Topic, after: number, limit: number): Promise<HistoryPage | undefined> {
    const { partition, subject } = this.#logs.locate(topic);
    const { stream, tail } = partition;
    const { epoch } = tail;
    // What was told before the question: on a busy topic more is told while the answers are on their way.
    const told = [this.#logs.told(partition, subject), this.#hearsay.told(topic)];
    const first = after < Number.MAX_SAFE_INTEGER ? this.#batch(stream, subject, after + 1, limit + 1) : NOTHING;
    const [leaders, batch] = await Promise.all([headOf(this.#api, stream, subject), first]);
    const now = this.#clock.now();
    const entries: Entry[] = [];
    let through = after;
    let expired = 0;
    /** Whether there are unexpired entries beyond the page. */
    let more = false;
    let last = 0;
    const take = ({ offset, bytes, expiresAt }: Stored): void => {
      last = offset;
      if (more) return;
      if (expiresAt <= now) expired++;
      else if (entries.length === limit) more = true;
      else entries.push({ topic, epoch, offset, previous: through, bytes, expiresAt });
      if (!more) through = offset;
    };
    batch.stored.forEach(take);
    for (let next = batch; !more && next.more && next.stored.length > 0; next.stored.forEach(take)) {
      next = await this.#batch(stream, subject, through + 1, limit + 1 - entries.length);
    }
    // That replica may lag behind what the leader, and by it this node, knows of.
    while (!more && through < leaders.offset) {
      const message = await nextOf(this.#api, stream, subject, through + 1);
      const content = message && unwrap(bytesOf(message));
      if (content === undefined) break;
      take({ offset: message!.seq, ...content });
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

  async #batch(stream: string, subject: string, seq: number, most: number): Promise<Batch> {
    const batch = Math.min(most, MOST_AT_ONCE);
    let more = false;
    const stored = await this.#api.gather<Stored>(
      `DIRECT.GET.${stream}`,
      { batch, seq, next_by_subj: subject },
      READ_MS,
      (message, items) => {
        const code = message.headers?.code ?? 0;
        // 204 ends a batch and says how many more there are, 404 stands for an empty one (ADR-31).
        if (code !== 0) {
          more = code === 204 && Number(message.headers!.get("Nats-Num-Pending")) > 0;
          return true;
        }
        const item = storedOf(message);
        if (item !== undefined) items.push(item);
        return false;
      },
    );
    return { stored, more };
  }
}

const NOTHING: Batch = Object.freeze({ stored: [], more: false });

function storedOf(message: JetStreamMessage): Stored | undefined {
  const content = unwrap(message.data);
  return content && { offset: Number(message.headers?.get("Nats-Sequence")), ...content };
}
