import { PeykError } from "./errors.ts";

/** How deep a payload may nest, itself included. What is around it (frame, envelope) does not count. */
export const MAX_DEPTH = 32;
/** The type of the extension that is a point in time, a Date here. */
export const TIMESTAMP = -1;

/** The error for bytes that are not what they should be. `fault` names the kind of damage, never the content. */
export function badFrame(fault: string): PeykError {
  return new PeykError("bad-frame", "not a frame of this protocol", { hint: fault });
}

/**
 * Walks over the msgpack value at `at` without decoding it, and answers where it ends.
 *
 * This is what makes untrusted bytes safe to decode: a decoder that believes array headers can be made to allocate
 * gigabytes by a few bytes. Whatever passes here is whole, nests at most `depth` deep, holds only well-formed text, string
 * keys other than `__proto__` and timestamps within a Date's range, so any decoder takes it.
 * One pass, nothing allocated; the recursion is bounded by `depth`.
 * @throws {PeykError} `bad-frame`
 */
export function scanValue(bytes: Uint8Array, at: number, depth: number): number {
  const head = byteAt(bytes, at);
  if (head < 0x80 || head >= 0xe0) return at + 1; // fixint
  if (head < 0x90) return scanElements(bytes, at + 1, head & 0x0f, depth, true);
  if (head < 0xa0) return scanElements(bytes, at + 1, head & 0x0f, depth, false);
  if (head < 0xc0) return scanText(bytes, at + 1, head & 0x1f);
  if (head === 0xc1) throw badFrame("a byte that msgpack never uses");
  if (head < 0xc4) return at + 1; // nil, false, true
  if (head >= 0xca && head < 0xd9) {
    if (head < 0xcc) return skip(bytes, at + 1, 4 << (head & 1)); // float
    if (head < 0xd4) return skip(bytes, at + 1, 1 << (head & 3)); // uint, int
    return scanExtension(bytes, at + 1, 1 << (head - 0xd4)); // fixext
  }
  const size = lengthSize(head);
  const length = uintAt(bytes, at + 1, size);
  const body = at + 1 + size;
  if (head < 0xc7) return skip(bytes, body, length); // bin
  if (head < 0xca) return scanExtension(bytes, body, length); // ext
  if (head < 0xdc) return scanText(bytes, body, length); // str
  return scanElements(bytes, body, length, depth, head >= 0xde);
}

/** How many bytes behind `head` say the length of what follows: 0 where the head says it itself. */
export function lengthSize(head: number): number {
  if (head < 0xc4 || head >= 0xe0) return 0;
  if (head < 0xc7) return 1 << (head - 0xc4); // bin
  if (head < 0xca) return 1 << (head - 0xc7); // ext
  if (head < 0xd9) return 0;
  if (head < 0xdc) return 1 << (head - 0xd9); // str
  return 2 << (head & 1); // array, map
}

/** How many bytes stand before the text of a value that begins with `head`; 0 when it is no text. */
export function textHeader(head: number): number {
  if (head >= 0xa0 && head < 0xc0) return 1;
  return head >= 0xd9 && head < 0xdc ? 1 + lengthSize(head) : 0;
}

/** The byte at `at`. */
export function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw badFrame("cut off");
  return byte;
}

/** The big-endian unsigned integer of `size` (0 to 4) bytes at `at`. */
export function uintAt(bytes: Uint8Array, at: number, size: number): number {
  if (at + size > bytes.length) throw badFrame("cut off");
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + bytes[at + i]!;
  return value;
}

function skip(bytes: Uint8Array, at: number, length: number): number {
  if (length > bytes.length - at) throw badFrame("cut off");
  return at + length;
}

/** The elements of an array, or the keys and values of a map. */
function scanElements(bytes: Uint8Array, at: number, count: number, depth: number, isMap: boolean): number {
  if (depth <= 0) throw badFrame("nested too deep");
  // Each takes a byte or more: a count beyond that is a lie, told before anything is allocated for it.
  if (count * (isMap ? 2 : 1) > bytes.length - at) throw badFrame("more elements than bytes");
  for (; count > 0; count--) at = scanValue(bytes, isMap ? scanKey(bytes, at) : at, depth - 1);
  return at;
}

/** Only text keys exist in every language's map, and `__proto__` is the one that reaches beyond its own map. */
function scanKey(bytes: Uint8Array, at: number): number {
  const header = textHeader(byteAt(bytes, at));
  if (header === 0) throw badFrame("a map key that is not text");
  const end = scanValue(bytes, at, 0);
  const text = at + header;
  if (end - text === PROTO.length && String.fromCharCode(...bytes.subarray(text, end)) === PROTO) {
    throw badFrame("a map key __proto__");
  }
  return end;
}

const PROTO = "__proto__";

/** Unknown extensions pass as they are; the one that is known, the timestamp, has to be one. */
function scanExtension(bytes: Uint8Array, at: number, length: number): number {
  const type = byteAt(bytes, at);
  const end = skip(bytes, at + 1, length);
  if (type === (TIMESTAMP & 0xff)) timestampAt(bytes, at + 1, length);
  return end;
}

/** The milliseconds since 1970 of a timestamp extension whose `length` bytes stand at `at`. */
export function timestampAt(bytes: Uint8Array, at: number, length: number): number {
  if (length !== 4 && length !== 8 && length !== 12) throw badFrame("a timestamp of a wrong size");
  const first = uintAt(bytes, at, 4);
  if (length === 4) return first * 1e3;
  const nanoseconds = length === 8 ? first >>> 2 : first;
  const high = length === 8 ? first & 3 : uintAt(bytes, at + 4, 4) | 0;
  const ms = (high * 0x1_0000_0000 + uintAt(bytes, at + length - 4, 4)) * 1e3 + nanoseconds / 1e6;
  // ECMA-262 21.4.1.1: a time value is within 8.64e15 ms of 1970. Dart's DateTime has the same range.
  if (nanoseconds > 999_999_999 || Math.abs(ms) > 8.64e15) throw badFrame("a timestamp out of range");
  return ms;
}

/** Well-formed UTF-8 (Unicode table 3-7): no overlong forms, no surrogates, nothing beyond U+10FFFF, nothing cut off. */
function scanText(bytes: Uint8Array, at: number, length: number): number {
  const end = skip(bytes, at, length);
  while (at < end) {
    const lead = bytes[at++]!;
    if (lead < 0x80) continue;
    let more = 1;
    let low = 0x80;
    let high = 0xbf;
    if (lead < 0xc2 || lead > 0xf4) throw badFrame("text that is not well-formed UTF-8");
    if (lead >= 0xf0) {
      more = 3;
      if (lead === 0xf0) low = 0x90;
      else if (lead === 0xf4) high = 0x8f;
    } else if (lead >= 0xe0) {
      more = 2;
      if (lead === 0xe0) low = 0xa0;
      else if (lead === 0xed) high = 0x9f;
    }
    for (; more > 0; more--) {
      const next = bytes[at++]!;
      if (at > end || next < low || next > high) throw badFrame("text that is not well-formed UTF-8");
      low = 0x80;
      high = 0xbf;
    }
  }
  return end;
}
