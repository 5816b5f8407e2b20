import { Buffer } from "node:buffer";
import { createECDH, type ECDH, hkdfSync, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import webpush from "web-push";
import { encrypt, encryptWith, MAX_MESSAGE_BYTES } from "../../adapters/web_push/encrypt.ts";
import { expand, extract } from "../../adapters/web_push/hkdf.ts";
import { decoded, decodedPoint } from "../../adapters/web_push/point.ts";
import { decrypt, newReceiver } from "./fake_push_service.ts";

/** What the web-push package decrypts with, in its own tests. */
const { decrypt: decryptByEce } = createRequire(createRequire(import.meta.url).resolve("web-push"))("http_ece") as {
  decrypt(body: Buffer, parameters: { version: "aes128gcm"; privateKey: ECDH; authSecret: string }): Buffer;
};

/** RFC 8291 appendix A. */
const vector = {
  plaintext: "When I grow up, I want to be a watermelon",
  sender: {
    publicKey: "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
    privateKey: "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
  },
  receiver: {
    p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    privateKey: "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
    auth: "BTBZMqHH6r4Tts7J_aSIgg",
  },
  salt: "DGv6ra1nlYgDCS1FRnbzlw",
  body:
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6" +
    "cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
};

function receiverOf(keys: { p256dh: string; auth: string }) {
  return { p256dh: decodedPoint(keys.p256dh)!, auth: decoded(keys.auth, 16)! };
}

describe("encrypting", () => {
  test("gives the bytes of RFC 8291, appendix A", () => {
    const sender = createECDH("prime256v1");
    sender.setPrivateKey(Buffer.from(vector.sender.privateKey, "base64url"));
    expect(sender.getPublicKey("base64url")).toBe(vector.sender.publicKey);
    const body = encryptWith(
      Buffer.from(vector.plaintext),
      receiverOf(vector.receiver),
      sender,
      Buffer.from(vector.salt, "base64url"),
    );
    expect(body.toString("base64url")).toBe(vector.body);
  });

  test("the decryption of these tests reads the same bytes", () => {
    const pair = createECDH("prime256v1");
    pair.setPrivateKey(Buffer.from(vector.receiver.privateKey, "base64url"));
    const body = Buffer.from(vector.body, "base64url");
    expect(decrypt(body, { pair, keys: vector.receiver }).toString()).toBe(vector.plaintext);
  });

  test.each([0, 1, 15, 16, 600, MAX_MESSAGE_BYTES])("brings %i bytes back, in 103 more", (length) => {
    const receiver = newReceiver();
    const message = Buffer.alloc(length, "é");
    const body = encrypt(message, receiverOf(receiver.keys));
    expect(body.length).toBe(length + 103);
    expect(decrypt(body, receiver).equals(message)).toBe(true);
  });

  test("takes a fresh pair and a fresh salt for each message", () => {
    const { keys } = newReceiver();
    const bodies = Array.from({ length: 50 }, () => encrypt(Buffer.from("the same"), receiverOf(keys)));
    expect(new Set(bodies.map((body) => body.toString("hex", 0, 16))).size).toBe(50);
    expect(new Set(bodies.map((body) => body.toString("hex", 21, 86))).size).toBe(50);
  });

  test("what it encrypts, the http_ece package decrypts", () => {
    const { keys, pair } = newReceiver();
    const body = encrypt(Buffer.from("سلام 😀"), receiverOf(keys));
    expect(decryptByEce(body, { version: "aes128gcm", privateKey: pair, authSecret: keys.auth }).toString()).toBe("سلام 😀");
  });

  test("what the web-push package encrypts, these tests decrypt: both read the RFC alike", () => {
    const receiver = newReceiver();
    const { cipherText } = webpush.encrypt(receiver.keys.p256dh, receiver.keys.auth, "سلام 😀", "aes128gcm");
    expect(decrypt(cipherText, receiver).toString()).toBe("سلام 😀");
  });
});

test.each([0, 1, 16, 32, 64])("HKDF gives what the runtime's own gives, with a salt of %i bytes", (length) => {
  const [salt, secret, info] = [randomBytes(length), randomBytes(32), randomBytes(100)];
  for (const size of [12, 16, 32]) {
    const own = expand(extract(salt, secret), info, size);
    expect(own.equals(Buffer.from(hkdfSync("sha256", secret, salt, info, size)))).toBe(true);
  }
});

describe("a point", () => {
  const { p256dh } = newReceiver().keys;
  const bytes = Buffer.from(p256dh, "base64url");
  const changed = (at: number) => {
    const other = Buffer.from(bytes);
    other[at]! ^= 1;
    return other.toString("base64url");
  };

  test("is read with and without padding", () => {
    expect(decodedPoint(p256dh)?.equals(bytes)).toBe(true);
    expect(decodedPoint(`${p256dh}=`)?.equals(bytes)).toBe(true);
  });

  test.each([
    ["not text", 5],
    ["empty", ""],
    ["not base64url", `${p256dh.slice(0, -1)}!`],
    ["too short", p256dh.slice(0, 40)],
    ["too long", `${p256dh}AAAA`],
    ["compressed", Buffer.concat([Buffer.from([2]), bytes.subarray(1, 33)]).toString("base64url")],
    ["of another form", changed(0)],
    ["of the hybrid form", Buffer.concat([Buffer.of(6 + (bytes[64]! & 1)), bytes.subarray(1)]).toString("base64url")],
    ["not on the curve", changed(64)],
    ["zero", Buffer.concat([Buffer.from([4]), Buffer.alloc(64)]).toString("base64url")],
  ])("is refused when it is %s", (_what, text) => {
    expect(decodedPoint(text)).toBeUndefined();
  });
});
