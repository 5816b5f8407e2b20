import type { Acceptor, Connection, ConnectionEvents } from "../src/ports/connection.ts";
import { CloseCode } from "../src/protocol/codes.ts";
import { SUBPROTOCOL } from "../src/protocol/frames.ts";
import { closeReason } from "./gateway/close_reason.ts";
import { type Arrival, sentBy } from "./gateway/forwarded.ts";
import { handshakeOf, refusalOf } from "./gateway/refusal.ts";
import { pathOf, targetOf } from "./gateway/upgrade_router.ts";
import { checkAcceptor, type GatewayOptions, upgradeRules } from "./gateway/upgrade_rules.ts";

export type { GatewayOptions, TrustedProxies } from "./gateway/upgrade_rules.ts";

/** How long the other side may take to answer our close frame, milliseconds. Then the connection counts as gone. */
const CLOSE_WAIT_MS = 3_000;
/** From this backlog on, bytes, a connection is watched until it has drained. */
const WATCH_FROM = 65_536;
/** How often a watched backlog is looked at, milliseconds. */
const WATCH_MS = 25;
/** What a socket without a close frame is reported as (RFC 6455 section 7.1.5). */
const NO_CLOSE_FRAME = 1006;

/** What of `Deno.ServeHandlerInfo` is used. */
export interface ServeInfo {
  readonly remoteAddr: object;
}

/** Answers a request that is a WebSocket upgrade of the gateway's path; undefined for all others. */
export type DenoGateway = (request: Request, info?: ServeInfo) => Response | undefined;

/**
 * Takes WebSocket upgrades in a `Deno.serve` handler and hands the open connections to an engine.
 *
 * Deno's own sockets have three limits that `serveNode`, which Deno runs as well, has not: a message is only measured once it
 * is read whole, a socket whose other side never answers a close frame stays with the system until TCP gives it up, and so does
 * one whose request never ends. A proxy in front ends both.
 *
 * @example
 * ```ts ignore
 * const peyk = serveDeno(engine);
 * Deno.serve((request, info) => peyk(request, info) ?? new Response("hello"));
 * ```
 *
 * @throws {PeykError} `bad-config`
 */
export function serveDeno(acceptor: Acceptor, options: GatewayOptions = {}): DenoGateway {
  checkAcceptor(acceptor);
  const rules = upgradeRules(options);
  return (request, info) => {
    // Not as a URL: it holds the Host header as it came, which may be no host.
    const target = targetOf(request);
    if (pathOf(request) !== rules.path || request.headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
    // Deno takes the request back when it is answered, so what is needed later is copied now.
    const headers = new Headers(request.headers);
    const arrival = arrivalOf(request, headers, info);
    const sent = sentBy(arrival, rules.trusts);

    const refusal = refusalOf(arrival, sent, rules);
    if (refusal !== undefined) {
      acceptor.refused(refusal.reason, refusal.what, refusal.hint);
      return new Response(refusal.body, { status: refusal.status, headers: refusal.headers ?? {} });
    }

    let upgraded;
    try {
      upgraded = Deno.upgradeWebSocket(request, { protocol: SUBPROTOCOL, idleTimeout: 0 });
    } catch {
      acceptor.refused("handshake", handshakeOf(arrival));
      return new Response("This is no WebSocket handshake (RFC 6455 section 4.2.1).\n", { status: 400 });
    }
    const { socket, response } = upgraded;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const connection = new DenoConnection(socket, acceptor.maxFrameBytes);
      const url = `${sent.scheme}://${sent.host}${target}`;
      connection.events = acceptor.accept(connection, { url, headers, remoteAddress: sent.address });
    };
    return response;
  };
}

class DenoConnection implements Connection {
  events!: ConnectionEvents;
  readonly #socket: WebSocket;
  readonly #maxBytes: number;
  #watch: ReturnType<typeof setInterval> | undefined;
  #goodbye: ReturnType<typeof setTimeout> | undefined;
  #gone = false;

  constructor(socket: WebSocket, maxBytes: number) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    socket.onmessage = ({ data }) => this.#message(data);
    // Deno says 0 of a socket that broke.
    socket.onclose = ({ code }) => this.#end(code || NO_CLOSE_FRAME);
    // An error is always followed by close. Without this line Deno would report it as uncaught.
    socket.onerror = (event) => event.preventDefault();
  }

  send(bytes: Uint8Array): boolean {
    const socket = this.#socket;
    if (socket.readyState !== WebSocket.OPEN) return true;
    socket.send(bytes as Uint8Array<ArrayBuffer>);
    if (socket.bufferedAmount < WATCH_FROM) return true;
    if (this.#watch === undefined) this.#watchBacklog();
    return false;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.close(code, closeReason(reason));
    this.#goodbye = setTimeout(() => this.#end(NO_CLOSE_FRAME), CLOSE_WAIT_MS);
    Deno.unrefTimer(this.#goodbye as unknown as number);
  }

  #message(data: unknown): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return; // we said goodbye already
    if (!(data instanceof ArrayBuffer)) return this.close(CloseCode.protocol, "binary messages only");
    if (data.byteLength > this.#maxBytes) return this.close(CloseCode.tooLarge, "message too large");
    this.events.message(new Uint8Array(data));
  }

  /** Deno tells when a message came, not when one left. */
  #watchBacklog(): void {
    this.#watch = setInterval(() => {
      if (this.#socket.bufferedAmount > 0) return;
      this.#stopWatching();
      this.events.drained();
    }, WATCH_MS);
    Deno.unrefTimer(this.#watch as unknown as number);
  }

  #stopWatching(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #end(code: number): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#stopWatching();
    clearTimeout(this.#goodbye);
    this.events.closed(code);
  }
}

function arrivalOf({ method, url }: Request, headers: Headers, info: ServeInfo | undefined): Arrival {
  const scheme = url.startsWith("https:") ? "https" : "http";
  return { method, peer: addressOf(info), scheme, header: (name) => headers.get(name) };
}

function addressOf(info: ServeInfo | undefined): string | undefined {
  const address = info?.remoteAddr;
  return address !== undefined && "hostname" in address && typeof address.hostname === "string" ? address.hostname : undefined;
}
