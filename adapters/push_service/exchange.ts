import { Buffer } from "node:buffer";
import type { ServiceAnswer, ServiceRequest } from "./service_request.ts";

/** More of an answer's body than this is not read. */
export const MAX_ANSWER_BYTES = 65_536;

/** What an HTTP request of a URL asks for. */
export function pathOf({ pathname, search }: URL): string {
  return pathname + search;
}

/** The answer of a status, headers and what was read of the body. */
export function answerOf(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  chunks: readonly Uint8Array[],
): ServiceAnswer {
  return {
    kind: "answer",
    status,
    header(name) {
      const value = headers[name];
      return typeof value === "string" ? value : undefined;
    },
    body: chunks.length === 0 ? "" : Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString(),
  };
}

/** What a request became on one connection. */
export type Outcome =
  | ServiceAnswer
  /** The service has not begun with it, and says so or was never asked: it may be sent again. */
  | { readonly kind: "untaken"; readonly reason: string }
  /** The connection ended, the time was up or the caller gave up: whether the service took it is not known. */
  | { readonly kind: "lost"; readonly reason: string; readonly cause: "connection" | "timeout" | "abort" };

/** A connection to a service, with any number of requests on it. */
export interface ServiceConnection {
  /** Requests that it bears at a time, as the service says. It may change. */
  readonly width: number;
  /** Requests under way. */
  readonly underWay: number;
  /** It takes no more requests. */
  readonly isOver: boolean;
  /** @param done called once, later */
  send(request: ServiceRequest, done: (outcome: Outcome) => void): void;
  /** Takes no more requests, and ends when those under way have. */
  retire(): void;
  /** Ends now, with all that is under way. */
  destroy(): void;
}

/** An error as a reason: its code only, because messages hold addresses and URLs. */
export function failureReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === NOT_ALLOWED) return "the address is not one that may be called";
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? `connection failed: ${code}` : "connection failed";
}

/** The code of an error that says that a name leads to an address that may not be called. */
export const NOT_ALLOWED = "ERR_ADDRESS_NOT_ALLOWED";
