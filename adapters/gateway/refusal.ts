import type { UpgradeRefusal } from "../../src/ports/connection.ts";
import { SUBPROTOCOL } from "../../src/protocol/frames.ts";
import { isHost, originAllowed } from "../../src/protocol/origin.ts";
import type { Arrival, Sent } from "./forwarded.ts";
import type { UpgradeRules } from "./upgrade_rules.ts";

/** The HTTP answer to an upgrade that is not taken. */
export interface Refusal {
  readonly status: number;
  /** Beside those of any answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Plain text for the person who debugs a client. */
  readonly body: string;
  /** The same for the engine's log and counters. */
  readonly reason: UpgradeRefusal;
  /** What the request said. */
  readonly what: string;
  /** What to do about it, where that is more than the reason says. */
  readonly hint?: string;
}

const UNTRUSTED_PROXY =
  "X-Forwarded-Host or X-Forwarded-Port names another host, and what connects is not trusted to say so. If it is a proxy of " +
  "yours, name its address in the gateway's option `trustProxy`.";
const PORT_LOST =
  "Only the port differs. A proxy that leaves it out of the Host header (nginx: `Host $host`) is to pass it on (nginx: " +
  "`Host $http_host`), or to send X-Forwarded-Host and to be named in the gateway's option `trustProxy`. A page that really is " +
  "on another port is to be listed in `origins`.";

/** The WebSocket version that browsers speak, and this server (RFC 6455). Version 8 sends no Origin that could be checked. */
const VERSION = "13";
/** 16 bytes in base64 (RFC 6455 section 4.1). */
const keyForm = /^[A-Za-z0-9+/]{22}==$/;

/** The answer to a path that no listener of the server takes. */
export function unknownPath(path: string): Refusal {
  return { status: 404, body: "Nothing takes WebSocket connections here.\n", reason: "path", what: path };
}

/** Why this upgrade, on the gateway's own path, is not taken; undefined when it is. */
export function refusalOf(arrival: Arrival, sent: Sent, rules: UpgradeRules): Refusal | undefined {
  return originRefusal(arrival, sent, rules) ?? hostRefusal(arrival, sent) ?? subprotocolRefusal(arrival) ??
    handshakeRefusal(arrival);
}

function originRefusal(arrival: Arrival, sent: Sent, { origins }: UpgradeRules): Refusal | undefined {
  const origin = arrival.header("origin");
  if (originAllowed(origin, sent.host, origins)) return undefined;
  // With a list of origins no host would change anything.
  const hint = origins !== undefined ? undefined : untrustedHint(sent) ?? portHint(origin, sent.host);
  const what = `${origin} at ${sent.host ?? "no host"}${untrustedHost(arrival, sent)}`;
  return refusal(
    "origin",
    403,
    what,
    "Pages of this origin may not connect. The gateway's option `origins` lists those that may.",
    hint,
  );
}

function hostRefusal(arrival: Arrival, sent: Sent): Refusal | undefined {
  const { host } = sent;
  if (host !== null && isHost(host)) return undefined;
  const what = `${host ?? "none"}${untrustedHost(arrival, sent)}`;
  return refusal("host", 400, what, "The Host header is missing or no host.", untrustedHint(sent));
}

function subprotocolRefusal({ header }: Arrival): Refusal | undefined {
  const protocols = header("sec-websocket-protocol");
  const offered = protocols?.split(",").map((name) => name.trim()) ?? [];
  if (offered.includes(SUBPROTOCOL)) return undefined;
  // A browser drops a connection whose subprotocol the server does not echo, so there is no use in answering 101.
  const body = `Name the WebSocket subprotocol "${SUBPROTOCOL}": new WebSocket(url, "${SUBPROTOCOL}").`;
  return refusal("subprotocol", 400, protocols ?? "none", body);
}

/** What the runtimes differ in: Deno takes any method, version and key. */
function handshakeRefusal(arrival: Arrival): Refusal | undefined {
  const { method, header } = arrival;
  const what = handshakeOf(arrival);
  if (method !== "GET") {
    return { ...refusal("handshake", 405, what, "A WebSocket handshake is a GET."), headers: { Allow: "GET" } };
  }
  if (header("sec-websocket-version") !== VERSION) {
    const body = `Sec-WebSocket-Version is to be ${VERSION} (RFC 6455).`;
    return { ...refusal("handshake", 400, what, body), headers: { "Sec-WebSocket-Version": VERSION } };
  }
  if (!keyForm.test(header("sec-websocket-key") ?? "")) {
    return refusal("handshake", 400, what, "Sec-WebSocket-Key is to be 16 bytes in base64 (RFC 6455 section 4.1).");
  }
  // Where a body ends and frames begin, a proxy and this server might see differently.
  if (header("transfer-encoding") !== null || (header("content-length") ?? "0") !== "0") {
    return refusal("handshake", 400, `${what} and a body`, "A WebSocket handshake has no body.");
  }
  return undefined;
}

/** What is said of a handshake that is none. */
export function handshakeOf({ method, header }: Arrival): string {
  return `${method} with version ${header("sec-websocket-version") ?? "none"}`;
}

function refusal(reason: UpgradeRefusal, status: number, what: string, body: string, hint?: string): Refusal {
  if (hint === undefined) return { reason, status, what, body: `${body}\n` };
  return { reason, status, what, body: `${body}\n${hint}\n`, hint };
}

function untrustedHost({ peer }: Arrival, { untrusted }: Sent): string {
  return untrusted === undefined ? "" : `, forwarded for ${untrusted} by ${peer ?? "an unknown address"}`;
}

function untrustedHint({ untrusted }: Sent): string | undefined {
  return untrusted === undefined ? undefined : UNTRUSTED_PROXY;
}

function portHint(origin: string | null, host: string | null): string | undefined {
  if (origin === null || host === null || !URL.canParse(origin) || !isHost(host) || /:\d*$/.test(host)) return undefined;
  return new URL(origin).hostname === new URL(`http://${host}`).hostname ? PORT_LOST : undefined;
}
