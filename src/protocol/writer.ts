import { Extension } from "./extension.ts";
import { badFrame, scanValue, TIMESTAMP } from "./scan.ts";

/** Bytes to begin with: most frames fit. */
const FIRST_BYTES = 2_048;
/** What is kept between calls at most: one large message would otherwise stay in memory for good. */
const KEPT_BYTES = 256 * 1_024;
/** Up to so many units a text is written by hand: a TextEncoder takes longer to start. */
const SHORT_TEXT = 48;

const utf8 = new TextEncoder();

/**
 * Writes values as msgpack, each in its shortest form, behind one another into a buffer that is used again. What a reader would
 * refuse (see scanValue), and what would arrive as something else, is refused here, to whoever made it: `value` and `array`
 * throw, `path` says where it stands, and what they wrote until then is to be taken back by `rewind`.
 *
 * As JSON.stringify does: `toJSON` is used (not of dates and bytes, which have a form of their own), what is undefined is left out
 * of an object and null in an array, and so are fields that can't be listed left out, those named by symbols, and those of an array
 * beside its elements. Unlike it: functions, symbols and all objects that are no arrays and not plain are refused.
 *
 * A getter in a value may use the same writer: it writes behind what is there and goes back to where it began. So nothing here
 * keeps the buffer or a place in it in a variable while it reads from a value.
 */
export class Writer {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  /** Where the value is that could not be written, `.items[3].when`: put together from its end while what was thrown passes. */
  path = "";

  /** Where the next byte goes. */
  get at(): number {
    return this.#at;
  }

  /** A copy of what was written since `start`, with `tail` behind it. */
  copy(start: number, tail?: Uint8Array): Uint8Array {
    if (tail === undefined) return this.#bytes.slice(start, this.#at);
    const size = this.#at - start;
    const bytes = new Uint8Array(size + tail.length);
    bytes.set(this.#bytes.subarray(start, this.#at));
    bytes.set(tail, size);
    return bytes;
  }

  /** Takes back what was written since `start`. */
  rewind(start: number): void {
    this.#at = start;
    this.path = "";
    if (start === 0 && this.#bytes.length > KEPT_BYTES) this.#resize(FIRST_BYTES);
  }

  /** A value that nests at most `depth` deep. */
  value(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "boolean":
        return this.#byte(value ? 0xc3 : 0xc2);
      default:
        return value === null || value === undefined ? this.#byte(0xc0) : this.#object(value as object, depth);
    }
  }

  /**
   * An array of `length` elements, of which `items` are the first: the others are for the caller to write.
   * @param names what its elements are called in the path. Default: by their index
   */
  array(items: readonly unknown[], length: number, depth: number, names?: readonly string[]): void {
    this.#begin(0x90, 0xdc, length, depth);
    let at = 0;
    try {
      // The count is the one in the header: a getter in an item may change the array.
      for (const count = items.length; at < count; at++) this.value(items[at], depth - 1);
    } catch (fault) {
      this.path = (names?.[at] ?? `[${at}]`) + this.path;
      throw fault;
    }
  }

  #object(value: object, depth: number): void {
    if (Array.isArray(value)) return this.array(value, value.length, depth);
    const above = Object.getPrototypeOf(value);
    // As literals make them, in this realm or another one (an iframe's, node:vm's).
    if (above === null || Object.getPrototypeOf(above) === null) return this.#map(value as Record<string, unknown>, depth);
    const kind = Object.prototype.toString.call(value);
    if (kind === "[object Uint8Array]") this.#binary(value as Uint8Array);
    else if (kind === "[object Date]") this.#date(+value);
    else if (value instanceof Extension) this.#extension(value);
    else if (hasJson(value)) this.value(value.toJSON(), depth);
    else throw new TypeError(kind);
  }

  #map(map: Record<string, unknown>, depth: number): void {
    let keys = Object.keys(map);
    let at = "";
    try {
      let absent = false;
      for (at of keys) {
        if (map[at] === undefined) absent = true;
        else if (at === "toJSON" && hasJson(map)) return this.value(map.toJSON(), depth);
      }
      if (absent) keys = keys.filter((key) => map[key] !== undefined);
      this.#begin(0x80, 0xde, keys.length, depth);
      for (at of keys) {
        if (at === "__proto__") throw badFrame("a map key __proto__");
        this.#text(at);
        this.value(map[at], depth - 1);
      }
    } catch (fault) {
      this.path = `.${at}${this.path}`;
      throw fault;
    }
  }

  /** The header of an array or a map: `short` holds lengths below 16, behind `long` they take 2 bytes, behind the next head 4. */
  #begin(short: number, long: number, length: number, depth: number): void {
    if (depth <= 0) throw badFrame("nested too deep");
    this.#reserve(5);
    if (length < 16) this.#bytes[this.#at++] = short + length;
    else if (length < 0x1_0000) this.#integer(long, 2, length);
    else this.#integer(long + 1, 4, length);
  }

  #number(value: number): void {
    this.#reserve(9);
    if (!Number.isSafeInteger(value)) {
      this.#bytes[this.#at++] = 0xcb;
      this.#view.setFloat64(this.#at, value);
      this.#at += 8;
    } else if (value >= -0x20 && value < 0x80) this.#bytes[this.#at++] = value;
    else if (value > 0) this.#sized(0xcc, value);
    else if (value >= -0x80) this.#integer(0xd0, 1, value);
    else if (value >= -0x8000) this.#integer(0xd1, 2, value);
    else if (value >= -0x8000_0000) this.#integer(0xd2, 4, value);
    else this.#integer(0xd3, 8, value);
  }

  #text(text: string): void {
    const { length } = text;
    this.#reserve(5 + length * 3);
    const start = this.#at;
    // How long the header is shows when the text is written. Where it is not as for plain ASCII, the text is moved.
    const guess = start + textHeaderSize(length);
    const end = length > SHORT_TEXT ? encodeText(this.#bytes, guess, text) : writeText(this.#bytes, guess, text);
    const size = end - guess;
    const body = start + textHeaderSize(size);
    if (body !== guess) this.#bytes.copyWithin(body, guess, end);
    if (size < 32) this.#bytes[this.#at++] = 0xa0 + size;
    else this.#sized(0xd9, size);
    this.#at += size;
  }

  #binary({ buffer, byteOffset, byteLength }: Uint8Array): void {
    // A view of ours says how long it is, whatever a subclass says of itself.
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.#reserve(5 + bytes.length);
    this.#sized(0xc4, bytes.length);
    this.#raw(bytes);
  }

  /** The timestamp extension: 32 bits of seconds, or 30 of nanoseconds and 34 of seconds, or 32 and 64. */
  #date(ms: number): void {
    // It would arrive as 1970.
    if (Number.isNaN(ms)) throw badFrame("an invalid Date");
    const seconds = Math.floor(ms / 1_000);
    const nanoseconds = (ms - seconds * 1_000) * 1_000_000;
    const high = Math.floor(seconds / 0x1_0000_0000);
    this.#reserve(15);
    if (high < 0 || high > 3) {
      this.#integer(0xc7, 1, 12);
      this.#integer(TIMESTAMP, 4, nanoseconds);
      this.#uint32(high);
    } else if (high > 0 || nanoseconds > 0) {
      this.#bytes[this.#at++] = 0xd7;
      this.#integer(TIMESTAMP, 4, nanoseconds * 4 + high);
    } else {
      this.#integer(0xd6, 1, TIMESTAMP);
    }
    this.#uint32(seconds);
  }

  #extension({ type, data }: Extension): void {
    const { length } = data;
    this.#reserve(6 + length);
    const start = this.#at;
    const fixed = [1, 2, 4, 8, 16].indexOf(length);
    if (fixed < 0) this.#sized(0xc7, length);
    else this.#bytes[this.#at++] = 0xd4 + fixed;
    this.#bytes[this.#at++] = type;
    this.#raw(data);
    // It may call itself a timestamp and be none.
    scanValue(this.#bytes, start, 0);
  }

  /** An unsigned integer in the shortest of the forms whose heads follow one another from `head` on: of 1, 2, 4 and 8 bytes. */
  #sized(head: number, value: number): void {
    if (value < 0x100) this.#integer(head, 1, value);
    else if (value < 0x1_0000) this.#integer(head + 1, 2, value);
    else if (value < 0x1_0000_0000) this.#integer(head + 2, 4, value);
    else this.#integer(head + 3, 8, value);
  }

  /** `head`, and an integer of so many bytes; a negative one as its complement, as storing it in fewer bits leaves it. */
  #integer(head: number, size: 1 | 2 | 4 | 8, value: number): void {
    this.#bytes[this.#at++] = head;
    if (size === 1) this.#bytes[this.#at++] = value;
    else if (size === 2) {
      this.#view.setUint16(this.#at, value);
      this.#at += 2;
    } else {
      if (size === 8) this.#uint32(Math.floor(value / 0x1_0000_0000));
      this.#uint32(value);
    }
  }

  #uint32(value: number): void {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  #raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  /** Makes room for `more` bytes. */
  #reserve(more: number): void {
    const size = this.#at + more;
    if (size > this.#bytes.length) this.#resize(size * 2);
  }

  #resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

function hasJson(value: object): value is { toJSON(): unknown } {
  return typeof (value as { toJSON?: unknown }).toJSON === "function";
}

function textHeaderSize(size: number): number {
  if (size < 32) return 1;
  if (size < 0x100) return 2;
  return size < 0x1_0000 ? 3 : 5;
}

/** Writes a long text at `at`. Answers where it ends. */
function encodeText(bytes: Uint8Array, at: number, text: string): number {
  if (!text.isWellFormed()) throw loneSurrogate();
  return at + utf8.encodeInto(text, bytes.subarray(at)).written;
}

/** Writes a short text at `at`. Answers where it ends. */
function writeText(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      bytes[at++] = code;
      continue;
    }
    if (code < 0x800) bytes[at++] = 0xc0 | code >> 6;
    else {
      if (code < 0xd800 || code > 0xdfff) bytes[at++] = 0xe0 | code >> 12;
      else {
        code = text.codePointAt(i++)!;
        if (code <= 0xffff) throw loneSurrogate();
        bytes[at++] = 0xf0 | code >> 18;
        bytes[at++] = 0x80 | code >> 12 & 0x3f;
      }
      bytes[at++] = 0x80 | code >> 6 & 0x3f;
    }
    bytes[at++] = 0x80 | code & 0x3f;
  }
  return at;
}

function loneSurrogate(): Error {
  return badFrame("text with a lone surrogate");
}
