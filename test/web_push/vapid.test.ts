import { Buffer } from "node:buffer";
import { importJWK, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import webpush from "web-push";
import { vapidPair } from "../../adapters/cli/vapid_pair.ts";
import { checkSubject, VapidSigner } from "../../adapters/web_push/vapid.ts";
import { readVapid } from "./fake_push_service.ts";

const subject = "mailto:push@example.org";
const origin = "https://fcm.googleapis.com";
const HOUR = 3_600_000;
const now = Date.parse("2026-11-27T12:00:00Z");

function claimsOf(header: string) {
  const read = readVapid(header);
  if (typeof read === "string") throw new Error(read);
  return read.claims;
}

function jwkOf(publicKey: string) {
  const point = Buffer.from(publicKey, "base64url");
  return { kty: "EC", crv: "P-256", x: point.toString("base64url", 1, 33), y: point.toString("base64url", 33) };
}

describe("a VAPID signature", () => {
  test("names the origin, the sender and when it ends, and jose verifies it", async () => {
    const pair = vapidPair();
    const header = new VapidSigner(subject, pair).authorization(origin, now);
    expect(claimsOf(header)).toEqual({ aud: origin, exp: now / 1_000 + 18 * 3_600, sub: subject });
    const [, token, named] = /^vapid t=(.+), k=(.+)$/.exec(header)!;
    expect(named).toBe(pair.publicKey);
    const key = await importJWK(jwkOf(pair.publicKey), "ES256");
    const { payload, protectedHeader } = await jwtVerify(token!, key, { audience: origin, currentDate: new Date(now) });
    expect([payload.sub, protectedHeader]).toEqual([subject, { typ: "JWT", alg: "ES256" }]);
  });

  test("is made once for an origin, and anew after 12 hours", () => {
    const signer = new VapidSigner(subject, vapidPair());
    const first = signer.authorization(origin, now);
    expect(signer.authorization(origin, now + 12 * HOUR - 1)).toBe(first);
    const second = signer.authorization(origin, now + 12 * HOUR);
    expect(claimsOf(second).exp - claimsOf(first).exp).toBe(12 * 3_600);
    expect(claimsOf(signer.authorization("https://web.push.apple.com", now)).aud).toBe("https://web.push.apple.com");
  });

  test("holds for a service whose clock differs by an hour, either way, for as long as it is used", () => {
    const { exp } = claimsOf(new VapidSigner(subject, vapidPair()).authorization(origin, now));
    for (const used of [0, 12 * HOUR - 1]) {
      for (const off of [-HOUR, HOUR]) {
        const left = exp - (now + used + off) / 1_000;
        expect(left > 0 && left <= 24 * 3_600).toBe(true);
      }
    }
  });

  test("is made anew when the clock was set back", () => {
    const signer = new VapidSigner(subject, vapidPair());
    signer.authorization(origin, now + 10 * HOUR);
    expect(claimsOf(signer.authorization(origin, now)).exp).toBe(now / 1_000 + 18 * 3_600);
  });

  test("is kept for 256 origins, of more the first is made again", () => {
    const signer = new VapidSigner(subject, vapidPair());
    const all = Array.from({ length: 257 }, (_, index) => `https://${index}.notify.windows.com`);
    const headers = all.map((one) => signer.authorization(one, now));
    // A second later, because Deno signs the same claims by the same bytes.
    const again = [256, 1, 0].filter((index) => signer.authorization(all[index]!, now + 1_000) !== headers[index]);
    expect(again).toEqual([0]);
  });
});

describe("a VAPID key", () => {
  const pair = vapidPair();
  const other = vapidPair();

  test("is taken as the web-push package makes it, and as this one does", () => {
    const theirs = webpush.generateVAPIDKeys();
    expect(new VapidSigner(subject, theirs).publicKey).toBe(theirs.publicKey);
    webpush.setVapidDetails(subject, pair.publicKey, pair.privateKey);
  });

  test("has an id of its own that is the same each time, unless one is given", () => {
    const { keyId } = new VapidSigner(subject, pair);
    expect(keyId).toMatch(/^[0-9a-f]{16}$/);
    expect(new VapidSigner(subject, { ...pair, publicKey: `${pair.publicKey}=` }).keyId).toBe(keyId);
    expect(new VapidSigner(subject, other).keyId).not.toBe(keyId);
    expect(new VapidSigner(subject, { ...pair, keyId: "2026" }).keyId).toBe("2026");
  });

  test.each([
    ["publicKey: not base64url of an uncompressed point of P-256, 65 bytes", { ...pair, publicKey: "" }],
    ["publicKey: not base64url of an uncompressed point of P-256, 65 bytes", {
      ...pair,
      publicKey: `${pair.publicKey.slice(0, -4)}AAAA`,
    }],
    ["publicKey: not base64url of an uncompressed point of P-256, 65 bytes", {
      ...pair,
      publicKey: undefined as unknown as string,
    }],
    ["privateKey: not base64url of 32 bytes", { ...pair, privateKey: pair.publicKey }],
    ["privateKey: not base64url of 32 bytes", { ...pair, privateKey: undefined as unknown as string }],
    ["publicKey does not belong to privateKey", { ...pair, privateKey: other.privateKey }],
    ["publicKey does not belong to privateKey", { ...pair, privateKey: "A".repeat(43) }],
    ["keyId: not 1-128 letters, digits, - and _", { ...pair, keyId: "a key" }],
    ["keyId: not 1-128 letters, digits, - and _", { ...pair, keyId: "" }],
  ])("is refused: %s", (message, key) => {
    expect(() => new VapidSigner(subject, key)).toThrow(
      expect.objectContaining({
        name: "PeykError",
        code: "bad-config",
        message: `keys: ${message}`,
        hint: "`npx peyk vapid` makes a pair.",
      }),
    );
  });

  test("is made whole where its secret begins with zeros", () => {
    for (let made = 0; made < 600; made++) expect(Buffer.from(vapidPair().privateKey, "base64url").length).toBe(32);
  });
});

describe("a subject", () => {
  test.each(["mailto:push@example.org", "https://example.org", "https://example.org/contact"])(
    "may be %s",
    (one) => checkSubject(one),
  );

  test.each([
    "",
    "push@example.org",
    "mailto:push",
    "mailto: push@example.org",
    "mailto:<push@example.org>",
    "mailto:push@localhost",
    "http://example.org",
    "https://localhost",
    "https://push.local/",
    undefined,
  ])("may not be %s", (one) => {
    expect(() => checkSubject(one as string)).toThrow(expect.objectContaining({ name: "PeykError", code: "bad-config" }));
  });
});
