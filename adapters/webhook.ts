import type { PushNotification, PushProvider, PushResult, PushSendOptions } from "../src/ports/push_provider.ts";
import { PeykError } from "../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../src/protocol/fields.ts";
import type { PushAddress } from "../src/protocol/target.ts";
import { addressesAllowed, type AddressRule, isLocalName, literalAddress } from "./push_service/address.ts";
import { ServiceClient } from "./push_service/client.ts";
import { deliveryIdOf, signatureOf, type WebhookDelivery, WebhookHeader } from "./webhook/signature.ts";
import { verdictOf } from "./webhook/verdict.ts";

export {
  verifyWebhook,
  type WebhookDelivery,
  WebhookHeader,
  type WebhookHeaders,
  type WebhookRequest,
} from "./webhook/signature.ts";

/** Where pushes are posted, and with which key. */
export interface WebhookOptions {
  /**
   * Receives every push; the token in the body names the target. https to a public address, unless `allowPrivate` or `allowLoopback`
   * is set.
   */
  url: string;
  /** The key of the signature, 16 characters at least. Shared with the receiver, see `verifyWebhook`. */
  secret: string;
  /** The apps whose targets are taken, see `PushProvider.apps`. Default: all, and targets that name none. */
  apps?: readonly string[];
  /** "none": the receiver gets ids and no words, see `PushProvider.content`. Default "full". */
  content?: "full" | "none";
  /** Allows http and https to this machine, for development and for receivers beside the engine. Default false. */
  allowLoopback?: boolean;
  /**
   * Allows http and https to private addresses (RFC 1918, RFC 4193, RFC 6598), for a receiver in a network of one's own, such as
   * `http://push:8080`. The name may lead to no other address then but, with https, a public one; never to a link-local one. http is
   * signed and not encrypted: who reads along reads the pushes. Default false.
   */
  allowPrivate?: boolean;
  /** How long one try may take from when it is written, and how long a connection may take to open. Milliseconds, default 10,000. */
  timeoutMs?: number;
}

const WEBHOOK_KINDS: KindsOf<WebhookOptions> = {
  ...{
    url: "text",
    secret: "any",
    apps: "list",
    content: "text",
    allowLoopback: "flag",
    allowPrivate: "flag",
    timeoutMs: "number",
  },
};
const MIN_SECRET = 16;
const MAX_TOKEN = 1_024;
const MAX_BODY_BYTES = 65_536;

/**
 * A push provider that posts each push as signed JSON ({@link WebhookDelivery}) to one address: your own push service, a chat, a test.
 *
 * Answers: 2xx sent · 410 the target is gone · 408, 425, 429 and 5xx again later (Retry-After counts) · 401 and 403 again later: the
 * first one is an error in the log, and the receiver rests when several users get them · all others rejected. What makes a body larger
 * than 65,536 bytes is left out, `alert` and `native`: a message waits then.
 * The name is resolved and checked before every connection, which goes to the addresses that were checked; connections are kept, over
 * HTTP/2 where the receiver speaks it. Redirects are not followed.
 *
 * @example
 * ```ts ignore
 * createEngine({ push: [webhook({ url: "https://push.example.org/peyk", secret })] });
 * ```
 *
 * @throws {PeykError} `bad-url`, `bad-config`
 */
export function webhook(options: WebhookOptions): PushProvider {
  checkKinds(options, WEBHOOK_KINDS, "webhook");
  const { apps, content, secret, timeoutMs, allowLoopback = false, allowPrivate = false } = options;
  const url = checkedUrl(options.url, { allowLoopback, allowPrivate });
  if (typeof secret !== "string" || secret.length < MIN_SECRET) {
    throw new PeykError("bad-config", `secret: shorter than ${MIN_SECRET} characters`, {
      hint: "Use a random one, for example of 32 bytes as hex.",
    });
  }
  const client = new ServiceClient({ allowLoopback, allowPrivate, ...timeoutMs !== undefined && { timeoutMs } });

  async function send(
    target: PushAddress,
    notification: PushNotification,
    { signal }: PushSendOptions,
  ): Promise<PushResult> {
    const delivery: WebhookDelivery = {
      deliveryId: deliveryIdOf(secret, target.token, notification),
      ...target,
      ...notification,
    };
    let body = new TextEncoder().encode(JSON.stringify(delivery));
    if (body.length > MAX_BODY_BYTES) {
      const { alert, native: _native, ...bare } = delivery;
      body = new TextEncoder().encode(JSON.stringify({ ...bare, ...alert && { alert: {} } }));
    }
    if (body.length > MAX_BODY_BYTES) return { verdict: "rejected", reason: `larger than ${MAX_BODY_BYTES} bytes` };
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const headers = {
      "content-type": "application/json",
      [WebhookHeader.id]: delivery.deliveryId,
      [WebhookHeader.timestamp]: timestamp,
      [WebhookHeader.signature]: signatureOf(secret, timestamp, body),
    };
    return verdictOf(await client.request({ lane: "webhook", url, headers, body, signal }), Date.now());
  }

  return { name: "webhook", ...apps && { apps }, ...content && { content }, targetFault, send, close: () => client.close() };
}

/** A token is an opaque name that the receiver gave to the client. */
function targetFault({ token }: PushAddress): string | undefined {
  if (token.length === 0) return "empty";
  return token.length > MAX_TOKEN ? `longer than ${MAX_TOKEN} characters` : undefined;
}

/** The URL, checked as far as it goes without asking a name server. It may hold a key in its path, so no error repeats it. */
function checkedUrl(text: string, allowed: Omit<AddressRule, "tls">): URL {
  const bad = (why: string): PeykError =>
    new PeykError("bad-url", `url: ${why}`, {
      hint:
        "Give an https address that is reachable from the internet; for this machine set allowLoopback, for a network of your own " +
        "allowPrivate.",
    });
  if (!URL.canParse(text)) throw bad("not a URL");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw bad("not https");
  if (url.username !== "" || url.password !== "") throw bad("holds a user name or password");
  const tls = url.protocol === "https:";
  const address = literalAddress(url.hostname);
  if (address !== undefined && !addressesAllowed([{ address, family: 4 }], { ...allowed, tls })) {
    throw bad("points where it must not");
  }
  if (address === undefined && isLocalName(url.hostname) && !allowed.allowLoopback) throw bad("points to this machine");
  // Where a name leads is known when it is looked up.
  if (!tls && !allowed.allowLoopback && !allowed.allowPrivate) throw bad("not https");
  return url;
}
