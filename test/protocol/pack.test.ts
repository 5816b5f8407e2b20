import { Encoder, ExtData } from "@msgpack/msgpack";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodePayload } from "../../src/protocol/codec.ts";
import { Extension } from "../../src/protocol/extension.ts";
import { pack, packAround, uintSize, writeUint } from "../../src/protocol/pack.ts";
import { MAX_DEPTH, scanValue } from "../../src/protocol/scan.ts";

/** What others' libraries write. */
const oracle = new Encoder({ ignoreUndefined: true });

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The bytes, which a reader takes as they are. */
function packed(value: unknown): string {
  const bytes = pack(value);
  expect(scanValue(bytes, 0, MAX_DEPTH)).toBe(bytes.length);
  return toHex(bytes);
}

function expectAlike(value: unknown, what?: string): void {
  expect(packed(value), what).toBe(toHex(oracle.encode(value)));
}

/** The same, and what is read of it is what was written. */
function expectAlikeAndRead(value: unknown, what?: string): void {
  expectAlike(value, what);
  const { data } = decodePayload(pack(["", value]));
  expect(toHex(oracle.encode(data)), what).toBe(toHex(oracle.encode(value)));
}

function refused(hint: RegExp): unknown {
  return expect.objectContaining({ code: "bad-message", retryable: false, hint: expect.stringMatching(hint) });
}

/** Around each place where a form ends: one below, at it, one above. */
function around(...places: number[]): number[] {
  return places.flatMap((place) => [place - 1, place, place + 1]);
}

describe("the same bytes as the msgpack library's, and read as they were", () => {
  const text = fc.string({ unit: "binary", maxLength: 120 });
  const views = fc.uint8Array({ maxLength: 300 }).map((bytes) => bytes.subarray(bytes.length >> 2));
  const anything: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      fc.oneof(
        fc.constantFrom<unknown>(null, undefined, true, false, -0, NaN, Infinity, -Infinity),
        fc.maxSafeInteger(),
        fc.integer({ min: -70_000, max: 70_000 }),
        fc.double(),
        text,
        views,
        fc.date({ noInvalidDate: true }),
      ),
      fc.array(tie("value"), { maxLength: 20 }),
      fc.dictionary(text.filter((key) => key !== "__proto__"), tie("value"), { maxKeys: 20 }),
    ),
  })).value;

  test("for any value", () => {
    fc.assert(fc.property(anything, (value) => expectAlikeAndRead(value)), { numRuns: 2_000, seed: 1 });
  });

  test("for any value around bytes", () => {
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 20 }), fc.uint8Array({ maxLength: 300 }), (head, bytes) => {
        expect(toHex(packAround(head, oracle.encode(bytes)))).toBe(toHex(oracle.encode([...head, bytes])));
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  test("for numbers at the edges of their forms", () => {
    const edges = around(0, 0x80, 0x100, 0x1_0000, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 40, 2 ** 52);
    const most = [Number.MAX_SAFE_INTEGER, 2 ** 53, 2 ** 64, 1e300, Number.MIN_VALUE, 0.5, 0.1];
    for (const number of [...edges, 0x20, 0x21, 0x7f, 0x8000, 0x8001, ...most].flatMap((number) => [number, -number])) {
      expectAlikeAndRead(number, String(number));
    }
  });

  test("for text at the edges of its forms, of units of each width", () => {
    for (const unit of ["x", "é", "\u07ff", "\u0800", "س", "€", "\ud7ff", "\ue000", "\uffff", "😀", "\u{10ffff}"]) {
      const bytes = new TextEncoder().encode(unit).length;
      const edges = around(0x20, 0x30, 0x100, 0x1_0000);
      for (const length of [0, 1, ...edges, ...edges.map((edge) => Math.floor(edge / bytes))]) {
        for (const value of [unit.repeat(length), "x" + unit.repeat(length), unit.repeat(length) + "x"]) {
          if (pack(value).length > 0x4_0000) continue;
          expectAlikeAndRead(value, `${length} of ${unit}`);
        }
      }
    }
  });

  test("for bytes, arrays and maps at the edges of their forms", () => {
    for (const length of [0, 1, ...around(0x10, 0x20, 0x100, 0x1_0000)]) {
      expectAlikeAndRead(new Uint8Array(length).fill(7), `${length} bytes`);
      expectAlikeAndRead(Array<number>(length).fill(7), `an array of ${length}`);
      expectAlikeAndRead(Object.fromEntries(Array.from({ length }, (_, i) => [`k${i}`, i % 3])), `a map of ${length}`);
    }
  });

  test("for dates at the edges of the timestamp's forms", () => {
    const seconds = [...around(0, 2 ** 32, 2 ** 34), -1e9, 1e9];
    for (const ms of [...seconds.flatMap((second) => around(second * 1_000)), -8.64e15, 8.64e15]) {
      expectAlikeAndRead(new Date(ms), new Date(ms).toISOString());
    }
  });

  test("for extensions", () => {
    for (const length of [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, ...around(0x100, 0x1_0000)]) {
      const data = new Uint8Array(length).fill(9);
      for (const type of [0, 5, 127, -2, -128]) {
        expect(packed([new Extension(type, data), 1])).toBe(toHex(oracle.encode([new ExtData(type, data), 1])));
      }
    }
    const second = Uint8Array.of(0, 0, 0, 1);
    expect(packed(new Extension(-1, second))).toBe(toHex(oracle.encode(new ExtData(-1, second))));
  });

  test("for bytes in the middle of their buffers", () => {
    const { buffer } = Uint8Array.from({ length: 64 }, (_, i) => i);
    expectAlike({ view: new Uint8Array(buffer, 16, 2) });
    expectAlike(Buffer.from("bytes"));
  });

  test("wherever in the buffer it ends", () => {
    const text = "x".repeat(30);
    const values = [1, -1, 200, 70_000, 2 ** 40, 0.5, true, null, text, "س".repeat(10), [], [1], {}, { a: 1 }, Array(20).fill(1)];
    const large = [new Date(0), new Date(1), new Date(-1), Uint8Array.of(1, 2, 3)];
    for (const value of [...values, ...large, new ExtData(5, Uint8Array.of(1)), new ExtData(5, Uint8Array.of(1, 2, 3))]) {
      const own = value instanceof ExtData ? new Extension(value.type, value.data as Uint8Array) : value;
      for (let room = 0; room < 40; room++) {
        // After a large value the next one begins with 2,048 bytes.
        pack("x".repeat(300_000));
        const before = Array(2_045 - room).fill(null);
        expect(packed([...before, own]), `${room} bytes of room`).toBe(toHex(oracle.encode([...before, value])));
      }
    }
  });

  test("for objects and arrays: their own fields that can be listed", () => {
    const hidden = Object.defineProperty({ a: 1 }, "b", { value: 2, enumerable: false });
    const sparse = Object.assign(Array<number>(3), { 1: 2 });
    const bare = Object.assign(Object.create(null), { a: 1 });
    const named = Object.assign([1], { name: "n" });
    for (const value of [hidden, sparse, bare, named]) expectAlike([value]);
    expectAlike({ [Symbol("s")]: 1, a: undefined, b: { c: undefined } });
  });
});

describe("refused, with a word on what", () => {
  test("text with a lone surrogate wherever it stands, and no other text", () => {
    const units = fc.array(fc.oneof(fc.integer({ min: 0xd7f0, max: 0xe010 }), fc.integer({ min: 0x20, max: 0x7f })));
    const texts = fc.tuple(units, fc.constantFrom(0, 40, 100)).map(([list, more]) =>
      String.fromCharCode(...list) + "x".repeat(more)
    );
    fc.assert(
      fc.property(texts, (text) => {
        for (const value of [text, [text], { [text]: 1 }]) {
          if (text.isWellFormed()) expectAlike(value);
          else expect(() => pack(value)).toThrow(refused(/lone surrogate/));
        }
      }),
      { numRuns: 1_000, seed: 3 },
    );
  });

  test("a key __proto__, at any depth", () => {
    const map = JSON.parse('{"a":1,"__proto__":2}');
    for (const value of [map, [map], { map }]) expect(() => pack(value)).toThrow(refused(/__proto__/));
    expectAlike({ __proto_: 1, ___proto__: 2, __proto___: 3 });
  });

  test("what nests deeper than 32, empty or not, and what holds itself", () => {
    const nest = (levels: number, wrap: (inner: unknown) => unknown, inner: unknown): unknown =>
      levels === 0 ? inner : wrap(nest(levels - 1, wrap, inner));
    for (const wrap of [(inner: unknown) => [inner], (inner: unknown) => ({ inner })]) {
      for (const inner of [1, [], {}]) {
        const own = typeof inner === "object" ? 1 : 0;
        expectAlike(nest(MAX_DEPTH - own, wrap, inner));
        expect(() => pack(nest(MAX_DEPTH - own + 1, wrap, inner))).toThrow(refused(/deep/));
        expect(packAround([nest(MAX_DEPTH - 1 - own, wrap, inner)], Uint8Array.of(1))).toBeInstanceOf(Uint8Array);
        expect(() => packAround([nest(MAX_DEPTH - own, wrap, inner)], Uint8Array.of(1))).toThrow(refused(/deep/));
      }
    }
    const list: unknown[] = [];
    list.push(list, list);
    expect(() => pack(list)).toThrow(refused(/deep/));
  });

  test("what msgpack has no form for", () => {
    const values = [1n, Symbol("s"), () => 1, class {}, new Map(), new Set(), new ArrayBuffer(1), /x/];
    for (const value of values) {
      for (const around of [value, [value], { value }]) expect(() => pack(around)).toThrow(refused(/Send text/));
    }
    expect(() => pack(new Date(NaN))).toThrow(refused(/invalid Date/));
  });

  test("an extension that says it is a timestamp and is none", () => {
    for (const data of [[], [1], [1, 2, 3, 4, 5], [255, 255, 255, 255, 0, 0, 0, 0], Array<number>(12).fill(127)]) {
      expect(() => pack([new Extension(-1, Uint8Array.from(data))])).toThrow(refused(/timestamp/));
    }
  });

  test("and leaves nothing behind for the next call", () => {
    for (let i = 0; i < 100; i++) expect(() => pack(["x".repeat(1_000), 1n])).toThrow(refused(/./));
    expect(toHex(pack([1]))).toBe("9101");
    expect(() => packAround([1n], Uint8Array.of(1))).toThrow(refused(/./));
    expect(toHex(packAround([1], Uint8Array.of(2)))).toBe("920102");
  });
});

describe("values whose own code runs meanwhile", () => {
  const long = "y".repeat(600_000);

  test("may pack something themselves: first, in the middle, more than the buffer holds, and in vain", () => {
    for (const inner of [[1], [long], "é".repeat(40)]) {
      const value = {
        get first() {
          return toHex(pack(inner)).length;
        },
        second: "س".repeat(3_000),
        get third() {
          expect(() => pack([inner, 1n])).toThrow(refused(/./));
          return packAround(["z"], pack(inner)).length;
        },
      };
      const plain = { ...value };
      expectAlike([value, value]);
      expect(packed([plain, plain])).toBe(packed([value, value]));
    }
  });

  test("may change their arrays and fields: what is written is whole all the same", () => {
    const list: unknown[] = [{
      get grow() {
        list.push(1, 2, 3);
        return 1;
      },
    }];
    expect(decodePayload(pack(["", list])).data).toEqual([{ grow: 1 }]);
    const shrinking: unknown[] = [{
      get shrink() {
        shrinking.length = 1;
        return 1;
      },
    }, 2];
    expect(decodePayload(pack(["", shrinking])).data).toEqual([{ shrink: 1 }, null]);
    let asked = 0;
    const coy = {
      get once() {
        return asked++ === 0 ? 1 : undefined;
      },
      last: 2,
    };
    expect(decodePayload(pack(["", coy])).data).toEqual({ once: null, last: 2 });
  });

  test("can't say of themselves what is not so", () => {
    class Late extends Date {
      override getTime(): number {
        return 1e300;
      }
    }
    class Large extends Uint8Array {
      override get length(): number {
        return 70_000;
      }
    }
    expect(decodePayload(pack(["", [new Late(5), new Large([1, 2])]])).data).toEqual([new Date(5), Uint8Array.of(1, 2)]);
    expect(() => pack(Object.create(Date.prototype))).toThrow(refused(/./));
  });
});

describe("the bytes", () => {
  afterEach(() => vi.restoreAllMocks());

  test("belong to the caller, and hold no more than the value", () => {
    const results = [pack([1, "a"]), packAround([1], Uint8Array.of(2))];
    const before = results.map(toHex);
    pack("x".repeat(2_000));
    expect(results.map(toHex)).toEqual(before);
    for (const { buffer, byteLength } of results) expect(buffer.byteLength).toBe(byteLength);
  });

  test("are put together in a buffer that a large value does not leave large", () => {
    const into = vi.spyOn(TextEncoder.prototype, "encodeInto");
    const long = "x".repeat(100);
    /** The buffer that a text is written into. */
    const buffer = () => {
      into.mockClear();
      pack(long);
      return into.mock.calls[0]![1].buffer;
    };
    const first = buffer();
    expect(buffer() === first, "the same one serves many calls").toBe(true);
    expect(first.byteLength).toBeLessThan(300_000);
    pack("x".repeat(1_000_000));
    expect(into.mock.lastCall![1].buffer.byteLength).toBeGreaterThan(1_000_000);
    expect(buffer().byteLength).toBeLessThan(10_000);
    expect(() => pack(["x".repeat(1_000_000), 1n])).toThrow(refused(/./));
    expect(buffer().byteLength).toBeLessThan(10_000);
  });

  test("of an integer are those of `writeUint`, which answers where it ends", () => {
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeNat(), fc.nat({ max: 70_000 })), (value) => {
        const bytes = new Uint8Array(12);
        const end = writeUint(bytes, 2, value);
        expect(end).toBe(2 + uintSize(value));
        expect(toHex(bytes.subarray(2, end))).toBe(packed(value));
        expect(toHex(bytes.subarray(end))).toBe("00".repeat(12 - end));
      }),
      { seed: 4 },
    );
  });
});
