/**
 * A short stable name (12 hex digits) for a secret with enough entropy of its own: a deviceId, a push token.
 * FNV-1a (draft-eastlake-fnv), two lanes over the UTF-16 units. It identifies; it protects nothing that could be guessed.
 */
export function fingerprint(secret: string): string {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (let i = 0; i < secret.length; i++) {
    const unit = secret.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ (unit + i), 0x85ebca6b);
    b ^= b >>> 13;
  }
  return (a >>> 0).toString(16).padStart(8, "0") + (b >>> 0).toString(16).padStart(8, "0").slice(0, 4);
}
