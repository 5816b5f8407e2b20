import { Extension } from "./extension.ts";
import { badFrame, byteAt, lengthSize, MAX_DEPTH, scanValue, textHeader, TIMESTAMP, timestampAt, uintAt } from "./scan.ts";

/** How deep a value in an array or map may nest, where nothing else is said. */
const ELEMENT_DEPTH = MAX_DEPTH - 1;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads msgpack values one after another, each as the type that has to be there. Nothing is looked into before it was
 * scanned. All methods throw a PeykError `bad-frame`; `what` names the field in it.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  /** Elements left in the array that was entered. */
  #left = Infinity;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether all bytes were read. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Whether all elements of the array that was entered were read. */
  get atEnd(): boolean {
    return this.#left === 0;
  }

  /** Says that nothing may follow. */
  end(what: string): void {
    if (!this.done) throw badFrame(`${what}: bytes after its end`);
  }

  /** Steps into an array. Answers what `leave` wants. */
  enter(what: string): number {
    return this.#open(what, "an array", 0x90, 0xdc, 1);
  }

  /** A map: `read` is called before each value that is not nil, and reads or skips it. */
  fields(what: string, read: (key: string) => void): void {
    const outer = this.#open(what, "a map", 0x80, 0xde, 2);
    while (this.#left > 0) {
      const key = this.text(`a key of ${what}`);
      if (!this.nil()) read(key);
    }
    this.#left = outer;
  }

  /** Steps over one value. */
  skip(what: string): void {
    this.raw(what, ELEMENT_DEPTH);
  }

  /** Steps out of the array, past elements that nobody read: a later version may have added them. */
  leave(outer: number): void {
    for (; this.#left > 0; this.#left--) this.#at = scanValue(this.#bytes, this.#at, ELEMENT_DEPTH);
    this.#left = outer;
  }

  /** An array whose elements are all alike. */
  list<Item>(what: string, most: number, read: () => Item): Item[] {
    const outer = this.enter(what);
    if (this.#left > most) throw badFrame(`${what}: more than ${most}`);
    const items: Item[] = [];
    while (this.#left > 0) items.push(read());
    this.leave(outer);
    return items;
  }

  /** An integer from 0 to 2^53 - 1, in whichever of msgpack's formats. */
  uint(what: string): number {
    this.#count(what);
    const start = this.#at;
    if (isIntegerHead(byteAt(this.#bytes, start))) {
      this.#at = scanValue(this.#bytes, start, 0);
      const value = integerAt(this.#bytes, start);
      if (value >= 0 && Number.isSafeInteger(value)) return value;
    }
    throw badFrame(`${what}: not an integer from 0 to 2^53 - 1`);
  }

  text(what: string): string {
    this.#count(what);
    const start = this.#at;
    const header = textHeader(byteAt(this.#bytes, start));
    if (header === 0) throw badFrame(`${what}: not text`);
    this.#at = scanValue(this.#bytes, start, 0);
    return textOf(this.#bytes.subarray(start + header, this.#at));
  }

  /** One of a few fixed words. */
  word<Word extends string>(what: string, words: readonly Word[]): Word {
    const text = this.text(what);
    const word = words.find((word) => word === text);
    if (word === undefined) throw badFrame(`${what}: not one of ${words.join(", ")}`);
    return word;
  }

  flag(what: string): boolean {
    const value = this.value(what);
    if (typeof value !== "boolean") throw badFrame(`${what}: not true or false`);
    return value;
  }

  /** Whether the next element is nil, which is then stepped over. */
  nil(): boolean {
    if (this.#left === 0 || this.#bytes[this.#at] !== 0xc0) return false;
    this.#left--;
    this.#at++;
    return true;
  }

  /** Any value, decoded. */
  value(what: string): unknown {
    return decodeAt({ bytes: this.raw(what, ELEMENT_DEPTH), at: 0 });
  }

  /** Any value as its bytes, a view. */
  raw(what: string, depth: number): Uint8Array {
    this.#count(what);
    const start = this.#at;
    this.#at = scanValue(this.#bytes, start, depth);
    return this.#bytes.subarray(start, this.#at);
  }

  /** Goes on behind the header of elements of so many values each: `short` with the count in the head, `long` with it behind. */
  #open(what: string, kind: string, short: number, long: number, values: number): number {
    this.#count(what);
    const outer = this.#left;
    const head = byteAt(this.#bytes, this.#at);
    const isShort = (head & 0xf0) === short;
    if (!isShort && (head & 0xfe) !== long) throw badFrame(`${what}: not ${kind}`);
    const size = lengthSize(head);
    const count = isShort ? head & 0x0f : uintAt(this.#bytes, this.#at + 1, size);
    this.#at += 1 + size;
    if (count * values > this.#bytes.length - this.#at) throw badFrame(`${what}: more elements than bytes`);
    this.#left = count * values;
    return outer;
  }

  #count(what: string): void {
    if (this.#left === 0) throw badFrame(`${what}: missing`);
    this.#left--;
  }
}

/** Whether a value that begins so is an integer. */
function isIntegerHead(head: number): boolean {
  return head < 0x80 || head >= 0xe0 || (head >= 0xcc && head <= 0xd3);
}

/** The scanned integer at `at`. May be beyond what is safe. */
function integerAt(bytes: Uint8Array, at: number): number {
  const head = bytes[at]!;
  if (head < 0x80) return head;
  if (head >= 0xe0) return head - 0x100;
  const size = 1 << (head & 3);
  if (size === 8) {
    const high = uintAt(bytes, at + 1, 4);
    return (head === 0xcf ? high : high | 0) * 0x1_0000_0000 + uintAt(bytes, at + 5, 4);
  }
  const value = uintAt(bytes, at + 1, size);
  if (head < 0xd0) return value;
  // Shifting there and back carries the sign into all 32 bits.
  const unused = 32 - 8 * size;
  return value << unused >> unused;
}

/**
 * A TextDecoder takes longer to start than short plain text takes by hand. All of it in one call: text that is put together letter by
 * letter stays a tree of its parts in memory, ten times as long.
 */
function textOf(bytes: Uint8Array): string {
  if (bytes.length > 24) return utf8.decode(bytes);
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! >= 0x80) return utf8.decode(bytes);
  return String.fromCharCode.apply(undefined, bytes as unknown as number[]);
}

/** Decodes a scanned value and moves behind it. */
function decodeAt(from: { bytes: Uint8Array; at: number }): unknown {
  const { bytes, at } = from;
  const head = bytes[at]!;
  const size = lengthSize(head);
  const length = uintAt(bytes, at + 1, size);
  const body = at + 1 + size;
  const take = (length: number) => bytes.subarray(body, from.at = body + length);

  from.at = body;
  if (head < 0x80 || head >= 0xe0) return integerAt(bytes, at);
  if (head < 0x90) return decodeMap(from, head & 0x0f);
  if (head < 0xa0) return decodeArray(from, head & 0x0f);
  if (head < 0xc0) return textOf(take(head & 0x1f));
  if (head < 0xc4) return head === 0xc0 ? null : head === 0xc3;
  if (head < 0xc7) return take(length);
  if (head < 0xca) return extensionOf(take(1 + length));
  if (head < 0xcc) return floatOf(take(4 << (head & 1)));
  if (head < 0xd4) {
    from.at += 1 << (head & 3);
    return integerAt(bytes, at);
  }
  if (head < 0xd9) return extensionOf(take(1 + (1 << (head - 0xd4))));
  if (head < 0xdc) return textOf(take(length));
  return head < 0xde ? decodeArray(from, length) : decodeMap(from, length);
}

function decodeArray(from: { bytes: Uint8Array; at: number }, count: number): unknown[] {
  const list: unknown[] = [];
  for (; count > 0; count--) list.push(decodeAt(from));
  return list;
}

function decodeMap(from: { bytes: Uint8Array; at: number }, count: number): Record<string, unknown> {
  const map: Record<string, unknown> = {};
  for (; count > 0; count--) map[decodeAt(from) as string] = decodeAt(from);
  return map;
}

function floatOf({ buffer, byteOffset, length }: Uint8Array): number {
  const view = new DataView(buffer, byteOffset);
  return length === 4 ? view.getFloat32(0) : view.getFloat64(0);
}

/** Of its type and its data. */
function extensionOf(bytes: Uint8Array): Date | Extension {
  const type = bytes[0]! << 24 >> 24;
  const data = bytes.subarray(1);
  return type === TIMESTAMP ? new Date(timestampAt(data, 0, data.length)) : new Extension(type, data);
}
