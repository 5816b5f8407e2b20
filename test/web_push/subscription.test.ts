import { describe, expect, test } from "vitest";
import { originOf, readSubscription } from "../../adapters/web_push/subscription.ts";
import { newReceiver } from "./fake_push_service.ts";

const { keys } = newReceiver();
const none = new Set<string>();

function token(changed: Record<string, unknown>): string {
  return JSON.stringify({ endpoint: "https://fcm.googleapis.com/fcm/send/abc", expirationTime: null, keys, ...changed });
}

describe("a subscription", () => {
  test.each([
    "https://fcm.googleapis.com/fcm/send/abc",
    "https://FCM.googleapis.com:443/wp/abc",
    "https://updates.push.services.mozilla.com/wpush/v2/abc",
    "https://web.push.apple.com/abc",
    "https://wns2-par02p.notify.windows.com/w/?token=abc",
  ])("of a browser's service is read: %s", (endpoint) => {
    const read = readSubscription(token({ endpoint, keys: { ...keys, more: 1 }, more: 2 }), none);
    expect(read).toMatchObject({ endpoint: new URL(endpoint) });
    expect(originOf(token({ endpoint }))).toBe(new URL(endpoint).origin);
  });

  test.each([
    "http://fcm.googleapis.com/abc",
    "https://fcm.googleapis.com:8443/abc",
    "https://fcm.googleapis.com.example.org/abc",
    "https://fcm.googleapis.com./abc",
    "https://evil.fcm.googleapis.com/abc",
    "https://push.services.mozilla.com.evil.example/abc",
    "https://updates.push.services.mozilla.com.evil.example/abc",
    "https://web.push.apple.com.evil.example/abc",
    "https://evilpush.apple.com/abc",
    "https://example.org/abc",
    "https://127.0.0.1/abc",
    "https://[::1]/abc",
    "https://169.254.169.254/latest/meta-data",
    "https://2130706433/abc",
    "https://localhost/abc",
    "wss://web.push.apple.com/abc",
    "file:///etc/passwd",
    "https://fcm.googleapis.com@example.org/abc",
  ])("of any other address is refused: %s", (endpoint) => {
    expect(readSubscription(token({ endpoint }), none)).toBe("endpoint: at no push service that this server sends to");
  });

  test("of another origin is read where that origin is named, and only that one", () => {
    const extra = new Set(["https://push.example.org:8443"]);
    expect(readSubscription(token({ endpoint: "https://push.example.org:8443/up/abc" }), extra)).toHaveProperty("auth");
    for (
      const endpoint of ["https://push.example.org/up", "http://push.example.org:8443/up", "https://a.push.example.org:8443/up"]
    ) {
      expect(readSubscription(token({ endpoint }), extra)).toBeTypeOf("string");
    }
  });

  test.each([
    ["nothing", ""],
    ["not JSON", "{]"],
    ["null", "null"],
    ["a text", '"https://fcm.googleapis.com/fcm/send/abc"'],
    ["no endpoint", JSON.stringify({ keys })],
    ["an endpoint that is no text", token({ endpoint: 5 })],
    ["an endpoint that is no URL", token({ endpoint: "fcm/abc" })],
    ["a user name", token({ endpoint: "https://sara:word@fcm.googleapis.com/abc" })],
    ["a long host", token({ endpoint: `https://${"a".repeat(60)}.${"b".repeat(60)}.notify.windows.com/abc` })],
    ["no keys", token({ keys: undefined })],
    ["keys that are null", token({ keys: null })],
    ["no auth", token({ keys: { p256dh: keys.p256dh } })],
    ["a short auth", token({ keys: { ...keys, auth: "AAAA" } })],
    ["a long auth", token({ keys: { ...keys, auth: `${keys.auth}AAAA` } })],
    ["no p256dh", token({ keys: { auth: keys.auth } })],
    ["a p256dh that is no point", token({ keys: { ...keys, p256dh: keys.p256dh.slice(0, -4) + "AAAA" } })],
  ])("with %s is refused, and the fault repeats nothing of it", (_what, text) => {
    const fault = readSubscription(text, none);
    expect(fault).toBeTypeOf("string");
    expect(fault).not.toMatch(/abc|sara|aaaa/i);
    expect(fault).not.toContain(keys.auth);
    expect(String(originOf(text))).not.toContain("sara");
  });
});
