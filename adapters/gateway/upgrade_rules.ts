import type { Acceptor, UpgradeRefusal } from "../../src/ports/connection.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { SUBPROTOCOL } from "../../src/protocol/frames.ts";
import { type AllowedOrigins, originAllowed, originFault } from "../../src/protocol/origin.ts";

/** Which upgrades a gateway takes. */
export interface GatewayOptions {
  /** The exact path, without a query. Default "/peyk". */
  path?: string;
  /**
   * Which pages may connect: exact origins such as "https://example.org", any subdomain as "https://*.example.org", or a function
   * that says true (a throw or a promise is a no). Default: pages of the same host and port as the Host header.
   * Clients that are no browser send no Origin and are always let through to authentication.
   */
  origins?: AllowedOrigins;
}

/** The options, checked. */
export interface UpgradeRules {
  readonly path: string;
  readonly origins: AllowedOrigins | undefined;
}

/** What an HTTP request must say for itself. Absent headers are null. */
export interface UpgradeHeaders {
  readonly origin: string | null;
  readonly host: string | null;
  readonly protocols: string | null;
}

/** The HTTP answer to an upgrade that is not taken. */
export interface Refusal {
  readonly status: number;
  /** Plain text for whoever debugs a client. */
  readonly body: string;
  /** The same for the engine's log and counters. */
  readonly reason: UpgradeRefusal;
  /** What the request said. */
  readonly what: string;
}

/** The answer to a path that nobody serves. */
export function unknownPath(path: string): Refusal {
  return { status: 404, body: "Nothing takes WebSocket connections here.\n", reason: "path", what: path };
}

/**
 * Checks that upgrades will have an engine to go to.
 * @throws {PeykError} `bad-config`
 */
export function checkAcceptor(acceptor: Acceptor): void {
  if (typeof acceptor?.accept === "function") return;
  const isPromise = typeof (acceptor as Partial<PromiseLike<unknown>> | undefined)?.then === "function";
  throw new PeykError("bad-config", `engine: ${isPromise ? "a promise of one" : "not an engine"}`, {
    hint: "Give the gateway what `await createEngine(…)` returns.",
  });
}

/**
 * Checks a gateway's options.
 * @throws {PeykError} `bad-config`
 */
export function upgradeRules(options: GatewayOptions): UpgradeRules {
  const { path = "/peyk", origins } = options;
  if (!/^\/[^\s?#]*$/.test(path)) {
    throw new PeykError("bad-config", "path: not an absolute path", { hint: 'Name a path without query, such as "/peyk".' });
  }
  for (const origin of typeof origins === "function" ? [] : origins ?? []) {
    const fault = originFault(origin);
    if (fault !== undefined) {
      throw new PeykError("bad-config", `origins: "${origin}": ${fault}`, {
        hint: 'List origins exactly as browsers send them, such as "https://example.org".',
      });
    }
  }
  return { path, origins: typeof origins === "function" ? origins : origins && [...origins] };
}

/** Why this upgrade, on the gateway's own path, is not taken; undefined when it is. */
export function refusalOf({ origin, host, protocols }: UpgradeHeaders, rules: UpgradeRules): Refusal | undefined {
  if (!originAllowed(origin, host, rules.origins)) {
    const body = "Pages of this origin may not connect. The gateway's option `origins` lists those that may.\n";
    return { status: 403, body, reason: "origin", what: `${origin} at ${host ?? "no host"}` };
  }
  if (host === null || !URL.canParse(`http://${host}`)) {
    return { status: 400, body: "The Host header is missing or no host.\n", reason: "host", what: host ?? "none" };
  }
  const offered = protocols?.split(",").map((name) => name.trim()) ?? [];
  if (!offered.includes(SUBPROTOCOL)) {
    // A browser drops a connection whose subprotocol the server does not echo, so there is no use in answering 101.
    const body = `Name the WebSocket subprotocol "${SUBPROTOCOL}": new WebSocket(url, "${SUBPROTOCOL}").\n`;
    return { status: 400, body, reason: "subprotocol", what: protocols ?? "none" };
  }
  return undefined;
}
