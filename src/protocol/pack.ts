import { PeykError } from "./errors.ts";
import { MAX_DEPTH } from "./scan.ts";
import { Writer } from "./writer.ts";

// One for all: a buffer of its own for each call would cost more than the writing. Nothing of a call is left for the next one to
// see: every result is a copy, and the writer goes back to where the call found it.
const writer = new Writer();

/**
 * The msgpack bytes of `value`. Undefined fields of maps are left out.
 * @param names of an array: what an error calls its elements
 * @throws {PeykError} `bad-message` for what a reader would refuse (see scanValue) or would arrive as something else (see Writer);
 * the message names its place
 */
export function pack(value: unknown, names?: readonly string[]): Uint8Array {
  const start = writer.at;
  try {
    if (names) writer.array(value as unknown[], names.length, MAX_DEPTH, names);
    else writer.value(value, MAX_DEPTH);
    return writer.copy(start);
  } catch (cause) {
    throw badMessage(cause, writer.path);
  } finally {
    writer.rewind(start);
  }
}

/**
 * The msgpack bytes of `[...head, raw]`, where `raw` is packed already.
 * @throws {PeykError} `bad-message`, as pack, for `head`; `raw` is not looked at
 */
export function packAround(head: readonly unknown[], raw: Uint8Array): Uint8Array {
  const start = writer.at;
  try {
    writer.array(head, head.length + 1, MAX_DEPTH);
    return writer.copy(start, raw);
  } catch (cause) {
    throw badMessage(cause, writer.path);
  } finally {
    writer.rewind(start);
  }
}

/** How many bytes an integer from 0 to 2^53 - 1 takes. */
export function uintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x100) return 2;
  if (value < 0x1_0000) return 3;
  return value < 0x1_0000_0000 ? 5 : 9;
}

/**
 * Writes an integer from 0 to 2^53 - 1 as `pack` does.
 * @returns the place behind it
 */
export function writeUint(bytes: Uint8Array, at: number, value: number): number {
  const size = uintSize(value);
  bytes[at] = size === 1 ? value : HEAD_OF_UINT[size]!;
  // Storing keeps the lowest eight bits.
  for (let i = at + size - 1; i > at; i--) {
    bytes[i] = value;
    value = Math.floor(value / 256);
  }
  return at + size;
}

/** By the bytes that it takes with what follows. */
const HEAD_OF_UINT: Readonly<Record<number, number>> = { 2: 0xcc, 3: 0xcd, 5: 0xce, 9: 0xcf };

/** A path is shown up to so many characters: each key in it may be as long as a message. */
const MAX_PATH = 200;

/** The error for a value that can't be put on the wire, for the reason in `cause`. */
export function badMessage(cause: unknown, path = ""): PeykError {
  const plain = "Send text, numbers, true, false, null, bytes, dates, arrays and plain objects, at most 31 deep.";
  return new PeykError("bad-message", `${path.slice(0, MAX_PATH).replace(/^\./, "") || "a value"} can't be sent`, {
    hint: cause instanceof PeykError && cause.hint || plain,
    cause,
  });
}
