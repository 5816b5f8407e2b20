import type { NatsLike, NatsMessage } from "../nats/connection.ts";

/** What is used of a NATS connection: one from `nats` 2.29 or from `@nats-io/transport-node` 3.4 fits. */
export interface JetStreamConnection extends NatsLike {
  readonly info?: { readonly version: string; readonly max_payload: number; readonly jetstream?: boolean } | undefined;
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
