import { hash } from "node:crypto";
import type { PushNotification } from "../../src/ports/push_provider.ts";
import type { PushAddress } from "../../src/protocol/target.ts";

/**
 * The headers of a request, all but `authorization`.
 * @param now milliseconds since 1970
 * @see https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
 */
export function headersOf(target: PushAddress, notification: PushNotification, now: number): Record<string, string> {
  const { silent, urgency, ttl } = notification;
  const isUrgent = !silent && (urgency === "normal" || urgency === "high");
  return {
    "content-type": "application/json",
    "apns-topic": target.app ?? "",
    "apns-push-type": silent ? "background" : "alert",
    // 10: at once; 5: as the device's battery allows. A background push with 10 is refused.
    "apns-priority": isUrgent ? "10" : "5",
    // 0: tried once, not stored.
    "apns-expiration": ttl > 0 ? String(Math.floor(now / 1_000) + Math.ceil(ttl)) : "0",
    "apns-id": apnsId(target, notification),
    "apns-collapse-id": collapseId(notification),
  };
}

/**
 * Names one push to one target, the same on every try: what was sent twice after an ambiguous reply can be told by it.
 * A UUID of version 8 (RFC 9562 section 5.8), by SHA-256. It says nothing of the token.
 */
function apnsId({ token, app, environment }: PushAddress, { topic, id, collapseId }: PushNotification): string {
  const text = JSON.stringify(["peyk apns-id", token.toLowerCase(), app, environment ?? "production", topic, id, collapseId]);
  const digits = hash("sha256", text);
  const variant = (Number.parseInt(digits[16]!, 16) & 0x3 | 0x8).toString(16);
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-8${digits.slice(13, 16)}-${variant}${digits.slice(17, 20)}-${
    digits.slice(20, 32)
  }`;
}

/**
 * What the device shows under the same id is replaced: the message's own key, else the push's, so that a push that came twice is
 * shown once. Apple takes 64 bytes; a key that is longer, or no plain text, stands there as its hash.
 */
function collapseId({ alert, collapseId }: PushNotification): string {
  const id = alert?.collapseKey ?? collapseId;
  return /^[!-~]{1,64}$/.test(id) ? id : hash("sha256", id, "base64url");
}
