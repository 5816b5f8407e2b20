/**
 * What is used of a NATS connection. One that `connect` of `nats` 2.29 resolved to fits, and so does one of
 * `@nats-io/transport-node` 3.4.
 */
export interface NatsLike {
  /** What the server said of itself; undefined while no server is connected. */
  readonly info?: { readonly version: string; readonly max_payload: number } | undefined;
  publish(subject: string, payload?: Uint8Array): void;
  subscribe(subject: string, options: { callback(error: Error | null, message: NatsMessage): void }): NatsSubscription;
  request(subject: string, payload?: Uint8Array, options?: { timeout: number }): Promise<NatsMessage>;
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

/** Who wants to know what becomes of a connection. */
export interface ConnectionWatcher {
  /** The server is gone; the client looks for one. What is published now is lost. */
  away(): void;
  /** A server is there again, and has the subscriptions. */
  back(): void;
  /** The server complained: a permission, a limit. */
  complaint(error: unknown): void;
  /** The connection is closed for good. */
  closed(reason: Error | undefined): void;
}

/**
 * Tells what becomes of a connection, in the same words whichever client it is from.
 * @returns what ends it
 */
export function watchConnection(connection: NatsLike, watcher: ConnectionWatcher): () => void {
  const statuses = connection.status();
  let watching = true;
  async function follow(): Promise<void> {
    for await (const { type, error, data } of statuses) {
      if (!watching) return;
      if (type === "disconnect") watcher.away();
      else if (type === "reconnect") watcher.back();
      else if (type === "error") watcher.complaint(error ?? data);
    }
  }
  follow().catch((error) => watching && watcher.complaint(error));
  connection.closed().then((reason) => watching && watcher.closed(reason ?? undefined));
  return () => {
    watching = false;
    statuses.stop?.();
  };
}
