import { Buffer } from "node:buffer";
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { Acceptor } from "../src/ports/connection.ts";
import { SUBPROTOCOL } from "../src/protocol/frames.ts";
import { type Arrival, sentBy } from "./gateway/forwarded.ts";
import { isPastStream, NativeConnection } from "./gateway/native_connection.ts";
import { GatewaySocket, isEndedHere, NodeConnection, NodeRequest } from "./gateway/node_connection.ts";
import { handshakeOf, type Refusal, refusalOf, unknownPath } from "./gateway/refusal.ts";
import { Framer } from "./gateway/server_frame.ts";
import { checkAcceptor, type GatewayOptions, type UpgradeRules, upgradeRules } from "./gateway/upgrade_rules.ts";
import { isWebSocket, pathOf, UpgradeRouter } from "./gateway/upgrade_router.ts";
import type { UpgradeRequest, UpgradeServer, UpgradeSocket, UpgradeTaker } from "./gateway/upgrade_router.ts";

export type { GatewayOptions, TrustedProxies } from "./gateway/upgrade_rules.ts";
export type { UpgradeRequest, UpgradeServer, UpgradeSocket } from "./gateway/upgrade_router.ts";

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
 * Takes WebSocket upgrades of one path of a node:http, node:https or node:http2 server, on Node, Deno and Bun, and hands the
 * open connections to an engine. Others may listen for upgrades of the same server, before or after this call: they get all upgrades
 * but those of this path. An upgrade that no listener answers is ended with 404: at once when there is none but ours, else after 30 s.
 *
 * @example
 * ```ts ignore
 * const server = http.createServer(app);
 * serveNode(engine, server, { path: "/peyk", origins: ["https://example.org"] });
 * server.listen(8080);
 * ```
 *
 * @throws {PeykError} `bad-config`, also when the path is served on this server already
 */
export function serveNode(acceptor: Acceptor, server: UpgradeServer, options: GatewayOptions = {}): NodeGateway {
  checkAcceptor(acceptor);
  const rules = upgradeRules(options);
  return { close: UpgradeRouter.of(server).add(rules.path, new NodeDoor(acceptor, rules)) };
}

/**
 * Takes a WebSocket upgrade of the gateway's path, or answers why not.
 * @returns false: it is another path or protocol, and the socket was not touched
 */
export type HandleUpgrade = (request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array) => boolean;

/**
 * The same as {@link serveNode} for servers that have an `upgrade` listener of their own: it asks this handler first. What
 * the handler has taken, no other code may end.
 *
 * @example
 * ```ts ignore
 * const handleUpgrade = upgradeHandler(engine, { path: "/peyk" });
 * server.on("upgrade", (request, socket, head) => {
 *   if (!handleUpgrade(request, socket, head)) socket.destroy();
 * });
 * ```
 *
 * @throws {PeykError} `bad-config`
 */
export function upgradeHandler(acceptor: Acceptor, options: GatewayOptions = {}): HandleUpgrade {
  checkAcceptor(acceptor);
  const rules = upgradeRules(options);
  const door = new NodeDoor(acceptor, rules);
  return (request, socket, head) => {
    if (pathOf(request) !== rules.path || !isWebSocket(request)) return false;
    door.take(request, socket, head);
    return true;
  };
}

/** From an upgrade on the gateway's path to the engine's connection, or to an HTTP answer that says why not. */
class NodeDoor implements UpgradeTaker {
  readonly #acceptor: Acceptor;
  readonly #rules: UpgradeRules;
  readonly #framer = new Framer();
  readonly #taken: () => void;
  readonly #upgrader: ReturnType<typeof createUpgrader>;

  constructor(acceptor: Acceptor, rules: UpgradeRules) {
    this.#acceptor = acceptor;
    this.#rules = rules;
    this.#taken = () => acceptor.refused("taken", rules.path);
    this.#upgrader = createUpgrader(acceptor.maxFrameBytes);
  }

  take(request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array): void {
    const arrival = arrivalOf(request, socket);
    const sent = sentBy(arrival, this.#rules.trusts);
    const refusal = refusalOf(arrival, sent, this.#rules);
    if (refusal !== undefined) return this.#refuse(socket, refusal);
    const [message, stream] = [request as IncomingMessage, socket as unknown as Duplex];
    if (isEndedHere(stream)) return this.#taken();
    let isTaken = false;
    try {
      this.#upgrader.handleUpgrade(message, stream, head as Buffer, (ws) => {
        isTaken = true;
        const Connection = isPastStream(stream) ? NativeConnection : NodeConnection;
        ws.connection = new Connection(ws, stream, this.#framer, this.#taken);
        // Other listeners have the socket next. Once they have ended it, it looks as if the client hung up.
        queueMicrotask(() => ws.connection.lookForEnd());
        ws.connection.events = this.#acceptor.accept(ws.connection, new NodeRequest(message, sent));
      });
    } catch (error) {
      if (isTaken) throw error;
      // ws refuses a socket that it has taken before: the other connection goes on.
      return this.#taken();
    }
    // ws has answered it by then.
    if (!isTaken) this.#acceptor.refused("handshake", handshakeOf(arrival));
  }

  unanswered(request: UpgradeRequest, socket: UpgradeSocket): void {
    this.#refuse(socket, unknownPath(pathOf(request)));
  }

  #refuse(socket: UpgradeSocket, refusal: Refusal): void {
    this.#acceptor.refused(refusal.reason, refusal.what, refusal.hint);
    answer(socket as unknown as Duplex, refusal);
  }
}

function createUpgrader(maxPayload: number) {
  const limits = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    handleProtocols: () => SUBPROTOCOL,
    maxPayload,
    maxFragments: MAX_PIECES,
    maxBufferedChunks: MAX_PIECES,
    closeTimeout: CLOSE_WAIT_MS,
    // Close reasons are all that could be invalid: text messages are refused unread.
    skipUTF8Validation: true,
    WebSocket: GatewaySocket,
  };
  return new WebSocketServer(limits);
}

function arrivalOf({ method = "GET", headers }: UpgradeRequest, { remoteAddress, encrypted }: UpgradeSocket): Arrival {
  const header = (name: string): string | null => headers[name] === undefined ? null : String(headers[name]);
  return { method, peer: remoteAddress, scheme: encrypted === true ? "https" : "http", header };
}

function answer(socket: Duplex, { status, headers, body }: Refusal): void {
  // The server's own listener left with the upgrade; a reset must not become an uncaught error.
  socket.on("error", () => socket.destroy());
  socket.once("finish", () => socket.destroy());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
