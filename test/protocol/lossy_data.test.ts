import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import type { PeykError } from "../../mod.ts";
import { decodePayload, encodePayload } from "../../src/protocol/codec.ts";
import { Extension } from "../../src/protocol/extension.ts";
import { pack } from "../../src/protocol/pack.ts";
import { toHex } from "./vectors.ts";

function arrived(data: unknown): unknown {
  return decodePayload(encodePayload(undefined, data)).data;
}

function refusal(data: unknown, content?: string): PeykError {
  try {
    encodePayload(content, data);
  } catch (error) {
    return error as PeykError;
  }
  throw new Error("it was taken");
}

function throwing(): never {
  throw new Error("mine");
}

class Point {
  x = 1;
}

class Money {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  toJSON(): unknown {
    return { cents: this.#cents };
  }
}

class Wrapped {
  readonly #inner: unknown;
  constructor(inner: unknown) {
    this.#inner = inner;
  }
  toJSON(): unknown {
    return { inner: [this.#inner] };
  }
}

describe("what would arrive as something else is refused, and its place is named", () => {
  const elsewhere = runInNewContext("({ map: new Map(), error: new Error('e'), point: new (class { x = 1 })() })") as object;
  test.each<[string, unknown]>([
    ["an Error", new Error("e")],
    ["an Error of another kind", new RangeError("e")],
    ["URLSearchParams", new URLSearchParams("a=1")],
    ["a RegExp", /x/],
    ["a Blob", new Blob(["x"])],
    ["a Response", new Response("x")],
    ["a Promise", Promise.resolve(1)],
    ["a boxed number", new Number(1)],
    ["a boxed text", new String("x")],
    ["a boxed flag", new Boolean(true)],
    ["a boxed bigint", Object(1n)],
    ["an instance of a class", new Point()],
    ["an object above another one", Object.create({ a: 1 })],
    ["a Map", new Map([[1, 2]])],
    ["a Set", new Set([1])],
    ["a WeakMap", new WeakMap()],
    ["an iterator", [1].values()],
    ["a function", () => 1],
    ["a class", Point],
    ["a symbol", Symbol("x")],
    ["a bigint", 12n],
    ["a bigint of more than 64 bits", 2n ** 70n],
    ["a date that is none", new Date(NaN)],
    ["what only calls itself a date", Object.create(Date.prototype)],
    ["an Int8Array", Int8Array.of(-1)],
    ["a Uint8ClampedArray", Uint8ClampedArray.of(1)],
    ["a Float64Array", Float64Array.of(1.5)],
    ["a BigUint64Array", BigUint64Array.of(1n)],
    ["a DataView", new DataView(new ArrayBuffer(2))],
    ["an ArrayBuffer", new ArrayBuffer(2)],
    ["a SharedArrayBuffer", new SharedArrayBuffer(2)],
    ["a proxy of a Map", new Proxy(new Map(), {})],
    ["a proxy of a date", new Proxy(new Date(), {})],
    ["a proxy of bytes", new Proxy(Uint8Array.of(1), {})],
    ["a proxy whose fields can't be listed", new Proxy({}, { ownKeys: throwing })],
    ["another realm's Map", Reflect.get(elsewhere, "map")],
    ["another realm's Error", Reflect.get(elsewhere, "error")],
    ["another realm's instance of a class", Reflect.get(elsewhere, "point")],
    ["text with a lone surrogate", "\ud800"],
    ["a toJSON that throws", Object.create({ toJSON: throwing })],
    ["a toJSON that answers a Map", Object.create({ toJSON: () => new Map() })],
    [
      "a toJSON that answers itself",
      new (class {
        toJSON(): this {
          return this;
        }
      })(),
    ],
  ])("%s", (_, value) => {
    for (
      const [data, path] of [
        [value, "data"],
        [[1, value], "data[1]"],
        [{ when: value }, "data.when"],
        [{ items: [0, 1, 2, { before: 1, when: value, after: 2 }] }, "data.items[3].when"],
        [{ json: { toJSON: () => ({ inner: [value] }) } }, "data.json.toJSON.inner[0]"],
        [{ json: new Wrapped(value) }, "data.json.inner[0]"],
      ] as const
    ) {
      const error = refusal(data);
      expect(error).toMatchObject({ code: "bad-message", retryable: false, message: `${path} can't be sent` });
      expect(error.hint).toMatch(/./);
    }
    expect(toHex(pack([1]))).toBe("9101");
  });

  test("a getter that throws", () => {
    const broken = {
      fine: 1,
      gone: undefined,
      get broken() {
        return throwing();
      },
    };
    expect(refusal({ list: [broken] })).toMatchObject({
      message: "data.list[0].broken can't be sent",
      cause: { message: "mine" },
    });
    expect(
      refusal({
        get toJSON() {
          return throwing();
        },
      }).message,
    ).toBe("data.toJSON can't be sent");
  });

  test("a key that can't be, and text in content", () => {
    expect(refusal({ deep: JSON.parse('{"__proto__":1}') })).toMatchObject({
      message: "data.deep.__proto__ can't be sent",
      hint: "a map key __proto__",
    });
    expect(refusal(1, "\ud800")).toMatchObject({ message: "content can't be sent", hint: "text with a lone surrogate" });
  });

  test("what holds itself, and what nests too deep", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    expect(refusal(cyclic)).toMatchObject({ hint: "nested too deep", message: expect.stringMatching(/^data(\.self)+ can't/) });
    const list: unknown[] = [];
    list.push(list);
    expect(refusal({ list })).toMatchObject({
      hint: "nested too deep",
      message: expect.stringMatching(/^data\.list(\[0\])+ can't/),
    });
    let asked = 0;
    class Endless {
      toJSON(): unknown {
        asked++;
        return { next: new Endless() };
      }
    }
    expect(refusal(new Endless()).hint).toBe("nested too deep");
    expect(asked).toBeLessThan(50);
  });

  test("in an object that is not in a message's data, as it is named there", () => {
    expect(() => pack({ notification: { title: "\ud800" } })).toThrow(/^notification\.title can't be sent/);
    expect(() => pack(1n)).toThrow("a value can't be sent");
  });

  test("a long path is cut", () => {
    expect(refusal({ ["x".repeat(100_000)]: 1n }).message.length).toBeLessThan(300);
  });
});

describe("toJSON is used", () => {
  test.each<[string, unknown, unknown]>([
    ["a URL's", new URL("https://example.org/a"), "https://example.org/a"],
    ["one that a class has", new Money(5), { cents: 5 }],
    ["one that is inherited", new (class Price extends Money {})(7), { cents: 7 }],
    ["a plain object's own", { a: 1, toJSON: () => [1, 2] }, [1, 2]],
    ["one that answers what has one", { toJSON: () => new Money(9) }, { cents: 9 }],
    ["one that answers a date", { toJSON: () => new Date(5) }, new Date(5)],
    ["an Error's that has one", Object.assign(new Error("e"), { toJSON: () => "e" }), "e"],
    ["a function's that has one", Object.assign(() => 1, { toJSON: () => 1 }), 1],
  ])("%s", (_, value, wanted) => {
    expect(arrived([value, { value }])).toStrictEqual([wanted, { value: wanted }]);
  });

  test("on the object itself, once for each time that it stands there", () => {
    let asked = 0;
    const value = {
      n: 3,
      toJSON() {
        asked++;
        return this.n;
      },
    };
    expect(arrived([value, value])).toEqual([3, 3]);
    expect(asked).toBe(2);
  });

  test("and takes no level of the depth", () => {
    const nest = (levels: number): unknown => levels === 0 ? new Money(1) : [nest(levels - 1)];
    expect(arrived(nest(30))).toBeDefined();
    expect(refusal(nest(31)).hint).toBe("nested too deep");
  });

  test("only when it is a function; and dates and bytes, which have one, stay what they are", () => {
    expect(arrived({ toJSON: "text", a: 1 })).toEqual({ toJSON: "text", a: 1 });
    const when = new Date(1_700_000_000_123);
    const others = runInNewContext("[new Date(5), Uint8Array.of(1, 2)]") as unknown[];
    class Late extends Date {
      override toJSON(): string {
        return "later";
      }
    }
    expect(arrived([when, Buffer.from([1, 2]), ...others, new Late(7)])).toStrictEqual([
      when,
      Uint8Array.of(1, 2),
      new Date(5),
      Uint8Array.of(1, 2),
      new Date(7),
    ]);
  });
});

describe("as JSON does, and as the docs say", () => {
  test("plain objects go as they are, of whichever realm, with a prototype or without", () => {
    const elsewhere = runInNewContext("({ a: [1, { b: 'x' }], c: null })");
    expect(arrived(elsewhere)).toStrictEqual({ a: [1, { b: "x" }], c: null });
    expect(arrived(Object.assign(Object.create(null), { a: 1 }))).toStrictEqual({ a: 1 });
    expect(arrived(new Proxy({ a: 1 }, {}))).toStrictEqual({ a: 1 });
    const parameters = (function (..._: number[]) {
      return arguments;
    })(5, 6);
    expect(arrived(parameters)).toStrictEqual({ 0: 5, 1: 6 });
    expect(arrived(structuredClone({ a: [1] }))).toStrictEqual({ a: [1] });
  });

  test("undefined is left out of an object, and null in an array; so is a hole", () => {
    expect(arrived({ a: undefined, b: [undefined], c: 1, d: undefined })).toStrictEqual({ b: [null], c: 1 });
    // deno-lint-ignore no-sparse-arrays
    expect(arrived([1, , 3])).toStrictEqual([1, null, 3]);
  });

  test("fields of an array, hidden fields and those named by symbols are left out", () => {
    expect(arrived(Object.assign([1], { extra: 2 }))).toStrictEqual([1]);
    expect(arrived(/(b)/.exec("abc"))).toStrictEqual(["b", "b"]);
    expect(arrived(Object.defineProperty({ a: 1, [Symbol("s")]: 2 }, "hidden", { value: 3 }))).toStrictEqual({ a: 1 });
  });

  test("unlike JSON: NaN and infinities stay; a negative zero arrives as 0", () => {
    expect(arrived([NaN, Infinity, -Infinity])).toStrictEqual([NaN, Infinity, -Infinity]);
    expect(arrived([-0])).toStrictEqual([0]);
  });

  test("what a newer msgpack type was received as can be sent on", () => {
    expect(arrived(new Extension(5, Uint8Array.of(1)))).toEqual(new Extension(5, Uint8Array.of(1)));
  });
});

test("what only says of itself that it is bytes is written as a whole value all the same", () => {
  class Fake {
    readonly length = 3;
    get [Symbol.toStringTag](): string {
      return "Uint8Array";
    }
  }
  expect(arrived([new Fake(), 1])).toEqual([new Uint8Array(), 1]);
});
