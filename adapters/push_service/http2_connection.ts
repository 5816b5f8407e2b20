import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { ServiceRequest } from "./service_request.ts";
import { answerOf, MAX_ANSWER_BYTES, type Outcome, pathOf, type ServiceConnection } from "./exchange.ts";

/** Nothing was heard for so long while requests are under way: is the service still there? */
const QUIET_MS = 3_000;
/** An idle connection shows so often that it is used, for proxies forget others. */
const IDLE_PING_MS = 60_000;
/** A ping that is not answered by then: the connection is dead, though neither side has closed it. */
const PONG_MS = 3_000;
/** A connection that was idle for so long is given up. */
const IDLE_MS = 900_000;
/** Streams until the service says how many it bears: the least that RFC 9113 section 6.5.2 recommends. */
const FIRST_STREAMS = 100;

/** One request on its stream. */
interface Exchange {
  readonly stream: ClientHttp2Stream;
  readonly startedAt: number;
  /** The answer has come, and has no body. */
  isAnswered: boolean;
  finish(outcome: Outcome): void;
}

/**
 * One HTTP/2 session (RFC 9113). After a GOAWAY it takes no more requests: those that the service has not begun with come back as
 * "untaken", the others may still be answered on it.
 */
export class Http2Connection implements ServiceConnection {
  readonly #session: ClientHttp2Session;
  readonly #timeoutMs: number;
  /** In the order in which they began, which is that of their deadlines. */
  readonly #exchanges = new Set<Exchange>();
  /** The last stream that the service begins with, as its GOAWAY says. */
  #lastStream = Infinity;
  #width = FIRST_STREAMS;
  #isOver = false;
  /** Monotonic milliseconds: when the last answer, pong or setting arrived, and when the last request was sent. */
  #heardAt = performance.now();
  #usedAt = performance.now();
  #pingedAt: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  readonly #changed: () => void;

  /**
   * @param socket connected, with h2 agreed upon
   * @param changed called when the width may be another one, or the connection is over
   */
  constructor(origin: string, socket: TLSSocket, timeoutMs: number, changed: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#changed = changed;
    this.#session = connect(origin, { createConnection: () => socket, settings: { enablePush: false } });
    this.#session.on("goaway", (_code: number, lastStream: number) => {
      this.#lastStream = lastStream;
      this.#end();
    });
    this.#session.on("error", () => this.#end());
    this.#session.on("close", () => this.#closed());
    this.#session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      this.#heard();
      this.#width = maxConcurrentStreams ?? Infinity;
      changed();
    });
    this.#watch();
  }

  get width(): number {
    return this.#width;
  }

  get underWay(): number {
    return this.#exchanges.size;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  send(
    { url, path = pathOf(url), method = "POST", headers, body, signal }: ServiceRequest,
    done: (outcome: Outcome) => void,
  ): void {
    const hasBody = body.length > 0;
    let stream: ClientHttp2Stream;
    try {
      const length = hasBody ? String(body.length) : undefined;
      const all = { ...headers, ":method": method, ":path": path, "content-length": length };
      stream = this.#session.request(all, { endStream: !hasBody });
    } catch {
      this.#end();
      queueMicrotask(() => done({ kind: "untaken", reason: "the connection was closed" }));
      return;
    }
    const now = performance.now();
    if (this.#exchanges.size === 0) this.#heardAt = now;
    this.#usedAt = now;
    const abort = (): void => exchange.finish({ kind: "lost", reason: "aborted", cause: "abort" });
    const exchange: Exchange = {
      stream,
      startedAt: now,
      isAnswered: false,
      finish: (outcome) => {
        if (!this.#exchanges.delete(exchange)) return;
        signal.removeEventListener("abort", abort);
        // One that has ended both ways closes by itself.
        if (!stream.closed && !exchange.isAnswered && !stream.readableEnded) stream.close(constants.NGHTTP2_CANCEL);
        if (this.#isOver) this.#retireIfDone();
        done(outcome);
      },
    };
    this.#exchanges.add(exchange);
    signal.addEventListener("abort", abort, { once: true });
    this.#read(exchange);
    if (hasBody) stream.end(body);
    this.#wakeAt(now + Math.min(this.#timeoutMs, QUIET_MS));
  }

  /** Neither runtime reports every way in which a stream can end in the same way: the first report ends it. */
  #read(exchange: Exchange): void {
    const { stream } = exchange;
    let answered: IncomingHttpHeaders | undefined;
    const chunks: Uint8Array[] = [];
    let read = 0;
    const end = (error?: unknown): void => {
      // An answer that breaks off or is too long still counts: its status was said.
      if (answered !== undefined) exchange.finish(answerOf(Number(answered[":status"]), answered, chunks));
      else exchange.finish(this.#unanswered(stream, error));
    };
    stream.on("response", (headers, flags) => {
      this.#heard();
      answered = headers;
      exchange.isAnswered = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (exchange.isAnswered) {
        stream.resume();
        return end();
      }
      stream.on("data", (chunk: Uint8Array) => {
        read += chunk.length;
        chunks.push(chunk);
        if (read > MAX_ANSWER_BYTES) end();
      });
      stream.on("end", () => end());
    });
    stream.on("error", end);
    stream.on("close", () => end());
  }

  #heard(): void {
    this.#heardAt = performance.now();
    this.#pingedAt = undefined;
  }

  #unanswered({ id, rstCode }: ClientHttp2Stream, error: unknown): Outcome {
    const isUntaken = rstCode === constants.NGHTTP2_REFUSED_STREAM || id === undefined || id > this.#lastStream;
    if (isUntaken) return { kind: "untaken", reason: "the service refused the stream" };
    const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
    const reason = code === undefined ? "the connection was lost" : `the connection was lost: ${code}`;
    return { kind: "lost", reason, cause: "connection" };
  }

  retire(): void {
    this.#end();
    this.#retireIfDone();
  }

  destroy(): void {
    this.#end();
    this.#session.destroy();
    this.#closed();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#changed();
  }

  #retireIfDone(): void {
    if (this.#exchanges.size === 0 && !this.#session.closed) this.#session.close();
  }

  #closed(): void {
    this.#end();
    clearTimeout(this.#timer);
    for (const { stream, finish } of [...this.#exchanges]) finish(this.#unanswered(stream, undefined));
  }

  /** Has the connection looked after at that time, or before. */
  #wakeAt(time: number): void {
    if (time >= this.#timerAt || this.#session.destroyed) return;
    clearTimeout(this.#timer);
    this.#timerAt = time;
    // A process that stood still reads first what arrived meanwhile.
    this.#timer = setTimeout(() => setImmediate(() => this.#watch()), Math.max(0, time - performance.now()));
    this.#timer.unref();
  }

  /** Ends what had no answer in time, asks a connection that is quiet whether it lives, and gives it up where it does not say so. */
  #watch(): void {
    if (this.#session.destroyed) return;
    this.#timerAt = Infinity;
    const now = performance.now();
    if (this.#pingedAt !== undefined && now >= this.#pingedAt + PONG_MS) return this.destroy();
    for (const { startedAt, finish } of this.#exchanges) {
      if (startedAt + this.#timeoutMs > now) break;
      finish({ kind: "lost", reason: `no answer within ${this.#timeoutMs} ms`, cause: "timeout" });
    }
    const isIdle = this.#exchanges.size === 0;
    if (isIdle && now >= this.#usedAt + IDLE_MS) return this.retire();
    const quietMs = isIdle ? IDLE_PING_MS : QUIET_MS;
    if (this.#pingedAt === undefined && now >= this.#heardAt + quietMs) this.#ping();
    const [first] = this.#exchanges;
    const next = this.#pingedAt === undefined ? this.#heardAt + quietMs : this.#pingedAt + PONG_MS;
    this.#wakeAt(Math.min(first === undefined ? Infinity : first.startedAt + this.#timeoutMs, next));
  }

  #ping(): void {
    this.#pingedAt = performance.now();
    try {
      this.#session.ping((error: Error | null) => {
        if (error === null) this.#heard();
      });
    } catch {
      this.destroy();
    }
  }
}
