import type { Timer } from "../../src/ports/clock.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import { unavailable } from "../nats/errors.ts";
import { AckSubjects } from "./ack_subject.ts";
import type { Api } from "./api.ts";
import type { JetStreamConnection, JetStreamMessage } from "./connection.ts";
import { Replicas } from "./replicas.ts";
import { epochOf, findLog, type LogStream, renameLife } from "./streams.ts";

/** The server says this often that it is there, when there is nothing else to say. */
const HEARTBEAT_MS = 400;
/** So many of them missing: the consumer is gone, or the way to it. */
const SILENT_BEATS = 3;
const RETRY_MS = 100;
const MAX_RETRY_MS = 1_000;
const ASK_MS = 2_000;
/** How often one is tried to be made when the node starts: whether it comes to be on a server that answers is chance. */
const OPEN_TRIES = 3;
/** How often replicas are looked at while there is no consumer, how many entries are taken at a time, and about how many bytes. */
const READ_MS = 200;
const READ_MOST = 500;
const READ_BYTES = 4 * 1024 * 1024;
/** A replicated log that is shorter than it was for so long has lost its end. */
const SHORT_MS = 5_000;
const NANOS = 1_000_000;

const EMPTY = new Uint8Array(0);

/** Who reads a log's tail. */
export interface TailReader {
  /** Every entry of the stream, in order, once. */
  entry(subject: string, sequence: number, message: JetStreamMessage): void;
  /** The stream is another one, or lost its end: what was told of it is void. */
  replaced(epoch: number): void;
}

/**
 * All new entries of a log stream: an ordered consumer, whose server remembers nothing that matters. Whenever it falls silent, skips
 * a number or is gone, another one takes its place after the last sequence that came, whatever the reason.
 */
export class Tail {
  readonly #api: Api;
  readonly #context: StorageContext;
  readonly #stream: string;
  readonly #reader: TailReader;
  readonly #replicas: Replicas;
  readonly #unlisten: () => void;
  #epoch: number;
  /** The last sequence that came. */
  #last: number;
  #consumer: Consumer | undefined;
  #timer: Timer | undefined;
  #pause: Timer | undefined;
  /** Counts beginnings and ends: whoever waited finds out that it is no longer meant. */
  #attempt = 0;
  #failures = 0;
  #shortSince: number | undefined;
  #silent = 0;
  #beatAt = 0;
  #closed = false;

  constructor(api: Api, context: StorageContext, stream: LogStream, reader: TailReader) {
    this.#api = api;
    this.#context = context;
    this.#stream = stream.name;
    this.#epoch = stream.epoch;
    this.#last = stream.lastSequence;
    this.#reader = reader;
    this.#replicas = new Replicas(api, context.clock);
    this.#unlisten = api.link.listen({ back: () => this.#restart("the connection was lost"), ended: () => this.#stop() });
  }

  get epoch(): number {
    return this.#epoch;
  }

  get last(): number {
    return this.#last;
  }

  /** @throws {PeykError} `unavailable` when it can't begin now */
  async open(): Promise<void> {
    for (let tries = 1;; tries++) {
      try {
        return await this.#begin();
      } catch (error) {
        if (tries === OPEN_TRIES || this.#api.link.hasEnded) throw error;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unlisten();
    const consumer = this.#consumer;
    this.#stop();
    this.#replicas.close(unavailable("the tail was closed"));
    if (consumer !== undefined && this.#api.link.isUp) await this.#remove(consumer.name).catch(() => {});
  }

  #stop(): void {
    this.#attempt++;
    if (this.#timer !== undefined) this.#context.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pause !== undefined) this.#context.clock.clearTimeout(this.#pause);
    this.#consumer?.subscription.unsubscribe();
    this.#consumer = undefined;
  }

  #restart(why: string): void {
    if (this.#closed || this.#api.link.hasEnded) return;
    const gone = this.#consumer;
    this.#stop();
    if (!this.#api.link.isUp) return; // Begins when it is back.
    if (gone !== undefined) {
      this.#context.logger.warn("the tail of a log begins anew", { stream: this.#stream, after: this.#last, why });
      this.#remove(gone.name).catch(() => {});
    }
    void this.#resume(this.#attempt);
  }

  async #resume(attempt: number): Promise<void> {
    const { clock, logger } = this.#context;
    try {
      await this.#compare();
      if (attempt !== this.#attempt) return;
      const reading = { over: false };
      this.#readOn(attempt, reading);
      await this.#begin().finally(() => {
        reading.over = true;
        if (attempt === this.#attempt) clock.clearTimeout(this.#pause!);
      });
      this.#failures = 0;
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (this.#failures === 0) {
        logger.error("the tail of a log can't be read, it is tried again", { stream: this.#stream, error });
      }
      const wait = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** this.#failures++);
      this.#timer = clock.setTimeout(() => this.#restart("it could not be read"), wait);
    }
  }

  /** Whether the stream is still the one it was: another one may have the same name, and one that lost its end uses numbers again. */
  async #compare(): Promise<void> {
    const info = await findLog(this.#api, this.#stream, ASK_MS);
    if (info === undefined) throw unavailable(`the stream ${this.#stream} is gone`);
    const { clock, logger } = this.#context;
    let epoch = epochOf(info);
    const found = info.state.last_seq;
    if (epoch === this.#epoch && found >= this.#last) return;
    if (epoch === this.#epoch) {
      // Of several replicas a new leader may still be applying what this node has from another one.
      this.#shortSince ??= clock.elapsed();
      if (Number(info.config["num_replicas"]) > 1 && clock.elapsed() - this.#shortSince < SHORT_MS) {
        throw unavailable(`the stream ${this.#stream} does not reach as far as it did`);
      }
      // Every node that finds out gives the same name to the log's next life.
      epoch = await renameLife(this.#api, info, epoch + 1);
    }
    this.#shortSince = undefined;
    logger.error("a log was replaced or lost its end", { stream: this.#stream, last: this.#last, found });
    this.#epoch = epoch;
    this.#last = found;
    this.#reader.replaced(epoch);
  }

  async #begin(): Promise<void> {
    const { random } = this.#context;
    const name = `tail-${random.id()}`;
    const subject = this.#api.inbox.beside();
    const consumer: Consumer = {
      name,
      acks: new AckSubjects(this.#stream, name),
      delivered: 0,
      subscription: this.#api.link.connection.subscribe(subject, {
        callback: (error, message) => {
          if (this.#consumer !== consumer) return;
          if (error !== null) this.#restart(error.message);
          else if (message.subject === subject) this.#status(consumer, message);
          else this.#take(consumer, message);
        },
      }),
    };
    this.#consumer = consumer;
    const config = {
      name,
      deliver_subject: subject,
      deliver_policy: "by_start_sequence",
      opt_start_seq: this.#last + 1,
      ack_policy: "none",
      max_deliver: 1,
      flow_control: true,
      idle_heartbeat: HEARTBEAT_MS * NANOS,
      inactive_threshold: 30_000 * NANOS,
      mem_storage: true,
      num_replicas: 1,
    };
    const body = { stream_name: this.#stream, config, action: "create" };
    try {
      const { error } = await this.#api.ask(`CONSUMER.CREATE.${this.#stream}.${name}`, body, ASK_MS);
      if (error !== undefined) throw unavailable(`NATS says of a consumer of ${this.#stream}: ${error.description}`);
    } catch (error) {
      consumer.subscription.unsubscribe();
      if (this.#consumer === consumer) this.#consumer = undefined;
      throw error;
    }
    if (this.#consumer === consumer) this.#watch();
  }

  /**
   * Passes entries on from whichever replica answers, until there is a consumer: to make one takes the leader of all JetStream, which
   * may have to be elected first, and it may come to be on a server that does not answer.
   */
  #readOn(attempt: number, reading: { readonly over: boolean }): void {
    const { clock, logger } = this.#context;
    this.#pause = clock.setTimeout(() => {
      this.#read(attempt).then(
        () => {
          if (!reading.over && attempt === this.#attempt) this.#readOn(attempt, reading);
        },
        (error) => logger.warn("a log can't be read at its replicas either", { stream: this.#stream, error }),
      );
    }, READ_MS);
  }

  async #read(attempt: number): Promise<void> {
    const { messages } = await this.#replicas.read(this.#stream, ">", this.#last + 1, READ_MOST, READ_BYTES);
    for (const message of messages) {
      if (attempt !== this.#attempt) return;
      this.#pass(message.headers!.get("Nats-Subject"), Number(message.headers!.get("Nats-Sequence")), message);
    }
  }

  #take(consumer: Consumer, message: JetStreamMessage): void {
    this.#silent = 0;
    const delivery = consumer.acks.read(message.reply ?? "");
    if (delivery === undefined) return;
    if (delivery.consumerSequence !== consumer.delivered + 1) return this.#restart("a message was missed");
    consumer.delivered++;
    this.#pass(message.subject, delivery.streamSequence, message);
  }

  #pass(subject: string, sequence: number, message: JetStreamMessage): void {
    if (sequence <= this.#last) return;
    this.#last = sequence;
    this.#reader.entry(subject, sequence, message);
  }

  /** Heartbeats and flow control (ADR-15): what the server says beside the entries. */
  #status(consumer: Consumer, { headers, reply }: JetStreamMessage): void {
    this.#silent = 0;
    if (headers?.code !== 100) return this.#restart(`the server says ${headers?.code}`);
    const due = reply || headers.get("Nats-Consumer-Stalled");
    if (due) this.#api.link.send(due, EMPTY);
    const delivered = headers.get("Nats-Last-Consumer");
    if (delivered !== "" && Number(delivered) !== consumer.delivered) this.#restart("a message was missed");
  }

  #watch(): void {
    const { clock } = this.#context;
    this.#silent = 0;
    const beat = (): void => {
      const now = clock.elapsed();
      // A node that was busy or stopped itself has not heard, and can't tell.
      this.#silent = now - this.#beatAt > 2 * HEARTBEAT_MS ? 0 : this.#silent + 1;
      this.#beatAt = now;
      this.#timer = clock.setTimeout(beat, HEARTBEAT_MS);
      if (this.#silent > SILENT_BEATS) this.#restart("it fell silent");
    };
    this.#beatAt = clock.elapsed();
    this.#timer = clock.setTimeout(beat, HEARTBEAT_MS);
  }

  #remove(name: string): Promise<unknown> {
    return this.#api.ask(`CONSUMER.DELETE.${this.#stream}.${name}`, {}, ASK_MS);
  }
}

interface Consumer {
  readonly name: string;
  readonly acks: AckSubjects;
  readonly subscription: ReturnType<JetStreamConnection["subscribe"]>;
  /** The consumer's own last sequence. */
  delivered: number;
}
