import type { ServiceReply, ServiceRequest } from "./service_request.ts";
import { failureReason, type Outcome, type ServiceConnection } from "./exchange.ts";
import { Window } from "./window.ts";

/** What a lane works with. */
export interface LaneParts {
  /** Opens a connection. */
  open(url: URL, changed: () => void): Promise<ServiceConnection>;
  /** Requests under way on a connection until it is proven: one was answered with less than 400. */
  readonly firstWidth: number;
  readonly timeoutMs: number;
}

/** A service that is known to be fast and answers nothing for so long is stalled, … */
const STALL_MS = 2_000;
/** … as is one that answers nothing for so many times its latency. */
const STALL_LATENCIES = 3;

/** Connections in a row on which nothing was answered: another one is not tried at once. */
const MOST_BARREN = 3;

/** A request that waits for its place. */
interface Waiting {
  readonly request: ServiceRequest;
  readonly resolve: (reply: ServiceReply) => void;
  /** It was sent before, and the service said that it did not begin with it. */
  readonly isSecond: boolean;
  /** Ends the wait when the caller gives up. */
  readonly abort: () => void;
}

/**
 * The requests that share a connection: as many of them are under way as the service bears, the others wait in their order. A
 * connection that is over is replaced, and what the service has not begun with is sent again, once.
 */
export class Lane {
  readonly #parts: LaneParts;
  readonly #window = new Window();
  readonly #waiting = new Set<Waiting>();
  #connection: ServiceConnection | undefined;
  /** The connection has answered something with less than 400. */
  #isProven = false;
  #isOpening = false;
  /** Connections since something was answered. */
  #barren = 0;
  /** Connections that take no more, and are not through with what they have. */
  readonly #former = new Set<ServiceConnection>();
  /** Monotonic milliseconds: when something was answered last, or waiting began. */
  #movedAt = performance.now();
  #answeredAt = -Infinity;
  /** How long the slowest of the last answers took, falling off slowly. */
  #latencyMs = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(parts: LaneParts) {
    this.#parts = parts;
  }

  /** Nothing is under way, and no connection is open. */
  get isIdle(): boolean {
    return this.#waiting.size === 0 && !this.#isOpening && this.#former.size === 0 && this.#connection === undefined;
  }

  /** Nothing is under way. */
  get isUnused(): boolean {
    return this.#waiting.size === 0 && !this.#isOpening && this.#former.size === 0 && (this.#connection?.underWay ?? 0) === 0;
  }

  request(request: ServiceRequest): Promise<ServiceReply> {
    if (request.signal.aborted) return Promise.resolve(ABORTED);
    return new Promise((resolve) => {
      const connection = this.#waiting.size === 0 ? this.#open(request.url) : undefined;
      if (connection !== undefined && this.#hasRoom(connection)) this.#send(connection, request, resolve, false);
      else this.#enter(request, resolve, false);
    });
  }

  /** The next request goes over a new connection; what is under way ends on the former one. */
  renew(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    this.#leave(connection);
    this.#pump();
  }

  /** Ends all connections. What waits and what is under way fails. */
  close(): void {
    this.#fail({ kind: "failure", reason: "closed", scope: "target" });
    for (const connection of [...this.#former, ...this.#connection ? [this.#connection] : []]) connection.destroy();
  }

  #enter(request: ServiceRequest, resolve: (reply: ServiceReply) => void, isSecond: boolean): void {
    const waiting: Waiting = {
      request,
      resolve,
      isSecond,
      abort: () => {
        if (this.#waiting.delete(waiting)) resolve(ABORTED);
      },
    };
    if (this.#waiting.size === 0) this.#movedAt = performance.now();
    this.#waiting.add(waiting);
    request.signal.addEventListener("abort", waiting.abort, { once: true });
    this.#pump();
  }

  /** Sends what waits, as far as there is room. */
  #pump(): void {
    for (const waiting of this.#waiting) {
      const connection = this.#open(waiting.request.url);
      if (connection === undefined || !this.#hasRoom(connection)) break;
      this.#waiting.delete(waiting);
      waiting.request.signal.removeEventListener("abort", waiting.abort);
      this.#send(connection, waiting.request, waiting.resolve, waiting.isSecond);
    }
    if (this.#waiting.size > 0) this.#watch();
  }

  #hasRoom({ underWay, width }: ServiceConnection): boolean {
    return underWay < Math.min(width, this.#window.width, this.#isProven ? Infinity : this.#parts.firstWidth);
  }

  /** The connection, where one is open. Else one is opened, once for all that waits. */
  #open(url: URL): ServiceConnection | undefined {
    const connection = this.#connection;
    if (connection?.isOver === true) {
      this.#connection = undefined;
      this.#leave(connection);
    } else if (connection !== undefined) return connection;
    if (this.#isOpening) return undefined;
    if (this.#barren >= MOST_BARREN) {
      this.#barren = 0;
      this.#fail({ kind: "failure", reason: "the service closes its connections without an answer", scope: "service" });
      return undefined;
    }
    this.#isOpening = true;
    this.#parts.open(url, () => {
      this.#pump();
      this.#forget();
    }).then((opened) => {
      this.#isOpening = false;
      this.#isProven = false;
      this.#barren++;
      this.#movedAt = performance.now();
      this.#connection = opened;
      this.#pump();
    }, (error) => {
      this.#isOpening = false;
      this.#fail({ kind: "failure", reason: failureReason(error), scope: "service" });
    });
    return undefined;
  }

  #send(
    connection: ServiceConnection,
    request: ServiceRequest,
    resolve: (reply: ServiceReply) => void,
    isSecond: boolean,
  ): void {
    const startedAt = performance.now();
    connection.send(request, (outcome) => {
      const now = performance.now();
      if (outcome.kind === "answer") this.#answered(outcome.status, startedAt, now, connection);
      if (outcome.kind === "untaken" && !isSecond && !request.signal.aborted) this.#enter(request, resolve, true);
      else resolve(this.#replyOf(outcome, startedAt, now, connection));
      this.#forget();
      if (this.#waiting.size > 0) this.#pump();
    });
  }

  #answered(status: number, startedAt: number, now: number, connection: ServiceConnection): void {
    this.#movedAt = this.#answeredAt = now;
    this.#barren = 0;
    const latency = now - startedAt;
    this.#latencyMs = this.#latencyMs === Infinity ? latency : Math.max(latency, this.#latencyMs * 0.99);
    if (connection === this.#connection && status < 400) this.#isProven = true;
    if (status === 429 || status >= 500) this.#window.narrow(startedAt, now);
    else this.#window.widen();
  }

  #replyOf(outcome: Outcome, startedAt: number, now: number, connection: ServiceConnection): ServiceReply {
    if (outcome.kind === "answer") return outcome;
    const { kind, reason } = outcome;
    if (kind === "untaken") return { kind: "failure", reason, scope: "service" };
    // While others are answered a request that is not may have met with something of its target.
    const isAlone = this.#answeredAt < startedAt;
    if (outcome.cause === "timeout") {
      this.#window.narrow(startedAt, now);
      if (isAlone && connection === this.#connection) connection.retire();
    }
    return { kind: "failure", reason, scope: outcome.cause !== "abort" && isAlone ? "service" : "target" };
  }

  #leave(connection: ServiceConnection): void {
    connection.retire();
    if (connection.underWay > 0) this.#former.add(connection);
  }

  #forget(): void {
    if (this.#connection?.isOver === true && this.#connection.underWay === 0) this.#connection = undefined;
    for (const former of this.#former) if (former.underWay === 0) this.#former.delete(former);
  }

  /** Hands back what waits for a service that answers nothing: those of other lanes need the engine's places. */
  #watch(): void {
    if (this.#timer !== undefined) return;
    const { timeoutMs } = this.#parts;
    const stallMs = Math.min(timeoutMs / 2, Math.max(STALL_MS, STALL_LATENCIES * this.#latencyMs));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting.size === 0) return;
      const isStalled = !this.#isOpening && performance.now() >= this.#movedAt + stallMs;
      if (isStalled) this.#fail({ kind: "failure", reason: "the service has stopped answering", scope: "service" });
      else this.#watch();
    }, Math.max(10, this.#movedAt + stallMs - performance.now()));
    this.#timer.unref();
  }

  #fail(reply: ServiceReply): void {
    const all = [...this.#waiting];
    this.#waiting.clear();
    for (const { abort, request, resolve } of all) {
      request.signal.removeEventListener("abort", abort);
      resolve(reply);
    }
  }
}

const ABORTED: ServiceReply = Object.freeze({ kind: "failure", reason: "aborted", scope: "target" });
