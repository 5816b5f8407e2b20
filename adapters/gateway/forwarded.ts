import { isIP } from "node:net";
import type { Trusts } from "./trusted_proxies.ts";

/** An upgrade as it arrived at this server. */
export interface Arrival {
  readonly method: string;
  /** The address that the socket leads to; undefined where the runtime tells none. */
  readonly peer: string | undefined;
  readonly scheme: "http" | "https";
  /** A header's value, several joined by commas; null when there is none. */
  readonly header: (name: string) => string | null;
}

/** The same as the client sent it, as far as the proxies in between are trusted. */
export interface Sent {
  readonly address: string | undefined;
  readonly host: string | null;
  readonly scheme: "http" | "https";
  /** Another host that it is said to be forwarded for, by an address that is not trusted. */
  readonly untrusted: string | undefined;
}

/**
 * What the client sent: X-Forwarded-For, -Host, -Port and -Proto of trusted proxies, else what the socket and Host say.
 *
 * `Forwarded` (RFC 7239) is not read: a proxy that sets the one kind passes the other on as the client wrote it, and nothing
 * tells which kind it sets.
 */
export function sentBy(arrival: Arrival, trusts: Trusts): Sent {
  const { peer, scheme } = arrival;
  const host = arrival.header("host");
  const forwarded = forwardedHost(arrival);
  if (!trusts(peer, 0)) {
    return { address: peer, host, scheme, untrusted: forwarded === host || forwarded === null ? undefined : forwarded };
  }
  const address = clientAddress(arrival.header("x-forwarded-for"), peer, trusts);
  return { address, host: forwarded, scheme: forwardedScheme(arrival), untrusted: undefined };
}

/** From the nearest proxy outwards, to the first address that is not a trusted one: what stands before that anybody can write. */
function clientAddress(forwardedFor: string | null, peer: string | undefined, trusts: Trusts): string | undefined {
  const told = forwardedFor?.split(",") ?? [];
  let nearest = peer;
  for (let hop = 0; hop < told.length && trusts(nearest, hop); hop++) {
    const address = addressIn(told[told.length - 1 - hop]!.trim());
    if (address === undefined) break;
    nearest = address;
  }
  return nearest;
}

/** An address, as proxies write it: with a port or without, in brackets or without. Undefined for "unknown" and the like. */
function addressIn(text: string): string | undefined {
  const [, bracketed, dotted] = /^\[([^\]]+)\](?::\d+)?$|^([\d.]+):\d+$/.exec(text) ?? [];
  const address = bracketed ?? dotted ?? text;
  return isIP(address) === 0 ? undefined : address;
}

/** The host with its port. Proxies that leave the port out of the host may name it on its own. */
function forwardedHost({ header }: Arrival): string | null {
  const host = nearestOf(header("x-forwarded-host")) ?? header("host");
  const port = nearestOf(header("x-forwarded-port"));
  if (host === null || port === undefined || /:\d*$/.test(host) || !/^\d{1,5}$/.test(port)) return host;
  // A scheme's own port is left out by browsers. Behind two proxies, one with TLS, it is often the other scheme's.
  return port === "80" || port === "443" ? host : `${host}:${port}`;
}

function forwardedScheme({ scheme, header }: Arrival): "http" | "https" {
  switch (nearestOf(header("x-forwarded-proto"))?.toLowerCase()) {
    case "https":
    case "wss":
      return "https";
    case "http":
    case "ws":
      return "http";
    default:
      return scheme;
  }
}

/** Of several values the last: that of the nearest proxy. The first may be the client's own. */
function nearestOf(values: string | null): string | undefined {
  const last = values?.slice(values.lastIndexOf(",") + 1).trim();
  return last === "" ? undefined : last;
}
