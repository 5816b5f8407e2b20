import { Buffer } from "node:buffer";
import { createCipheriv, createECDH, type ECDH, randomBytes } from "node:crypto";
import { expand, extract } from "./hkdf.ts";

/** Whom a message is encrypted for: the `keys` of a subscription, decoded. */
export interface Receiver {
  /** A point of P-256, see `decodedPoint`. */
  p256dh: Buffer;
  /** 16 bytes. */
  auth: Buffer;
}

/** The record that every service takes (RFC 8291 section 4). */
const RECORD_BYTES = 4_096;
/** What encrypting adds: a header of 86 bytes, a delimiter, a tag of 16. */
const ADDED_BYTES = 103;
/** The longest message, so that it stays one record. */
export const MAX_MESSAGE_BYTES = RECORD_BYTES - ADDED_BYTES;

const secretInfo = Buffer.from("WebPush: info\0");
const keyInfo = Buffer.from("Content-Encoding: aes128gcm\0");
const nonceInfo = Buffer.from("Content-Encoding: nonce\0");
/** Ends the last record of a message (RFC 8188 section 2). */
const delimiter = Buffer.of(2);

/**
 * Encrypts a message for one subscription: RFC 8291 over the content coding aes128gcm of RFC 8188, in one record, not padded.
 *
 * Synchronous, because that costs the least CPU on Node, where WebCrypto takes twice as much. On Deno both cost the same.
 */
export function encrypt(message: Uint8Array, receiver: Receiver): Buffer {
  const sender = createECDH("prime256v1");
  sender.generateKeys();
  return encryptWith(message, receiver, sender, randomBytes(16));
}

/** As {@link encrypt}, by a given pair and salt. MUST NOT be given the same ones for two messages: both could be read then. */
export function encryptWith(message: Uint8Array, { p256dh, auth }: Receiver, sender: ECDH, salt: Buffer): Buffer {
  const point = sender.getPublicKey();
  const shared = extract(auth, sender.computeSecret(p256dh));
  const secret = extract(salt, expand(shared, Buffer.concat([secretInfo, p256dh, point]), 32));
  const cipher = createCipheriv("aes-128-gcm", expand(secret, keyInfo, 16), expand(secret, nonceInfo, 12));
  const sizes = Buffer.alloc(5);
  sizes.writeUInt32BE(RECORD_BYTES);
  sizes[4] = point.length;
  const header = [salt, sizes, point];
  return Buffer.concat([...header, cipher.update(message), cipher.update(delimiter), cipher.final(), cipher.getAuthTag()]);
}
