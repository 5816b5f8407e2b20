import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import type { PushNotification } from "../../src/ports/push_provider.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import type { PushAddress } from "../../src/protocol/target.ts";

/** The headers of a webhook request. */
export const WebhookHeader = {
  /** Stays the same on every try of one push, and differs between targets. The body names it too. */
  id: "peyk-id",
  /** Seconds since 1970 when this try was made. */
  timestamp: "peyk-timestamp",
  /** `v1=` and HMAC-SHA256 over `timestamp + "." + body` as lower-case hex. */
  signature: "peyk-signature",
} as const;

/** The JSON body of a webhook request: the target as the client registered it, and what is to be brought there. */
export interface WebhookDelivery extends PushNotification, PushAddress {
  /** Same on every try: remember it, and a repeat does nothing. */
  deliveryId: string;
}

/** The headers of a request, as frameworks have them. */
export type WebhookHeaders =
  | { get(name: string): unknown }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** What a receiver has in hands. */
export interface WebhookRequest {
  /** As they came: an object with names in any case and texts, or arrays of one text; or `Headers`, of any library. */
  headers: WebhookHeaders;
  /** The body exactly as it came: not parsed and printed again. */
  body: string | Uint8Array;
  secret: string;
  /** How far the sender's clock and ours may be apart, milliseconds. Older requests are refused as replays. Default 5 minutes. */
  toleranceMs?: number;
  /** Milliseconds since 1970. Default: now. */
  now?: number;
}

/** The value of the signature header for this body at this time. */
export function signatureOf(secret: string, timestamp: string, body: string | Uint8Array): string {
  return `v1=${createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex")}`;
}

/** A delivery's id: of the push and its target, and says nothing about either to whoever lacks the secret. */
export function deliveryIdOf(secret: string, token: string, { id, topic, collapseId }: PushNotification): string {
  return createHmac("sha256", secret).update(JSON.stringify(["id", token, topic, id, collapseId])).digest("hex").slice(0, 32);
}

/**
 * Checks a webhook request and gives what it carries, or undefined when it was not sent with this secret, was changed on its
 * way, or is too old. Whoever must not act twice on a request repeated within the tolerance remembers `deliveryId` that long.
 *
 * @example
 * ```ts ignore
 * const delivery = verifyWebhook({ headers: request.headers, body: await request.text(), secret });
 * if (delivery === undefined) return new Response(null, { status: 401 });
 * ```
 *
 * @throws {PeykError} `bad-config` where the receiver is set up wrong: no secret, or a body that was parsed
 */
export function verifyWebhook(request: WebhookRequest): WebhookDelivery | undefined {
  const { headers, body, secret, toleranceMs = 300_000, now = Date.now() } = request;
  if (typeof secret !== "string" || !(toleranceMs >= 0)) {
    throw wrong("secret is no text, or toleranceMs no number of milliseconds", "Is the secret's environment variable set?");
  }
  if (typeof body !== "string" && !ArrayBuffer.isView(body)) {
    throw wrong(
      "body is not the body as it came",
      "Give its bytes or its text, before anything parses it: express.raw(), request.text().",
    );
  }
  const [id, timestamp, signature] = [WebhookHeader.id, WebhookHeader.timestamp, WebhookHeader.signature].map((name) =>
    headerOf(headers, name)
  );
  if (id === undefined || signature === undefined || timestamp === undefined || !/^\d{1,12}$/.test(timestamp)) return undefined;
  if (!(Math.abs(now - Number(timestamp) * 1_000) <= toleranceMs)) return undefined;
  if (secret === "" || !equal(signature, signatureOf(secret, timestamp, body))) return undefined;
  try {
    const delivery = JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body)) as WebhookDelivery;
    // The header is only a copy, for logs and look-ups before parsing: what is signed decides.
    return delivery.deliveryId === id ? delivery : undefined;
  } catch {
    return undefined;
  }
}

function wrong(what: string, hint: string): PeykError {
  return new PeykError("bad-config", `verifyWebhook: ${what}`, { hint });
}

/** The value of a header that is there once. */
function headerOf(headers: WebhookHeaders, name: string): string | undefined {
  const values = typeof headers.get === "function"
    ? [headers.get(name)]
    : Object.entries(headers).flatMap(([key, value]) => key.toLowerCase() === name && value !== undefined ? [value] : []);
  const [value, another] = values.flat();
  return typeof value === "string" && another === undefined ? value : undefined;
}

/** Takes equally long wherever the texts differ, so that a signature can't be guessed byte by byte. */
function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
