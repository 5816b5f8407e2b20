import type { Timer } from "../../src/ports/clock.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { unavailable } from "../nats/errors.ts";
import { AckSubjects, type Delivery } from "./ack_subject.ts";
import type { Api } from "./api.ts";
import type { JetStreamConnection, JetStreamMessage } from "./connection.ts";
import { serverExpiry, topicOfSubject } from "./log_format.ts";

/** The durable consumer of every log stream that all nodes share. */
const CONSUMER = "sweep";
/** How long the server waits for a word about an entry before it gives it to somebody else. */
const ACK_WAIT_MS = 10_000;
/** Entries that all nodes together have not answered for. */
const MAX_ACK_PENDING = 10_000;
/** Entries asked for at a time. */
const BATCH = 500;
const PULL_MS = 30_000;
/** The server says this often that it is there, when there is nothing else to say. */
const HEARTBEAT_MS = 1_000;
/** So many of them missing: the pull was lost. */
const SILENT_BEATS = 3;
const RETRY_MS = 200;
const ASK_MS = 5_000;
const NANOS = 1_000_000;

const encoder = new TextEncoder();
const DONE = encoder.encode("+ACK");
const BUSY = encoder.encode("+WPI");

/** An entry that this node is to answer for. */
export interface Pulled {
  readonly topic: Topic;
  readonly offset: number;
  /** How often somebody was given it, this time included. */
  readonly deliveries: number;
  /** Milliseconds since 1970, by the server's clock, to the second. */
  expiresAt(): number;
  done(): void;
  /** Keeps the server from giving it to somebody else. */
  stillBusy(): void;
  /** Somebody is to be given it again after so long. */
  giveBack(waitMs: number): void;
}

class PulledEntry implements Pulled {
  readonly topic: Topic;
  readonly #link: Api["link"];
  readonly #message: JetStreamMessage;
  readonly #delivery: Delivery;

  constructor(link: Api["link"], topic: Topic, message: JetStreamMessage, delivery: Delivery) {
    this.topic = topic;
    this.#link = link;
    this.#message = message;
    this.#delivery = delivery;
  }

  get offset(): number {
    return this.#delivery.streamSequence;
  }

  get deliveries(): number {
    return this.#delivery.deliveries;
  }

  expiresAt(): number {
    return serverExpiry(this.#delivery.storedAt, Number(this.#message.headers?.get("Nats-TTL")));
  }

  done(): void {
    this.#answer(DONE);
  }

  stillBusy(): void {
    this.#answer(BUSY);
  }

  giveBack(waitMs: number): void {
    this.#answer(encoder.encode(`-NAK {"delay": ${waitMs * NANOS}}`));
  }

  #answer(bytes: Uint8Array): void {
    this.#link.send(this.#message.reply!, bytes);
  }
}

/** Who takes what was pulled. */
export interface Taker {
  /** How many more it wants. */
  room(): number;
  take(pulled: Pulled): void;
}

/** Takes new entries of one log stream from the consumer that all nodes share. */
export class Puller {
  readonly #api: Api;
  readonly #context: StorageContext;
  readonly #stream: string;
  readonly #taker: Taker;
  readonly #acks: AckSubjects;
  readonly #subject: string;
  readonly #unlisten: () => void;
  #subscription: ReturnType<JetStreamConnection["subscribe"]> | undefined;
  /** What is still to come of the request under way, whose number is in its subject. */
  #due = 0;
  #request = 0;
  #silent = 0;
  #beat: Timer | undefined;
  #retry: Timer | undefined;
  #opened = false;
  #closed = false;

  constructor(api: Api, context: StorageContext, stream: string, taker: Taker) {
    this.#api = api;
    this.#context = context;
    this.#stream = stream;
    this.#taker = taker;
    this.#acks = new AckSubjects(stream, CONSUMER);
    this.#subject = api.inbox.beside();
    this.#unlisten = api.link.listen({ back: () => this.#again("the connection was lost"), ended: () => this.#stop() });
  }

  /** @throws {PeykError} `unavailable` */
  async open(): Promise<void> {
    this.#subscription = this.#api.link.connection.subscribe(`${this.#subject}.*`, {
      callback: (error, message) => {
        if (error !== null) this.#again(error.message);
        else if (message.subject.startsWith(this.#subject)) this.#status(message);
        else this.#entry(message);
      },
    });
    await this.#ensure();
    this.#opened = true;
    this.pull();
  }

  /** Asks for more if there is room and nothing is under way. */
  pull(): void {
    if (!this.#opened || this.#closed || this.#due > 0 || this.#retry !== undefined || !this.#api.link.isUp) return;
    const batch = Math.min(BATCH, this.#taker.room());
    if (batch <= 0) return;
    this.#due = batch;
    this.#silent = 0;
    const body = { batch, expires: PULL_MS * NANOS, idle_heartbeat: HEARTBEAT_MS * NANOS };
    const reply = `${this.#subject}.${++this.#request}`;
    this.#api.link.send(`$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${CONSUMER}`, encoder.encode(JSON.stringify(body)), { reply });
    this.#beat ??= this.#context.clock.setTimeout(this.#listen, HEARTBEAT_MS);
  }

  /** Asks for nothing more. What still comes is given back by whoever takes it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unlisten();
    const subscription = this.#subscription;
    if (this.#api.link.isUp) await subscription?.drain().catch(() => {});
    this.#stop();
  }

  #stop(): void {
    this.#closed = true;
    for (const timer of [this.#beat, this.#retry]) if (timer !== undefined) this.#context.clock.clearTimeout(timer);
    this.#subscription?.unsubscribe();
  }

  #entry(message: JetStreamMessage): void {
    this.#silent = 0;
    if (this.#due > 0) this.#due--;
    const { link } = this.#api;
    const reply = message.reply ?? "";
    const delivery = this.#acks.read(reply);
    const topic = topicOfSubject(message.subject);
    if (delivery === undefined || topic === undefined) link.send(reply, DONE);
    else {
      this.#taker.take(new PulledEntry(link, topic, message, delivery));
    }
    if (this.#due === 0) this.pull();
  }

  #status({ subject, headers }: JetStreamMessage): void {
    if (subject !== `${this.#subject}.${this.#request}`) return;
    this.#silent = 0;
    const code = headers?.code;
    if (code === 100) return;
    this.#due = 0;
    // 408: nothing came in time, or not all of it. The rest says that the consumer, its leader or its stream is gone.
    if (code === 408) this.pull();
    else this.#again(`the server says ${code}`);
  }

  #again(why: string): void {
    if (this.#closed || this.#retry !== undefined || !this.#opened) return;
    this.#due = 0;
    const { clock, logger } = this.#context;
    this.#retry = clock.setTimeout(() => {
      this.#ensure().then(
        () => {
          this.#retry = undefined;
          this.pull();
        },
        (error) => {
          this.#retry = undefined;
          logger.warn("work on a log can't be had, it is tried again", { stream: this.#stream, why, error });
          this.#again("it could not be had");
        },
      );
    }, RETRY_MS);
  }

  /** Makes the consumer, unless somebody has. */
  async #ensure(): Promise<void> {
    const config = {
      name: CONSUMER,
      durable_name: CONSUMER,
      deliver_policy: "all",
      ack_policy: "explicit",
      ack_wait: ACK_WAIT_MS * NANOS,
      max_ack_pending: MAX_ACK_PENDING,
      max_deliver: -1,
      headers_only: true,
    };
    const verb = `CONSUMER.CREATE.${this.#stream}.${CONSUMER}`;
    const { error } = await this.#api.ask(verb, { stream_name: this.#stream, config }, ASK_MS);
    if (error !== undefined) throw unavailable(`NATS says of the consumer ${CONSUMER}: ${error.description}`);
  }

  readonly #listen = (): void => {
    this.#beat = this.#context.clock.setTimeout(this.#listen, HEARTBEAT_MS);
    if (this.#due > 0 && ++this.#silent > SILENT_BEATS) this.#again("the server fell silent");
  };
}
