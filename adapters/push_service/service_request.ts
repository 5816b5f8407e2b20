/** One request to a push service. */
export interface ServiceRequest {
  /**
   * What it shares a connection, limits and a pace with, as `PushProvider.lane` says. All requests of a lane MUST have the same
   * origin, and credentials that may share a connection.
   */
  lane: string;
  /** https; http only to what `allowLoopback` and `allowPrivate` allow. */
  url: URL;
  /** What is asked for, with its query. Default: the path of `url`, which the requests of a lane can share then. */
  path?: string;
  /** Default POST. */
  method?: "POST" | "DELETE";
  /** Names in lower case. `content-length` and the host are set by the client. */
  headers: Readonly<Record<string, string>>;
  /** Sent as it is. */
  body: Uint8Array;
  signal: AbortSignal;
}

/** What became of a request. Never a throw. */
export type ServiceReply = ServiceAnswer | ServiceFailure;

/** The service answered, whatever it said. */
export interface ServiceAnswer {
  readonly kind: "answer";
  readonly status: number;
  /** A response header; undefined where it is absent or given more than once. */
  header(name: string): string | undefined;
  /** The body as text, cut after 64 KiB. It is the service's: no reason may repeat it as it is. */
  readonly body: string;
}

/** Nothing was answered. */
export interface ServiceFailure {
  readonly kind: "failure";
  /** A code or a few plain words, with no address, token or key: fit for a verdict's reason. */
  readonly reason: string;
  /** As {@link PushScope} has it: "service" where no target can have caused it. */
  readonly scope: "target" | "service";
}
