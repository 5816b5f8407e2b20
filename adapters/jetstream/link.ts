import type { Logger } from "../../src/ports/logger.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { type NatsLike, type NatsMessage, watchConnection } from "../nats/connection.ts";

/** What is used of a NATS connection: one from `nats` 2.29 or from `@nats-io/transport-node` 3.4 fits. */
export interface JetStreamConnection extends NatsLike {
  readonly info?: { readonly version: string; readonly max_payload: number; readonly jetstream?: boolean } | undefined;
  publish(subject: string, payload?: Uint8Array, options?: { reply?: string; headers?: unknown }): void;
  subscribe(
    subject: string,
    options: { callback(error: Error | null, message: JetStreamMessage): void },
  ): { unsubscribe(): void; drain(): Promise<void> };
  /** Both clients have it, and do not say so in their types. */
  readonly options?: { readonly inboxPrefix?: string };
}

/** What a subscriber gets. */
export interface JetStreamMessage extends NatsMessage {
  readonly reply?: string;
  readonly headers?: { readonly code: number; get(key: string): string };
}

/** Who wants to know what becomes of the connection. */
export interface LinkListener {
  /** It is there again: what was under way when it went is lost. */
  back(): void;
  /** It is gone for good. */
  ended(): void;
}

/** The borrowed connection, and whether it leads anywhere now. */
export class Link {
  readonly connection: JetStreamConnection;
  readonly #listeners = new Set<LinkListener>();
  readonly #unwatch: () => void;
  #away = false;
  /** What the server last complained about: a permission, mostly. */
  complaint: unknown;

  constructor(connection: JetStreamConnection, logger: Logger) {
    this.connection = connection;
    this.#unwatch = watchConnection(connection, {
      away: () => {
        this.#away = true;
        logger.warn("the connection to NATS is lost: publishes wait until it is back");
      },
      back: () => {
        this.#away = false;
        logger.warn("the connection to NATS is back");
        for (const listener of [...this.#listeners]) listener.back();
      },
      complaint: (error) => {
        this.complaint = error;
        logger.error("NATS reports an error", { error });
      },
      closed: (error) => {
        logger.error("the connection to NATS is closed: nothing is stored or delivered any more", {
          hint: "Connect with maxReconnectAttempts: -1; by default a client gives up after 10.",
          error,
        });
        for (const listener of [...this.#listeners]) listener.ended();
      },
    });
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
      return false; // It was closed or drained in this very moment: whoever watches is told.
    }
  }

  /** Stops watching. The connection stays as it is. */
  leave(): void {
    this.#unwatch();
    this.#listeners.clear();
  }
}

/** What everything says that needs NATS while it is away. */
export function unavailable(why: string, cause?: unknown): PeykError {
  const hint = "Try again when NATS answers. See whether its servers run, and a quorum of them.";
  return new PeykError("unavailable", why, { retryable: true, hint, cause });
}

/** What everything says once the connection was closed. */
export function closedConnection(): PeykError {
  const hint = "Connect with maxReconnectAttempts: -1 (by default a client gives up after 10), and make a new engine with it.";
  return new PeykError("unavailable", "the connection to NATS is closed", { hint });
}
