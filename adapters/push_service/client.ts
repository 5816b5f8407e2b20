import { connect as connectTls, type TLSSocket } from "node:tls";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkedLookup, checkLiteral } from "./checked_lookup.ts";
import type { ServiceReply, ServiceRequest } from "./service_request.ts";
import type { ServiceConnection } from "./exchange.ts";
import { Http1Connection } from "./http1_connection.ts";
import { Http2Connection } from "./http2_connection.ts";
import { Lane } from "./lane.ts";

/** How requests are made. */
export interface ServiceClientOptions {
  /** Allows addresses of this machine, and http to them. Default false. */
  allowLoopback?: boolean;
  /** Allows addresses of private networks, and http to them. Default false: a target that names its address must not reach them. */
  allowPrivate?: boolean;
  /** How long one request may take from when it is written, and how long a connection may take to open. Milliseconds, default 10,000. */
  timeoutMs?: number;
  /** A certificate authority that is trusted instead of the usual ones, PEM. */
  ca?: string;
  /** Requests under way on a new connection until one was answered with less than 400. Default: as many as the service bears. */
  firstWidth?: number;
}

const TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 120_000;
/** Lanes that are remembered. Of more those are closed that are not used. */
const MOST_LANES = 256;

/**
 * Makes the requests of a push provider: over HTTP/2 where the service speaks it, else over HTTP/1.1. Requests of a lane share one
 * long-lived connection. It goes to public addresses unless others are allowed, follows no redirect, and reads a bounded part of an answer.
 */
export class ServiceClient {
  readonly #options: ServiceClientOptions;
  readonly #timeoutMs: number;
  /** The one that was used last comes last. */
  readonly #lanes = new Map<string, Lane>();

  /** @throws {PeykError} `bad-config` for a `timeoutMs` that is no whole number from 1 to 120,000 */
  constructor(options: ServiceClientOptions = {}) {
    const { timeoutMs = TIMEOUT_MS } = options;
    if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
      throw new PeykError("bad-config", `timeoutMs: not a whole number from 1 to ${MAX_TIMEOUT_MS}`, {
        hint: "Leave it out for 10 seconds.",
      });
    }
    this.#options = options;
    this.#timeoutMs = timeoutMs;
  }

  /** One request, on its lane's connection. Never throws. */
  request(request: ServiceRequest): Promise<ServiceReply> {
    return this.#lane(request.lane).request(request);
  }

  /** The lane's next request goes over a new connection; what is under way ends on the former one. */
  renew(lane: string): void {
    this.#lanes.get(lane)?.renew();
  }

  /** Ends all connections, and what is under way with them. A request after that opens another one: a provider may outlive an engine. */
  close(): Promise<void> {
    for (const lane of this.#lanes.values()) lane.close();
    this.#lanes.clear();
    return Promise.resolve();
  }

  #lane(name: string): Lane {
    const { firstWidth = Infinity } = this.#options;
    const lane = this.#lanes.get(name) ??
      new Lane({ open: (url, changed) => this.#open(url, changed), firstWidth, timeoutMs: this.#timeoutMs });
    this.#lanes.delete(name);
    this.#lanes.set(name, lane);
    if (this.#lanes.size > MOST_LANES) this.#forgetOne();
    return lane;
  }

  #forgetOne(): void {
    for (const [name, lane] of this.#lanes) {
      if (!lane.isUnused) continue;
      lane.close();
      this.#lanes.delete(name);
      return;
    }
  }

  /** Opens a connection, and speaks what the service chose (RFC 7301). */
  async #open(url: URL, changed: () => void): Promise<ServiceConnection> {
    const { allowLoopback = false, allowPrivate = false, ca } = this.#options;
    const rule = { tls: url.protocol === "https:", allowLoopback, allowPrivate };
    checkLiteral(url.hostname, rule);
    const lookup = checkedLookup(rule);
    const http1 = (): ServiceConnection => new Http1Connection(rule.tls, this.#timeoutMs, { lookup, ...ca && { ca } });
    if (!rule.tls) return http1();
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const socket = connectTls({
      host,
      port: Number(url.port || 443),
      ...!/^[\d.]+$|:/.test(host) && { servername: host },
      ALPNProtocols: ["h2", "http/1.1"],
      lookup,
      ...ca && { ca },
    });
    await secured(socket, this.#timeoutMs);
    if (socket.alpnProtocol === "h2") return new Http2Connection(url.origin, socket, this.#timeoutMs, changed);
    socket.destroy();
    return http1();
  }
}

function secured(socket: TLSSocket, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      reject(error);
      socket.destroy();
    };
    const timer = setTimeout(() => fail(Object.assign(new Error("no connection in time"), { code: "ETIMEDOUT" })), timeoutMs);
    socket.once("error", fail);
    socket.once("close", () => fail(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve();
    });
  });
}
