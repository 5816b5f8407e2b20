import type { Buffer } from "node:buffer";
import type { Receiver } from "./encrypt.ts";
import { decoded, decodedPoint } from "./point.ts";

/** A browser's subscription (W3C Push API, PushSubscription), decoded. */
export interface Subscription extends Receiver {
  endpoint: URL;
}

/** The browsers' push services. With a dot in front: every host under it. */
const serviceHosts: readonly string[] = [
  "fcm.googleapis.com", // Chrome and what is made of Chromium
  ".push.services.mozilla.com", // Firefox
  ".push.apple.com", // Safari
  ".notify.windows.com", // Edge
];

/** Leaves room for a key's id in the name of a lane. */
const MAX_ORIGIN = 127;

/**
 * Reads a token: the subscription as the browser's `JSON.stringify(subscription)` gives it. What else it holds, such as
 * `expirationTime`, means nothing: the service says when a subscription is dead.
 *
 * @param extraOrigins that are taken beside the browsers' own services
 * @param pointOf reads `keys.p256dh`. Whether it is a point of the curve takes some time, so it is looked at once, at
 * registration
 * @returns a text, fit for the client, where nothing may be sent to it: why
 */
export function readSubscription(
  token: string,
  extraOrigins: ReadonlySet<string>,
  pointOf: (text: unknown) => Buffer | undefined = decodedPoint,
): Subscription | string {
  const { endpoint, keys } = parsed(token);
  if (endpoint === undefined) return "not a subscription as JSON: { endpoint, keys: { p256dh, auth } }";
  if (!isService(endpoint) && !extraOrigins.has(endpoint.origin)) return "endpoint: at no push service that this server sends to";
  if (endpoint.username !== "" || endpoint.password !== "") return "endpoint: holds a user name or password";
  if (endpoint.origin.length > MAX_ORIGIN) return `endpoint: its origin is longer than ${MAX_ORIGIN} characters`;
  const p256dh = pointOf(keys.p256dh);
  if (p256dh === undefined) return "keys.p256dh: not base64url of an uncompressed point of P-256, 65 bytes";
  const auth = decoded(keys.auth, 16);
  if (auth === undefined) return "keys.auth: not base64url of 16 bytes";
  return { endpoint, p256dh, auth };
}

/** The origin of a token's endpoint, undefined where it has none. */
export function originOf(token: string): string | undefined {
  return parsed(token).endpoint?.origin;
}

function isService({ protocol, host }: URL): boolean {
  return protocol === "https:" && serviceHosts.some((name) => name.startsWith(".") ? host.endsWith(name) : host === name);
}

function parsed(token: string): { endpoint?: URL; keys: Record<string, unknown> } {
  try {
    const { endpoint, keys } = JSON.parse(token);
    if (typeof endpoint === "string") return { endpoint: new URL(endpoint), keys: Object(keys) };
  } catch {
    // Not JSON, nothing that has fields, or not a URL.
  }
  return { keys: {} };
}
