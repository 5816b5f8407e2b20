import type { Logger } from "../../src/ports/logger.ts";
import type { NatsLike, NatsStatuses } from "./connection.ts";

/** Who wants to know what becomes of the connection. */
export interface LinkListener {
  /** The server is gone; the client looks for one. What is published now is lost. */
  away?(): void;
  /** A server is there again, and has the subscriptions. What was under way when the former one went is lost. */
  back(): void;
  /** It is gone for good, with the reason if it was an error. */
  ended(cause: Error | undefined): void;
}

/** The borrowed connection, whichever client it is from, and whether it leads anywhere now. */
export class Link<Connection extends NatsLike = NatsLike> {
  readonly connection: Connection;
  readonly #logger: Logger;
  readonly #statuses: NatsStatuses;
  readonly #listeners = new Set<LinkListener>();
  #away = false;
  #left = false;
  /** What the server last complained about: a permission, mostly. */
  complaint: unknown;

  constructor(connection: Connection, logger: Logger) {
    this.connection = connection;
    this.#logger = logger;
    this.#statuses = connection.status();
    this.#follow().catch((error) => this.#complained(error));
    connection.closed().then((reason) => this.#ended(reason ?? undefined));
  }

  /** Whether what is sent now has a chance to arrive. */
  get isUp(): boolean {
    return !this.#away && !this.hasEnded;
  }

  get hasEnded(): boolean {
    return this.connection.isClosed();
  }

  /** @returns what ends it */
  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Publishes, unless the connection is away: what the client would take then is lost.
   * @returns whether it left
   */
  send(subject: string, bytes: Uint8Array, options?: { reply?: string; headers?: unknown }): boolean {
    if (!this.isUp) return false;
    try {
      this.connection.publish(subject, bytes, options);
      return true;
    } catch {
      return false; // It was closed or drained in this very moment: whoever listens is told.
    }
  }

  /** Stops watching. The connection stays as it is. */
  leave(): void {
    this.#left = true;
    this.#statuses.stop?.();
    this.#listeners.clear();
  }

  async #follow(): Promise<void> {
    for await (const { type, error, data } of this.#statuses) {
      if (this.#left) return;
      if (type === "disconnect") {
        this.#away = true;
        this.#logger.warn("the connection to NATS is lost: publishes wait until it is back");
        for (const listener of [...this.#listeners]) listener.away?.();
      } else if (type === "reconnect") {
        this.#away = false;
        this.#logger.warn("the connection to NATS is back");
        for (const listener of [...this.#listeners]) listener.back();
      } else if (type === "error") this.#complained(error ?? data);
    }
  }

  #complained(error: unknown): void {
    if (this.#left) return;
    this.complaint = error;
    this.#logger.error("NATS reports an error", { error });
  }

  #ended(cause: Error | undefined): void {
    if (this.#left) return;
    this.#logger.error("the connection to NATS is closed: nothing is stored or delivered any more", {
      hint: "Connect with maxReconnectAttempts: -1; by default a client gives up after 10.",
      error: cause,
    });
    for (const listener of [...this.#listeners]) listener.ended(cause);
  }
}
