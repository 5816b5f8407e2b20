import { Buffer } from "node:buffer";
import { type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Duplex } from "node:stream";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import type { Acceptor, Connection, ConnectionEvents, ConnectionRequest } from "../src/ports/connection.ts";
import { CloseCode } from "../src/protocol/codes.ts";
import { SUBPROTOCOL } from "../src/protocol/frames.ts";
import { closeReason } from "./gateway/close_reason.ts";
import { Framer } from "./gateway/server_frame.ts";
import { type GatewayOptions, type Refusal, refusalOf, unknownPath, upgradeRules } from "./gateway/upgrade_rules.ts";

export type { GatewayOptions } from "./gateway/upgrade_rules.ts";

/** How long the other side may take to answer our close frame, milliseconds. Then the socket is destroyed. */
const CLOSE_WAIT_MS = 3_000;
/** A message in more pieces than this is an attack on memory, not a message. Also the most chunks that one frame may trickle in. */
const MAX_PIECES = 1_024;

/** What `serveNode` returns. */
export interface NodeGateway {
  /** Takes no more upgrades. Open connections stay: closing them is the engine's. */
  close(): void;
}

/**
 * Takes WebSocket upgrades of one path of a node:http or node:https server, on Node and on Deno, and hands the open connections
 * to an engine. Other paths and other listeners on the server are not touched; only when nobody else listens for upgrades is
 * an unknown path answered (404), since it would hang otherwise.
 *
 * @example
 * ```ts ignore
 * const server = http.createServer(app);
 * serveNode(engine, server, { path: "/peyk", origins: ["https://example.org"] });
 * server.listen(8080);
 * ```
 *
 * @throws {PeykError} `bad-config`
 */
export function serveNode(acceptor: Acceptor, server: Server | HttpsServer, options: GatewayOptions = {}): NodeGateway {
  const rules = upgradeRules(options);
  const framer = new Framer();
  const limits = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    handleProtocols: () => SUBPROTOCOL,
    maxPayload: acceptor.maxFrameBytes,
    maxFragments: MAX_PIECES,
    maxBufferedChunks: MAX_PIECES,
    closeTimeout: CLOSE_WAIT_MS,
    // Close reasons are all that could be invalid: text messages are refused unread.
    skipUTF8Validation: true,
    WebSocket: GatewaySocket,
  };
  const upgrader = new WebSocketServer(limits);

  const refuse = (socket: Duplex, refusal: Refusal): void => {
    acceptor.refused(refusal.reason, refusal.what);
    answer(socket, refusal);
  };
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const path = pathOf(request);
    if (path !== rules.path) {
      if (server.listenerCount("upgrade") === 1) refuse(socket, unknownPath(path));
      return;
    }
    const { origin, host, "sec-websocket-protocol": protocols } = request.headers;
    const refusal = refusalOf({ origin: origin ?? null, host: host ?? null, protocols: protocols ?? null }, rules);
    if (refusal !== undefined) return refuse(socket, refusal);
    let isTaken = false;
    upgrader.handleUpgrade(request, socket, head, (ws) => {
      isTaken = true;
      ws.connection = new NodeConnection(ws, socket, framer);
      ws.connection.events = acceptor.accept(ws.connection, new NodeRequest(request));
    });
    // ws has answered it by then.
    if (!isTaken) {
      acceptor.refused("handshake", `${request.method} with version ${request.headers["sec-websocket-version"] ?? "none"}`);
    }
  };

  server.on("upgrade", upgrade);
  return { close: () => void server.off("upgrade", upgrade) };
}

/** ws reads what comes in and does the handshakes; what goes out is written past it. */
class GatewaySocket extends WebSocket {
  connection!: NodeConnection;

  // ws closes by itself when what it reads is no WebSocket. Clients are to get a code that tells them whether to come back.
  // It also closes by itself when the other side says goodbye.
  override close(code?: number, reason?: string | Buffer): void {
    this.connection.open = false;
    super.close(code === undefined ? code : ownCodes[code] ?? code, reason);
  }
}

const ownCodes: Readonly<Record<number, CloseCode>> = {
  1002: CloseCode.protocol,
  1008: CloseCode.protocol,
  1009: CloseCode.tooLarge,
};

/**
 * One connection. There may be tens of thousands, nearly all idle, so there is one object for each, the listeners on ws are
 * shared, and nothing of the request is kept.
 */
class NodeConnection implements Connection {
  readonly #socket: Duplex;
  readonly #framer: Framer;
  /** Nobody has said goodbye. Stands here, and not only in ws, because a fan-out passes thousands and touches nothing more than it must. */
  open = true;
  events!: ConnectionEvents;
  readonly #ws: GatewaySocket;
  #leaving = false;
  /** The socket took what it was given with a warning: it is to say when it has room again. */
  #backlogged = false;

  constructor(ws: GatewaySocket, socket: Duplex, framer: Framer) {
    this.#ws = ws;
    this.#socket = socket;
    this.#framer = framer;
    ws.on("message", onMessage);
    ws.on("close", onClose);
    ws.on("error", onError);
  }

  send(bytes: Uint8Array): boolean {
    if (!this.open || !this.#socket.writable) return true;
    // One write for the whole frame: the pongs and close frames that ws writes fall between frames, never into one.
    const flows = this.#socket.write(this.#framer.frame(bytes));
    if (!flows && !this.#backlogged) this.#awaitDrain();
    return flows;
  }

  /** Few connections ever have a backlog: only these listen for its end. */
  #awaitDrain(): void {
    this.#backlogged = true;
    this.#socket.once("drain", () => {
      this.#backlogged = false;
      this.events.drained();
    });
  }

  get bufferedAmount(): number {
    return this.#socket.writableLength;
  }

  close(code: number, reason: string): void {
    if (this.#ws.readyState === WebSocket.OPEN) {
      this.#leaving = true;
      this.#ws.close(code, closeReason(reason));
    } else if (!this.#leaving) {
      // The other side hung up, but takes nothing of what is queued for it: without this the socket would stay for many minutes.
      this.#ws.terminate();
    }
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  const { connection } = this as GatewaySocket;
  if (this.readyState !== WebSocket.OPEN) return; // we said goodbye already
  if (!isBinary) return connection.close(CloseCode.protocol, "binary messages only");
  const bytes = data as Buffer;
  // A plain Uint8Array: a Buffer's slice() shares memory where a Uint8Array's copies.
  connection.events.message(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length));
}

function onClose(this: WebSocket, code: number): void {
  (this as GatewaySocket).connection.events.closed(code === CloseCode.normal || code === GOING_AWAY);
}

/** The page was left or the app ended (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;

/** ws closes the connection after an error and says so; without a listener the error would end the process. */
function onError(): void {}

function pathOf(request: IncomingMessage): string {
  const target = request.url ?? "";
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

/** The request as applications see it. Few look at more than the address: the rest is made when it is asked for. */
class NodeRequest implements ConnectionRequest {
  /** As it was at first: a socket that is gone has none. */
  readonly remoteAddress: string | undefined;
  readonly #request: IncomingMessage;
  #headers: Headers | undefined;

  constructor(request: IncomingMessage) {
    this.remoteAddress = request.socket.remoteAddress;
    this.#request = request;
  }

  get url(): string {
    const { headers, socket, url } = this.#request;
    return `${"encrypted" in socket ? "https" : "http"}://${headers.host}${url}`;
  }

  get headers(): Headers {
    return this.#headers ??= headersOf(this.#request);
  }
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}

function answer(socket: Duplex, { status, body }: Refusal): void {
  // The server's own listener left with the upgrade; a reset must not become an uncaught error.
  socket.on("error", () => socket.destroy());
  socket.once("finish", () => socket.destroy());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
