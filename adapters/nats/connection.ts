/**
 * What is used of a NATS connection. One that `connect` of `nats` 2.29 resolved to fits, and so does one of
 * `@nats-io/transport-node` 3.4.
 */
export interface NatsLike {
  /** What the server said of itself; undefined while no server is connected. */
  readonly info?: { readonly version: string; readonly max_payload: number } | undefined;
  publish(subject: string, payload?: Uint8Array, options?: { reply?: string; headers?: unknown }): void;
  subscribe(subject: string, options: { callback(error: Error | null, message: NatsMessage): void }): NatsSubscription;
  /** Resolves when the server has taken everything that was sent before. */
  flush(): Promise<void>;
  status(): NatsStatuses;
  isClosed(): boolean;
  /** Resolves when the connection is closed for good, with the reason if it was an error. */
  closed(): Promise<void | Error>;
}

/** What a subscriber gets. */
export interface NatsMessage {
  readonly subject: string;
  readonly data: Uint8Array;
}

/** What `subscribe` gives. */
export interface NatsSubscription {
  unsubscribe(): void;
}

/** What happens to a connection. Both clients give a queue here that can be stopped, and do not say so in its type. */
export interface NatsStatuses extends AsyncIterable<NatsStatus> {
  stop?(): void;
}

/** One thing that happened. The text of an error is in `error` (3.4) or `data` (2.29). */
export interface NatsStatus {
  readonly type: string;
  readonly error?: unknown;
  readonly data?: unknown;
}
