import type { PushNotification, PushProvider, PushResult, PushSendOptions } from "../src/ports/push_provider.ts";
import { checkKinds, type KindsOf } from "../src/protocol/fields.ts";
import type { PushAddress } from "../src/protocol/target.ts";
import { headersOf } from "./apns/headers.ts";
import { type ApnsEnvironment, type ApnsKey, lanesOf } from "./apns/keys.ts";
import { MAX_PAYLOAD_BYTES, payloadOf } from "./apns/payload.ts";
import { verdictOf } from "./apns/verdict.ts";
import { ServiceClient } from "./push_service/client.ts";

export type { ApnsEnvironment, ApnsKey } from "./apns/keys.ts";

/** Which apps are reached through Apple's push service, and with which keys. */
export interface ApnsOptions {
  /** One entry for each key, 1 at least. A bundle id has one key in each environment. */
  keys: readonly ApnsKey[];
  /** "none": Apple gets ids and no words, see `PushProvider.content`. Default "full". */
  content?: "full" | "none";
  /** How long one request may take, milliseconds. Default 10,000. */
  timeoutMs?: number;
  /** Other origins than Apple's, such as `https://localhost:2197`: for tests, and for a relay of one's own. */
  endpoints?: Readonly<Partial<Record<ApnsEnvironment, string>>>;
  /** The certificate authority of `endpoints`, PEM: trusted in place of those that the system trusts. */
  ca?: string;
  /** Allows `endpoints` on this machine. Default false. */
  allowLoopback?: boolean;
}

const APNS_KINDS: KindsOf<ApnsOptions> = {
  ...{ keys: "any", content: "text", timeoutMs: "number", endpoints: "object", ca: "text", allowLoopback: "flag" },
};
/** Apple fixes no length: they were 32 bytes for long, and may be up to 100. */
const TOKEN = /^[0-9a-f]{64,200}$/i;

/**
 * A push provider for Apple's devices: the Apple Push Notification service (APNs), by its HTTP/2 API and with token keys.
 *
 * A target is registered with `{ provider: "apns", token, app, environment }`: the device token in hexadecimal, the bundle id, and
 * "sandbox" for builds that Xcode installs (default "production"). What Apple answers and what becomes of it stands in docs/push/apns.md.
 *
 * The app finds `peyk: { userId, id, topic, position, waiting, url, image, icon }` in the payload, the last three where the
 * notification has them. `native` (`notification.native.apns`) has fields of the payload, and of `aps` in its `aps`. They fill what the
 * notification leaves out: what the notification says stays as it is. Ignored are `peyk`, `aps["mutable-content"]`, and for a silent
 * message all of `aps`. A payload of more than 4,096 bytes leaves its words and `native` out: "New message" is shown then, a key that
 * the app can translate.
 *
 * @example
 * ```ts ignore
 * const key = await readFile("AuthKey_ABC123DEFG.p8", "utf8");
 * createEngine({
 *   push: [apns({ keys: [{ key, keyId: "ABC123DEFG", teamId: "DEF123GHIJ", bundleIds: ["org.example.app"] }] })],
 * });
 * ```
 *
 * @see https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
 * @throws {PeykError} `bad-config` for keys that can't be right, `bad-url` for an endpoint
 */
export function apns(options: ApnsOptions): PushProvider {
  checkKinds(options, APNS_KINDS, "apns");
  const { content, timeoutMs, ca, allowLoopback = false } = options;
  // Apple allows a new connection one request until that has shown a valid token.
  const client = new ServiceClient({
    firstWidth: 1,
    allowLoopback,
    ...timeoutMs !== undefined && { timeoutMs },
    ...ca !== undefined && { ca },
  });
  const lanes = lanesOf(options, client);

  function targetFault({ token, app, environment = "production" }: PushAddress): string | undefined {
    if (!TOKEN.test(token)) return "the token is not of 64-200 hexadecimal digits";
    if (!lanes.apps.includes(app ?? "")) return "no key is set up for its app";
    return lanes.of(app, environment) === undefined ? `the app has no key for the ${environment} environment` : undefined;
  }

  async function send(
    target: PushAddress,
    notification: PushNotification,
    { signal }: PushSendOptions,
  ): Promise<PushResult> {
    const lane = TOKEN.test(target.token) ? lanes.of(target.app, target.environment) : undefined;
    if (lane === undefined) return { verdict: "rejected", reason: targetFault(target) ?? "no key" };
    const body = payloadOf(notification);
    if (body === undefined) return { verdict: "rejected", reason: `larger than ${MAX_PAYLOAD_BYTES} bytes` };
    const reply = await lane.post(`/3/device/${target.token}`, headersOf(target, notification, Date.now()), body, signal);
    return verdictOf(reply, Date.now());
  }

  return {
    name: "apns",
    apps: lanes.apps,
    ...content !== undefined && { content },
    targetFault,
    lane: ({ app, environment }) => lanes.of(app, environment)?.name ?? "no key",
    send,
    close: () => client.close(),
  };
}
