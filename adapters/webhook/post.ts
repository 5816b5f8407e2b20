import type { LookupAddress } from "node:dns";
import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";

/** More of an answer than this is not read. */
const MAX_ANSWER_BYTES = 65_536;

/** A request to one address that was checked before. */
export interface PostRequest {
  url: URL;
  /** The only addresses the connection may go to, whatever the name says by then. */
  addresses: readonly LookupAddress[];
  headers: Readonly<Record<string, string>>;
  body: Uint8Array;
  signal: AbortSignal;
}

/** What counts of the answer. */
export interface PostAnswer {
  status: number;
  retryAfter: string | undefined;
}

/**
 * Posts on a connection of its own, follows no redirect, and reads the answer's body only to throw it away.
 * An answer that breaks off or is too long still counts: its status was said.
 * @throws the socket's error, or the signal's reason
 */
export function post({ url, addresses, headers, body, signal }: PostRequest): Promise<PostAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let answer: PostAnswer | undefined;

    // Neither runtime reports every way in which a request can end, so whatever comes first ends it, here and only here.
    const finish = (error?: unknown): void => {
      signal.removeEventListener("abort", abort);
      if (answer !== undefined) resolve(answer);
      else reject(error ?? new Error("no answer"));
      request.destroy();
      request.socket?.destroy();
    };
    const abort = (): void => finish(signal.reason);

    const options = { method: "POST", agent: false, headers, lookup: pinned(addresses) } as const;
    const request: ClientRequest = url.protocol === "https:" ? requestHttps(url, options) : requestHttp(url, options);
    request.on("error", finish);
    request.on("close", () => finish());
    request.on("response", (response: IncomingMessage) => {
      answer = { status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"] };
      let read = 0;
      response.on("data", (chunk: Uint8Array) => {
        read += chunk.length;
        if (read > MAX_ANSWER_BYTES) finish();
      });
      response.on("end", () => finish());
      response.on("error", () => finish());
      response.on("close", () => finish());
    });
    signal.addEventListener("abort", abort, { once: true });
    request.end(body);
  });
}

/** A look-up that asks nobody: a second, different answer of the name's server must have no effect. */
function pinned(addresses: readonly LookupAddress[]): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? "", first?.family ?? 4);
  };
}
