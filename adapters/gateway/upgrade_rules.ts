import type { Acceptor } from "../../src/ports/connection.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../../src/protocol/fields.ts";
import { type AllowedOrigins, originFault } from "../../src/protocol/origin.ts";
import { type TrustedProxies, type Trusts, trustsOf } from "./trusted_proxies.ts";

export type { TrustedProxies } from "./trusted_proxies.ts";

/** Which upgrades a gateway takes. */
export interface GatewayOptions {
  /** The exact path, without a query. Default "/peyk". */
  path?: string;
  /**
   * Which pages may connect: exact origins such as "https://example.org", any subdomain as "https://*.example.org", or a function
   * that says true (a throw or a promise is a no). Default: pages of the same host and port as the Host header, or as what a
   * trusted proxy says. Clients that are no browser send no Origin and are always let through to authentication.
   */
  origins?: AllowedOrigins;
  /**
   * Which proxies' X-Forwarded-Host, -Port, -Proto and -For are believed: addresses and subnets such as ["loopback", "10.0.0.0/8"],
   * a function, or `true` for whatever connects. Pages are then compared with the host that the browser asked for, and
   * `authenticate()` gets its address and URL. Default: none's, for anybody can send these headers.
   */
  trustProxy?: TrustedProxies;
}

const GATEWAY_KINDS: KindsOf<GatewayOptions> = { path: "text", origins: "any", trustProxy: "any" };

/** The options, checked. */
export interface UpgradeRules {
  readonly path: string;
  readonly origins: AllowedOrigins | undefined;
  readonly trusts: Trusts;
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
  checkKinds(options, GATEWAY_KINDS, "gateway");
  const { path = "/peyk", origins, trustProxy } = options;
  if (!/^\/[^\s?#]*$/.test(path)) {
    throw new PeykError("bad-config", "path: not an absolute path", { hint: 'Name a path without query, such as "/peyk".' });
  }
  if (origins !== undefined && typeof origins !== "function" && !Array.isArray(origins)) {
    throw new PeykError("bad-config", "origins: neither a list nor a function", { hint: 'Such as ["https://example.org"].' });
  }
  for (const origin of typeof origins === "function" ? [] : origins ?? []) {
    const fault = typeof origin === "string" ? originFault(origin) : "no text";
    if (fault !== undefined) {
      throw new PeykError("bad-config", `origins: "${origin}": ${fault}`, {
        hint: 'List origins exactly as browsers send them, such as "https://example.org".',
      });
    }
  }
  return { path, origins: typeof origins === "function" ? origins : origins && [...origins], trusts: trustsOf(trustProxy) };
}
