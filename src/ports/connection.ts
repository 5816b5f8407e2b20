/**
 * One open socket, as a gateway hands it over.
 *
 * An implementer MUST send each `bytes` as one binary message, in order, MUST keep a reference only until it is written,
 * and MUST call `closed` exactly once, also after its own `close`.
 * It MUST NOT throw from `send` or `close`: a socket that is gone swallows both.
 */
export interface Connection {
  /**
   * The same Uint8Array is often sent to many connections in a row: frame it once.
   * @returns true: less than 64 KiB waits for the kernel. False: `bufferedAmount` is worth a look
   */
  send(bytes: Uint8Array): boolean;
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  readonly bufferedAmount: number;
  /** Says goodbye with a code (see CloseCode) and ends the socket, also when the other side never answers. */
  close(code: number, reason: string): void;
}

/** What the gateway reports about a connection it handed over. */
export interface ConnectionEvents {
  /** One whole binary message. The bytes are the engine's to keep. */
  message(bytes: Uint8Array): void;
  /** `bufferedAmount` fell to 0 again. Owed only after a backlog had built up; some runtimes tell of one from 64 KiB on. */
  drained(): void;
  /**
   * The socket is gone.
   * @param code of the other side's close frame; 1005: that named none, 1006: there was none (RFC 6455 section 7.1.5)
   */
  closed(code: number): void;
}

/** The HTTP request that opened the connection. Behind proxies that a gateway trusts, as the client sent it to the first of them. */
export interface ConnectionRequest {
  readonly url: string;
  readonly headers: Headers;
  /** The other side's address; undefined where the runtime does not tell. */
  readonly remoteAddress: string | undefined;
}

/**
 * Why a gateway refused an upgrade.
 *
 * - "path": nothing is served there, and nobody else answers.
 * - "origin": pages of that origin may not connect.
 * - "host": the Host header is missing or no host.
 * - "subprotocol": this protocol is not among those that were offered.
 * - "handshake": what else makes a WebSocket handshake is missing (RFC 6455 section 4.2.1).
 * - "taken": other code on this server took or ended the socket, before it was answered or while it was open.
 */
export type UpgradeRefusal = "path" | "origin" | "host" | "subprotocol" | "handshake" | "taken";

/**
 * The engine's face to gateways. A gateway answers the upgrade (path, Origin and subprotocol are its business), then hands
 * the open connection over and reports what happens to it. An upgrade that it refuses it MUST report too: a browser's client can't
 * tell such an answer from a server that is not there, so that only the server's log and counters can say why.
 */
export interface Acceptor {
  accept(connection: Connection, request: ConnectionRequest): ConnectionEvents;
  /**
   * An upgrade was answered with an HTTP status, or its socket was taken away.
   * @param what what it was refused for, such as the origin: goes into the log, so it MUST NOT hold a query, a cookie or another secret
   * @param hint what to do about it, where the gateway knows more than the reason says
   */
  refused(reason: UpgradeRefusal, what: string, hint?: string): void;
  /** The largest message a gateway needs to take in, bytes. */
  readonly maxFrameBytes: number;
}
