import { PeykError } from "../../src/protocol/errors.ts";

/** What of a node:http `IncomingMessage` is used. */
export interface UpgradeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
}

/** What of an upgraded socket is used: that of a node:net or node:tls `Socket`. */
export interface UpgradeSocket {
  readonly remoteAddress?: string | undefined;
  readonly encrypted?: boolean;
  readonly destroyed: boolean;
  readonly writable: boolean;
  write(chunk: Uint8Array): boolean;
  end(chunk: string): unknown;
  destroy(): unknown;
  on(event: "error" | "close", listener: () => void): unknown;
}

/** What of a node:http, node:https or node:http2 server is used. */
export interface UpgradeServer {
  on(event: "upgrade", listener: () => void): unknown;
  off(event: "upgrade", listener: () => void): unknown;
  listenerCount(event: "upgrade"): number;
  emit(event: "upgrade", request: never, socket: never, head: never): boolean;
}

/** Takes the upgrades of one path. */
export interface UpgradeTaker {
  take(request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array): void;
  /** An upgrade of another path that no listener answers. */
  unanswered(request: UpgradeRequest, socket: UpgradeSocket): void;
}

/** Where a server keeps its router. */
const ROUTER = Symbol("peyk.upgrades");
/** How long other listeners may take to answer an upgrade, milliseconds. Proxies ask the server behind them first. */
const ANSWER_MS = 30_000;

type Emit = (this: unknown, event: string | symbol, ...args: unknown[]) => boolean;
/** The server as this file changes it. Node has `shouldUpgradeCallback` from 24.9 and 22.21 on, Deno 2.9 has it. */
interface RoutedServer {
  emit: Emit;
  shouldUpgradeCallback?: ((request: UpgradeRequest) => boolean) | undefined;
  [ROUTER]?: UpgradeRouter;
}

/**
 * Takes the upgrades of some paths out of a server's `upgrade` events, before any listener.
 *
 * All listeners of `upgrade` get the same socket, and most end it when the path is not theirs: ws answers 400, others destroy
 * it, at once or later. Neither going first nor what is done to the socket helps against all of them. So the server's own `emit`
 * is replaced: what is ours is not emitted, everything else is, unchanged. Listeners added later are covered as well.
 */
export class UpgradeRouter {
  readonly #server: UpgradeServer;
  readonly #takers = new Map<string, UpgradeTaker>();
  /** Without any listener Node takes upgrades for plain requests. */
  readonly #listener = (): void => {};

  private constructor(server: UpgradeServer) {
    this.#server = server;
    const routed = server as unknown as RoutedServer;
    const { emit, shouldUpgradeCallback } = routed;
    const dispatch = (request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array): boolean =>
      this.#dispatch(request, socket, head, () => emit.call(server, "upgrade", request, socket, head));
    routed.emit = function (event, ...args) {
      if (event !== "upgrade") return emit.call(this, event, ...args);
      return dispatch(...args as Parameters<typeof dispatch>);
    };
    if (shouldUpgradeCallback === undefined) return;
    // A request that asks for HTTP/2 (h2c) may be answered as it is, RFC 9110 section 7.8: as before, unless others upgrade it.
    routed.shouldUpgradeCallback = (request) => {
      if (!isWebSocket(request)) return this.#othersListen && shouldUpgradeCallback.call(server, request);
      return this.#takers.has(pathOf(request)) || shouldUpgradeCallback.call(server, request);
    };
  }

  /** @throws {PeykError} `bad-config`: not a server */
  static of(server: UpgradeServer): UpgradeRouter {
    if (typeof server?.emit !== "function") {
      throw new PeykError("bad-config", "server: not a server", {
        hint: "Give serveNode the node:http server itself: what `createServer()`, or `app.listen()` of Express, returns.",
      });
    }
    const routed = server as unknown as RoutedServer;
    return routed[ROUTER] ??= new UpgradeRouter(server);
  }

  /**
   * @returns takes it out again
   * @throws {PeykError} `bad-config`: the path is taken
   */
  add(path: string, taker: UpgradeTaker): () => void {
    if (this.#takers.has(path)) {
      throw new PeykError("bad-config", `path: "${path}" is served on this server already`, {
        hint: "Give each engine a path of its own, or close() the first gateway.",
      });
    }
    if (this.#takers.size === 0) this.#server.on("upgrade", this.#listener);
    this.#takers.set(path, taker);
    return () => {
      if (this.#takers.get(path) !== taker) return;
      this.#takers.delete(path);
      if (this.#takers.size === 0) this.#server.off("upgrade", this.#listener);
    };
  }

  get #othersListen(): boolean {
    return this.#server.listenerCount("upgrade") > (this.#takers.size === 0 ? 0 : 1);
  }

  #dispatch(request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array, toOthers: () => boolean): boolean {
    const taker = isWebSocket(request) ? this.#takers.get(pathOf(request)) : undefined;
    if (taker !== undefined) {
      taker.take(request, socket, head);
      return true;
    }
    const written = bytesWritten(socket);
    const heard = toOthers();
    const [first] = this.#takers.values();
    if (first !== undefined && isUnanswered(socket, written)) {
      if (this.#othersListen) awaitAnswer(socket, written, () => first.unanswered(request, socket));
      else first.unanswered(request, socket);
    }
    return heard;
  }
}

/** Calls `late` when no listener has answered in time. */
function awaitAnswer(socket: UpgradeSocket, written: number, late: () => void): void {
  const timer = setTimeout(() => {
    if (isUnanswered(socket, written)) late();
  }, ANSWER_MS);
  socket.on("close", () => clearTimeout(timer));
}

function isUnanswered(socket: UpgradeSocket, written: number): boolean {
  return !socket.destroyed && socket.writable && bytesWritten(socket) === written;
}

/** On a connection that was kept alive, requests before this one were answered. */
function bytesWritten(socket: UpgradeSocket): number {
  return (socket as { bytesWritten?: number }).bytesWritten ?? 0;
}

export function isWebSocket({ headers }: UpgradeRequest): boolean {
  return String(headers.upgrade).toLowerCase() === "websocket";
}

/** The request's path as it was sent, without the query. */
export function pathOf(request: Pick<UpgradeRequest, "url">): string {
  return targetOf(request).split("?", 1)[0]!;
}

/** The path with the query. Some clients send the whole URL, and a server has to take that as well (RFC 9112 section 3.2.2). */
export function targetOf({ url = "" }: Pick<UpgradeRequest, "url">): string {
  return url.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
}
