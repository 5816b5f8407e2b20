import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import type { ServiceRequest } from "./service_request.ts";
import { answerOf, failureReason, MAX_ANSWER_BYTES, type Outcome, pathOf, type ServiceConnection } from "./exchange.ts";

/** Sockets to one service at the same time. */
const WIDTH = 128;
/** An idle socket is closed after this time, before most servers do. */
const IDLE_MS = 4_000;

/** HTTP/1.1: a few sockets that are kept, with one request at a time on each. Redirects are not followed. */
export class Http1Connection implements ServiceConnection {
  readonly width = WIDTH;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #timeoutMs: number;
  readonly #options: { lookup: LookupFunction; ca?: string };
  readonly #finishers = new Set<(outcome: Outcome) => void>();
  #isOver = false;

  constructor(isTls: boolean, timeoutMs: number, options: { lookup: LookupFunction; ca?: string }) {
    const kept = { keepAlive: true, maxSockets: WIDTH, maxFreeSockets: WIDTH, timeout: IDLE_MS };
    this.#agent = isTls ? new HttpsAgent(kept) : new HttpAgent(kept);
    this.#timeoutMs = timeoutMs;
    this.#options = options;
  }

  get underWay(): number {
    return this.#finishers.size;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  send(
    { url, path = pathOf(url), method = "POST", headers, body, signal }: ServiceRequest,
    done: (outcome: Outcome) => void,
  ): void {
    let answer: { status: number; headers: IncomingMessage["headers"] } | undefined;
    const chunks: Uint8Array[] = [];
    let read = 0;

    // Neither runtime reports every way in which a request can end, so the first report ends it, here and only here.
    const finish = (outcome: Outcome): void => {
      if (!this.#finishers.delete(finish)) return;
      clearTimeout(deadline);
      signal.removeEventListener("abort", abort);
      if (answer === undefined || !isWhole) {
        request.destroy();
        request.socket?.destroy();
      }
      if (this.#isOver && this.#finishers.size === 0) this.#agent.destroy();
      done(answer === undefined ? outcome : answerOf(answer.status, answer.headers, chunks));
    };
    let isWhole = false;
    const abort = (): void => finish({ kind: "lost", reason: "aborted", cause: "abort" });
    const late = { kind: "lost", reason: `no answer within ${this.#timeoutMs} ms`, cause: "timeout" } as const;
    // A process that stood still reads first what arrived meanwhile.
    const deadline = setTimeout(() => setImmediate(() => finish(late)), this.#timeoutMs);
    const lose = (error?: unknown): void => finish(outcomeOf(request, error));

    const options = {
      ...this.#options,
      ...{ method, path },
      agent: this.#agent,
      headers: { ...headers, "content-length": String(body.length) },
    };
    const request: ClientRequest = url.protocol === "https:" ? requestHttps(url, options) : requestHttp(url, options);
    this.#finishers.add(finish);
    request.on("error", lose);
    request.on("close", () => lose());
    request.on("response", (response: IncomingMessage) => {
      answer = { status: response.statusCode ?? 0, headers: response.headers };
      response.on("data", (chunk: Uint8Array) => {
        read += chunk.length;
        chunks.push(chunk);
        if (read > MAX_ANSWER_BYTES) lose();
      });
      response.on("end", () => {
        isWhole = response.complete;
        lose();
      });
      response.on("error", lose);
      response.on("close", () => lose());
    });
    signal.addEventListener("abort", abort, { once: true });
    request.end(body);
  }

  retire(): void {
    this.#isOver = true;
    if (this.#finishers.size === 0) this.#agent.destroy();
  }

  destroy(): void {
    this.#isOver = true;
    for (const finish of [...this.#finishers]) finish({ kind: "lost", reason: "the connection was closed", cause: "connection" });
    this.#agent.destroy();
  }
}

/** A kept socket that the service had closed meanwhile carried nothing: it may be sent again. */
function outcomeOf({ reusedSocket }: ClientRequest, error: unknown): Outcome {
  const reason = error === undefined ? "no answer" : failureReason(error);
  const isReset = error instanceof Error && "code" in error && (error.code === "ECONNRESET" || error.code === "EPIPE");
  return reusedSocket && isReset ? { kind: "untaken", reason } : { kind: "lost", reason, cause: "connection" };
}
