import { hash } from "node:crypto";
import type { PushNotification, PushProvider, PushResult, PushSendOptions } from "../src/ports/push_provider.ts";
import type { PushAddress } from "../src/protocol/target.ts";
import { ServiceClient } from "./push_service/client.ts";
import { encrypt } from "./web_push/encrypt.ts";
import { checkedOptions, type WebPushOptions } from "./web_push/options.ts";
import { decoded } from "./web_push/point.ts";
import { payloadOf } from "./web_push/payload.ts";
import { originOf, readSubscription, type Subscription } from "./web_push/subscription.ts";
import type { VapidSigner } from "./web_push/vapid.ts";
import { verdictOf } from "./web_push/verdict.ts";

export type { WebPushOptions } from "./web_push/options.ts";
export type { PushIds } from "./web_push/payload.ts";
export type { VapidKey } from "./web_push/vapid.ts";

/** A provider that says what browsers are to subscribe with. */
export interface WebPushProvider extends PushProvider {
  /** The `applicationServerKey` that clients give to `pushManager.subscribe`. */
  readonly publicKey: string;
  /** The `keyId` that they register the subscription with. */
  readonly keyId: string;
}

/** What the services keep a message for, at most: 30 days. */
const MAX_TTL_SECONDS = 2_592_000;

/**
 * A push provider for browsers and whatever else speaks Web Push (RFC 8030, 8291, 8292): Chrome, Firefox, Safari, Edge, UnifiedPush.
 *
 * A target's token is the subscription as JSON: `JSON.stringify(await registration.pushManager.subscribe(…))`. Its `keyId` says which
 * of `keys` the subscription was made with, without one it is the first.
 *
 * What leaves is Declarative Web Push, encrypted, so that a service sees neither words nor ids. Where it is too large the words are
 * left out: a message waits then. A silent push is data for the service worker. See docs/push/web-push.md for what browsers do with
 * it, and for each answer of a service.
 *
 * @example
 * ```ts ignore
 * const browsers = webPush({ subject: "mailto:push@example.org", keys: [{ publicKey, privateKey }], url: "https://example.org/" });
 * createEngine({ push: [browsers] });
 * ```
 *
 * @throws {PeykError} `bad-config`, `bad-url`
 */
export function webPush(options: WebPushOptions): WebPushProvider {
  const { signers, url, title, maxBytes, extraOrigins, allowLoopback } = checkedOptions(options);
  const { apps, content, timeoutMs, ca } = options;
  const [first] = signers.values();
  const client = new ServiceClient({ allowLoopback, ...timeoutMs !== undefined && { timeoutMs }, ...ca !== undefined && { ca } });

  function signerOf({ keyId }: PushAddress): VapidSigner | undefined {
    return keyId === undefined ? first : signers.get(keyId);
  }

  function targetFault(target: PushAddress): string | undefined {
    if (signerOf(target) === undefined) {
      return "keyId: none of this server's keys; subscribe again, with the one that it offers now";
    }
    const subscription = readSubscription(target.token, extraOrigins);
    return typeof subscription === "string" ? subscription : undefined;
  }

  function lane({ token, keyId = first!.keyId }: PushAddress): string {
    return laneOf(originOf(token) ?? "nowhere", keyId);
  }

  async function send(target: PushAddress, push: PushNotification, { signal }: PushSendOptions): Promise<PushResult> {
    const signer = signerOf(target);
    const subscription = readSubscription(target.token, extraOrigins, (text) => decoded(text, 65));
    // Both were in order at registration: what is set up has changed since, and may be put right again.
    if (signer === undefined) return { verdict: "retry", reason: "its key is no longer set up", scope: "unclear" };
    if (typeof subscription === "string") return { verdict: "retry", reason: subscription, scope: "unclear" };
    const message = payloadOf(push, { title, url }, maxBytes);
    if (message === undefined) return { verdict: "rejected", reason: `larger than ${maxBytes} bytes` };
    const { endpoint } = subscription;
    const headers = {
      "authorization": signer.authorization(endpoint.origin, Date.now()),
      "content-type": "application/octet-stream",
      "content-encoding": "aes128gcm",
      "ttl": String(Math.min(Math.max(1, Math.ceil(push.ttl)), MAX_TTL_SECONDS)),
      "urgency": push.urgency,
      "topic": topicOf(push),
    };
    const body = encrypted(message, subscription);
    if (body === undefined) return { verdict: "retry", reason: "keys.p256dh: no point of P-256", scope: "unclear" };
    const reply = await client.request({ lane: laneOf(endpoint.origin, signer.keyId), url: endpoint, headers, body, signal });
    return verdictOf(reply, endpoint, Date.now());
  }

  return {
    name: "web-push",
    publicKey: first!.publicKey,
    keyId: first!.keyId,
    ...apps && { apps },
    ...content && { content },
    targetFault,
    lane,
    send,
    close: () => client.close(),
  };
}

/** Undefined where it can't be: the subscription has no key of this curve. */
function encrypted(message: Uint8Array, subscription: Subscription): Uint8Array | undefined {
  try {
    return encrypt(message, subscription);
  } catch {
    return undefined;
  }
}

/** What shares a connection, a pace and a key. */
function laneOf(origin: string, keyId: string): string {
  return `${origin} ${keyId}`;
}

/**
 * By what a service replaces a message that waits there by its next try (RFC 8030 section 5.4: 32 characters of base64url at most;
 * Mozilla documents letters and digits).
 */
function topicOf({ collapseId }: PushNotification): string {
  return hash("sha256", collapseId, "hex").slice(0, 32);
}
