import { Buffer } from "node:buffer";
import { hash } from "node:crypto";

const BLOCK_BYTES = 64;
const HASH_BYTES = 32;

/** The first step of HKDF by SHA-256 (RFC 5869 section 2.2): a key from a secret. */
export function extract(salt: Buffer, secret: Buffer): Buffer {
  return hmac(salt, secret);
}

/** Its second step, for at most 32 bytes (section 2.3). */
export function expand(key: Buffer, info: Buffer, length: number): Buffer {
  return hmac(key, Buffer.concat([info, Buffer.of(1)])).subarray(0, length);
}

/**
 * HMAC by SHA-256 (RFC 2104) for keys of one block at most. By one-shot hashes, because setting up an HMAC or HKDF in Node costs
 * several times what it then computes: 5 of these take 12 µs there, and 3 calls of `hkdfSync` 38.
 */
function hmac(key: Buffer, data: Buffer): Buffer {
  const inner = Buffer.alloc(BLOCK_BYTES + data.length, 0x36);
  const outer = Buffer.alloc(BLOCK_BYTES + HASH_BYTES, 0x5c);
  for (let at = 0; at < key.length; at++) {
    inner[at]! ^= key[at]!;
    outer[at]! ^= key[at]!;
  }
  data.copy(inner, BLOCK_BYTES);
  hash("sha256", inner, "buffer").copy(outer, BLOCK_BYTES);
  return hash("sha256", outer, "buffer");
}
