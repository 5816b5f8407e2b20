import { Buffer } from "node:buffer";
import { ECDH } from "node:crypto";

/** Decodes base64url (RFC 4648 section 5), with or without padding, that stands for so many bytes; undefined where it does not. */
export function decoded(text: unknown, length: number): Buffer | undefined {
  if (typeof text !== "string" || !/^[\w-]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64url");
  return bytes.length === length ? bytes : undefined;
}

/**
 * Decodes an uncompressed point of P-256: the byte 4, then x and y, 32 bytes each. Undefined where the text stands for none: of another
 * length, compressed, or not on the curve.
 */
export function decodedPoint(text: unknown): Buffer | undefined {
  const bytes = decoded(text, 65);
  if (bytes?.[0] !== 4) return undefined;
  try {
    ECDH.convertKey(bytes, "prime256v1");
    return bytes;
  } catch {
    return undefined; // not on the curve
  }
}
