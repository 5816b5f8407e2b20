import type { Clock, Timer } from "../../src/ports/clock.ts";
import type { Logger } from "../../src/ports/logger.ts";
import type { Appended, TopicListener, TopicSubscription, Transport } from "../../src/ports/transport.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { NatsLike, NatsMessage, NatsSubscription } from "./connection.ts";
import { closed, closedConnection, unavailable } from "./errors.ts";
import { Link } from "./link.ts";
import { Outgoing } from "./outgoing.ts";
import { subjectOf } from "./subjects.ts";

/** How long a server may take to answer. */
const ANSWER_MS = 5_000;

const ACCEPTED: Appended = Object.freeze({ position: null, duplicate: false, durability: "memory" });
const NOWHERE = Object.freeze({ epoch: 0, offset: 0 });

/** What the transport works with. */
export interface CoreParts {
  readonly connection: NatsLike;
  readonly prefix: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Subscriber {
  readonly listener: TopicListener;
  readonly subscription: NatsSubscription;
}

/** Topics as subjects of core NATS: one subscription for each topic that somebody on this node reads, and no log. */
export class CoreTransport implements Transport {
  readonly durable = false;
  readonly #link: Link;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #subscribers = new Set<Subscriber>();
  readonly #outgoing: Outgoing;
  /** Those who wait for an answer of the server that may never come. */
  readonly #unanswered = new Set<(error: PeykError) => void>();
  readonly #accepted = Promise.resolve(ACCEPTED);
  #confirming: Promise<void> | undefined;
  /** Why nothing can be done any more. */
  #ended: PeykError | undefined;

  constructor({ connection, prefix, clock, logger }: CoreParts) {
    this.#link = new Link(connection, logger);
    this.#outgoing = new Outgoing(connection);
    this.#prefix = prefix;
    this.#clock = clock;
    this.#logger = logger;
    this.#link.listen({
      away: () => this.#away(),
      back: () => this.#back(),
      ended: (cause) => this.#end(closedConnection(cause)),
    });
  }

  /**
   * Sends something to itself: whether the server answers, and lets this connection say and hear something.
   * @throws {PeykError} `unavailable`, `bad-config`
   */
  async probe(id: string): Promise<void> {
    const subject = `${this.#prefix}.probe.${id}`;
    let heard = false;
    let refusal: Error | undefined;
    const subscription = this.#listen(subject, () => heard = true, (error) => refusal = error);
    try {
      this.#outgoing.send(subject, new Uint8Array());
      await this.#confirm();
    } finally {
      subscription.unsubscribe();
    }
    if (heard) return;
    throw new PeykError("bad-config", `this NATS connection does not hear itself on ${this.#prefix}.>`, {
      hint: "Allow it to publish and to subscribe there, and connect without noEcho.",
      cause: refusal,
    });
  }

  publish(topic: Topic, bytes: Uint8Array): Promise<Appended> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const most = this.#link.connection.info?.max_payload ?? Infinity;
    if (bytes.length > most) {
      const hint = `The server takes messages of ${most} bytes: raise its max_payload.`;
      return Promise.reject(new PeykError("too-large", `a message of ${bytes.length} bytes`, { hint }));
    }
    const subject = subjectOf(this.#prefix, "live", topic);
    if (!this.#outgoing.open) return this.#outgoing.wait(subject, bytes).then(() => ACCEPTED);
    try {
      this.#outgoing.send(subject, bytes);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#accepted;
  }

  signal(topic: Topic, bytes: Uint8Array): void {
    // What is live is not worth waiting with.
    if (!this.#outgoing.open || this.#ended !== undefined) return;
    try {
      this.#outgoing.send(subjectOf(this.#prefix, "live", topic), bytes);
    } catch (error) {
      this.#logger.warn("a signal could not be sent over NATS", { topic, error });
    }
  }

  async subscribe(topic: Topic, listener: TopicListener): Promise<TopicSubscription> {
    if (this.#ended !== undefined) throw this.#ended;
    if (!this.#link.isUp) throw unavailable("the NATS server is away");
    let refusal: Error | undefined;
    const subscription = this.#listen(
      subjectOf(this.#prefix, "live", topic),
      (bytes) => this.#tell(() => listener.signal?.(bytes)),
      (error) => {
        refusal = error;
        this.#logger.error("the NATS server refused a subscription", { topic, error });
      },
    );
    const subscriber: Subscriber = { listener, subscription };
    this.#subscribers.add(subscriber);
    const close = (): void => {
      if (this.#subscribers.delete(subscriber)) subscription.unsubscribe();
    };
    try {
      await this.#confirm();
      if (refusal !== undefined) throw unavailable("the NATS server refused a subscription", refusal);
    } catch (error) {
      close();
      throw error;
    }
    return { head: NOWHERE, close };
  }

  /** Ends everything and leaves the connection as it was. */
  async close(): Promise<void> {
    if (this.#link.isUp) await this.#answer().catch(() => {});
    this.#link.leave();
    for (const { subscription } of this.#subscribers) subscription.unsubscribe();
    this.#subscribers.clear();
    this.#end(closed());
  }

  #listen(subject: string, heard: (bytes: Uint8Array) => unknown, refused: (error: Error) => unknown): NatsSubscription {
    const callback = (error: Error | null, { data }: NatsMessage): void => {
      if (error === null) heard(data);
      else refused(error);
    };
    try {
      return this.#link.connection.subscribe(subject, { callback });
    } catch (cause) {
      throw unavailable("the NATS connection takes nothing more", cause);
    }
  }

  // What becomes of the connection.

  #away(): void {
    this.#outgoing.hold();
    this.#disappoint(unavailable("the NATS server is away"));
  }

  #back(): void {
    this.#logger.info("what was published elsewhere while NATS was away is lost", { waited: this.#outgoing.waiting });
    this.#outgoing.release();
    for (const { listener } of this.#subscribers) this.#tell(() => listener.gap());
  }

  #end(error: PeykError): void {
    this.#ended = error;
    this.#outgoing.refuse(error);
    this.#disappoint(error);
  }

  // What the server has to say.

  /** Resolves when the server has taken what was sent before; those who ask in one turn share the question. */
  #confirm(): Promise<void> {
    return this.#confirming ??= Promise.resolve().then(() => {
      this.#confirming = undefined;
      return this.#answer();
    });
  }

  /** Neither client settles a flush when the connection closes, and one waits minutes for a server that is only silent. */
  #answer(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const settle = (error?: PeykError): void => {
        this.#clock.clearTimeout(timer);
        this.#unanswered.delete(settle);
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer: Timer = this.#clock.setTimeout(() => settle(unavailable("the NATS server does not answer")), ANSWER_MS);
      this.#unanswered.add(settle);
      this.#link.connection.flush().then(
        () => settle(),
        (cause: unknown) => settle(unavailable("the NATS server is away", cause)),
      );
    });
  }

  #disappoint(error: PeykError): void {
    for (const settle of [...this.#unanswered]) settle(error);
  }

  /** A throw would end the client's reading. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#logger.error("a topic's listener threw", { error });
    }
  }
}
