import { Extension } from "./extension.ts";
import { badFrame, byteAt, MAX_DEPTH, scanValue, textHeader, TIMESTAMP, timestampAt, uintAt } from "./scan.ts";

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
    this.#count(what);
    const outer = this.#left;
    const head = byteAt(this.#bytes, this.#at);
    const size = head >= 0x90 && head < 0xa0 ? 0 : head === 0xdc ? 2 : head === 0xdd ? 4 : -1;
    if (size < 0) throw badFrame(`${what}: not an array`);
    this.#open(size === 0 ? head & 0x0f : uintAt(this.#bytes, this.#at + 1, size), 1, 1 + size, what);
    return outer;
  }

  /** A map: `read` is called before each value that is not nil, and reads or skips it. */
  fields(what: string, read: (key: string) => void): void {
    this.#count(what);
    const outer = this.#left;
    const head = byteAt(this.#bytes, this.#at);
    const size = head >= 0x80 && head < 0x90 ? 0 : head === 0xde ? 2 : head === 0xdf ? 4 : -1;
    if (size < 0) throw badFrame(`${what}: not a map`);
    this.#open(size === 0 ? head & 0x0f : uintAt(this.#bytes, this.#at + 1, size), 2, 1 + size, what);
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
      const value = integerAt(this.#bytes, start)!;
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
    this.#count(what);
    const head = byteAt(this.#bytes, this.#at);
    if (head !== 0xc2 && head !== 0xc3) throw badFrame(`${what}: not true or false`);
    this.#at++;
    return head === 0xc3;
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

  /** Goes on behind a header that promised `count` elements of so many values each. */
  #open(count: number, values: number, header: number, what: string): void {
    this.#at += header;
    if (count * values > this.#bytes.length - this.#at) throw badFrame(`${what}: more elements than bytes`);
    this.#left = count * values;
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

/** The integer of a scanned value, or undefined when it is of another type. May be beyond what is safe. */
function integerAt(bytes: Uint8Array, at: number): number | undefined {
  const head = bytes[at]!;
  if (head < 0x80) return head;
  if (head >= 0xe0) return head - 0x100;
  switch (head) {
    case 0xcc:
      return bytes[at + 1]!;
    case 0xcd:
      return uintAt(bytes, at + 1, 2);
    case 0xce:
      return uintAt(bytes, at + 1, 4);
    case 0xcf:
      return uintAt(bytes, at + 1, 4) * 0x1_0000_0000 + uintAt(bytes, at + 5, 4);
    case 0xd0:
      return (bytes[at + 1]! << 24) >> 24;
    case 0xd1:
      return (uintAt(bytes, at + 1, 2) << 16) >> 16;
    case 0xd2:
      return uintAt(bytes, at + 1, 4) | 0;
    case 0xd3:
      return (uintAt(bytes, at + 1, 4) | 0) * 0x1_0000_0000 + uintAt(bytes, at + 5, 4);
    default:
      return undefined;
  }
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
  const { bytes } = from;
  const start = from.at;
  const head = bytes[start]!;
  const view = () => new DataView(bytes.buffer, bytes.byteOffset + start + 1);
  /** The next `length` bytes behind a header of `header` bytes. */
  const take = (header: number, length: number) => bytes.subarray(start + header, from.at = start + header + length);
  /** The length that stands in the `size` bytes behind the head. */
  const length = (size: number) => uintAt(bytes, start + 1, size);

  const integer = integerAt(bytes, start);
  if (integer !== undefined) {
    take(head < 0x80 || head >= 0xe0 ? 1 : 1 + (1 << (head & 3)), 0);
    return integer;
  }
  if (head < 0xa0 || head >= 0xdc) {
    const size = head < 0xa0 ? 0 : head & 1 ? 4 : 2;
    let count = size === 0 ? head & 0x0f : length(size);
    take(1 + size, 0);
    if (head < 0x90 || head >= 0xde) {
      const map: Record<string, unknown> = {};
      for (; count > 0; count--) map[decodeAt(from) as string] = decodeAt(from);
      return map;
    }
    const list: unknown[] = [];
    for (; count > 0; count--) list.push(decodeAt(from));
    return list;
  }
  const text = textHeader(head);
  if (text > 0) return textOf(take(text, text === 1 ? head & 0x1f : length(text - 1)));
  switch (head) {
    case 0xc0:
      take(1, 0);
      return null;
    case 0xc2:
    case 0xc3:
      take(1, 0);
      return head === 0xc3;
    case 0xca:
      take(5, 0);
      return view().getFloat32(0);
    case 0xcb:
      take(9, 0);
      return view().getFloat64(0);
    case 0xc4:
    case 0xc5:
    case 0xc6: {
      const size = 1 << (head - 0xc4);
      return take(1 + size, length(size));
    }
  }
  const size = head < 0xd4 ? 1 << (head - 0xc7) : 0;
  const data = take(2 + size, size > 0 ? length(size) : 1 << (head - 0xd4));
  const type = view().getInt8(size);
  return type === TIMESTAMP ? new Date(timestampAt(data, 0, data.length)) : new Extension(type, data);
}
