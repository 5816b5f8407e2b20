import type { Clock, Timer } from "../../src/ports/clock.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import { unavailable } from "../nats/errors.ts";
import { AckSubjects } from "./ack_subject.ts";
import type { JetStreamMessage } from "./connection.ts";
import type { OutboxIndex } from "./outbox_index.ts";
import { readOpenDocument } from "./outbox_row.ts";
import { toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { unanswered } from "./state_writer.ts";

/** How often the server says that it is there though nothing happens. */
const HEARTBEAT_MS = 500;
/** Silent for so long, it is taken for gone. */
const SILENCE_MS = 2_000;
const RETRY_MS = 500;
/** How often one is tried to be made when the node starts: whether it comes to be on a server that answers is chance. */
const OPEN_TRIES = 5;
const MARK_SECONDS = 60;
const NANOS = 1_000_000;
const EMPTY = new Uint8Array();

/**
 * Keeps the index of open rows in step with the stream: a consumer that begins with the last version of each. Whatever goes wrong
 * with it, another one begins anew, and at the mark that is written then the index has everything, and nothing that is gone.
 */
export class OutboxFollower {
  readonly #stream: StateStream;
  readonly #index: OutboxIndex;
  readonly #clock: Clock;
  readonly #logger: StorageContext["logger"];
  readonly #id: string;
  #life = 0;
  #consumer: { name: string; unsubscribe(): void } | undefined;
  #heardAt = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(stream: StateStream, index: OutboxIndex, { clock, logger, random }: StorageContext) {
    this.#stream = stream;
    this.#index = index;
    this.#clock = clock;
    this.#logger = logger;
    this.#id = random.id().replaceAll(/[^A-Za-z0-9]/g, "");
  }

  /**
   * Resolves when the index has everything that was there.
   * @throws {PeykError} `unavailable`
   */
  async open(): Promise<void> {
    for (let tries = 1;; tries++) {
      try {
        await this.#begin();
        return this.#watch();
      } catch (error) {
        if (tries === OPEN_TRIES || this.#closed) throw error;
      }
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#end();
  }

  #watch(): void {
    if (this.#closed) return;
    const silent = this.#consumer === undefined || this.#clock.elapsed() - this.#heardAt >= SILENCE_MS;
    const look = (): void => {
      this.#timer = this.#clock.setTimeout(() => this.#watch(), RETRY_MS);
    };
    if (!silent) return look();
    this.#begin().catch((error: unknown) => {
      if (!this.#closed) this.#logger.warn("the outbox can't be followed, it is tried again", { error });
    }).finally(look);
  }

  /** The next look begins anew. */
  #fail(): void {
    this.#consumer?.unsubscribe();
    this.#consumer = undefined;
  }

  async #begin(): Promise<void> {
    this.#end();
    const name = `outbox-${this.#id}-${++this.#life}`;
    const mark = `${this.#stream.prefix}.b.${name}`;
    const { link, inbox } = this.#stream.api;
    const deliver = inbox.beside();
    const acks = new AckSubjects(this.#stream.name, name);
    const marked = Promise.withResolvers<void>();
    this.#index.begin();
    let delivered = 0;
    let isAtMark = false;
    const take = (message: JetStreamMessage): void => {
      this.#heardAt = this.#clock.elapsed();
      if (message.subject === deliver) {
        // Heartbeats and flow control (ADR-15).
        const stalled = message.reply || message.headers?.get("Nats-Consumer-Stalled");
        if (stalled) link.send(stalled, EMPTY);
        const last = message.headers?.get("Nats-Last-Consumer");
        if (message.headers?.code !== 100 || (last && Number(last) !== delivered)) this.#fail();
        return;
      }
      const delivery = acks.read(message.reply ?? "");
      if (delivery?.consumerSequence !== ++delivered) return this.#fail();
      const seq = delivery.streamSequence;
      if (message.subject === mark) {
        this.#index.retain(seq);
        isAtMark = true;
        return marked.resolve();
      }
      this.#index.stands(message.subject);
      const { open } = readOpenDocument(message.subject, { seq, bytes: message.data }, this.#clock.now(), isAtMark);
      if (open === undefined) this.#index.end(message.subject, seq, true);
      else this.#index.set(open);
    };
    const subscription = link.connection.subscribe(deliver, {
      callback: (error, message) => {
        if (this.#consumer?.name !== name) return;
        if (error === null) take(message);
        else this.#fail();
      },
    });
    this.#consumer = { name, unsubscribe: () => subscription.unsubscribe() };
    try {
      await this.#stream.consume(name, {
        deliver_subject: deliver,
        deliver_policy: "last_per_subject",
        filter_subjects: [`${this.#stream.prefix}.p.>`, mark],
        ack_policy: "none",
        max_deliver: 1,
        flow_control: true,
        idle_heartbeat: HEARTBEAT_MS * NANOS,
        inactive_threshold: 5 * SILENCE_MS * NANOS,
        mem_storage: true,
        num_replicas: 1,
      });
      this.#heardAt = this.#clock.elapsed();
      await this.#write(mark);
      await within(marked.promise);
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async #write(mark: string): Promise<void> {
    let cause: unknown;
    const patience = this.#stream.api.patience();
    do {
      const outcome = await this.#stream.write([{ subject: mark, bytes: toBytes(0), ttl: MARK_SECONDS }]);
      if (outcome.kind === "stored") return;
      cause = outcome;
    } while (await patience.again());
    throw unanswered(cause);
  }

  #end(): void {
    const gone = this.#consumer;
    this.#fail();
    // The server removes it after a while by itself.
    if (gone !== undefined) this.#stream.forgetConsumer(gone.name);
  }
}

/** What the server waits for may never come; the next look begins anew. */
async function within(marked: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((_, reject) => {
    timer = setTimeout(() => reject(unavailable("the outbox was not delivered in time")), 30_000);
  });
  await Promise.race([marked, late]).finally(() => clearTimeout(timer));
}
