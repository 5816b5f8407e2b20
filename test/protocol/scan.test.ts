import { decode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import {
  decodeClientFrames,
  decodeEnvelope,
  decodePayload,
  decodeServerFrames,
  encodeClientFrame,
  encodeServerFrame,
} from "../../src/protocol/codec.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { MAX_DEPTH, scanValue } from "../../src/protocol/scan.ts";
import { fromHex, toHex, vectors } from "./vectors.ts";

const badFrame = expect.objectContaining({ code: "bad-frame", hint: expect.stringMatching(/./) });

/** A publish frame up to its payload, with two elements of it to come. */
const publishHead = fromHex("97 04 01 c0 a3752f63 a16d c0");

function bytesOf(...parts: (number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A format: its header for a declared length, and what one unit of that length looks like. */
interface Format {
  name: string;
  header: (length: number) => number[];
  /** The largest length that the header can say. */
  most: number;
  unit: number[];
}

const be = (size: number, length: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(length / 256 ** (size - 1 - i)) % 256);
const letter = [0x61];
const entry = [0xa1, 0x61, 0x01];

function sized(name: string, first: number, unit: number[], sizes: number[], tail: number[] = []): Format[] {
  return sizes.map((size, i) => ({
    name: `${name} ${size * 8}`,
    header: (length) => [first + i, ...be(size, length), ...tail],
    most: 256 ** size - 1,
    unit,
  }));
}

const formats: Format[] = [
  { name: "fixstr", header: (length) => [0xa0 + length], most: 31, unit: letter },
  { name: "fixarray", header: (length) => [0x90 + length], most: 15, unit: [0x01] },
  { name: "fixmap", header: (length) => [0x80 + length], most: 15, unit: entry },
  ...sized("str", 0xd9, letter, [1, 2, 4]),
  ...sized("bin", 0xc4, letter, [1, 2, 4]),
  ...sized("ext", 0xc7, letter, [1, 2, 4], [0x05]),
  ...sized("array", 0xdc, [0x01], [2, 4]),
  ...sized("map", 0xde, entry, [2, 4]),
];

/** What is there, in units. */
const REST = 7;
const declared = [0, 1, REST - 1, REST, REST + 1, 2 ** 32 - 1];

const lengthCases = formats.flatMap((format) =>
  declared.map((length) => ({ ...format, length: Math.min(length, format.most), asked: length }))
);

describe("a declared length", () => {
  test.each(lengthCases)("of $asked in a $name with 7 there", ({ header, unit, length }) => {
    const bytes = bytesOf(header(length), ...Array<number[]>(REST).fill(unit));
    if (length > REST) {
      expect(() => scanValue(bytes, 0, MAX_DEPTH)).toThrow(badFrame);
    } else {
      expect(scanValue(bytes, 0, MAX_DEPTH)).toBe(header(length).length + length * unit.length);
    }
    // As the last thing in a frame, only what is exactly there will do.
    const frame = bytesOf(publishHead, [0x92, 0xc0], bytes);
    if (length === REST) expect(decodeClientFrames(frame)).toHaveLength(1);
    else expect(() => decodeClientFrames(frame)).toThrow(badFrame);
  });

  test.each(formats)("is a lie in a $name that is cut off anywhere", ({ header, unit }) => {
    const bytes = bytesOf(header(REST), ...Array<number[]>(REST).fill(unit));
    for (let end = 0; end < bytes.length; end++) {
      expect(() => scanValue(bytes.subarray(0, end), 0, MAX_DEPTH), `${end} bytes`).toThrow(badFrame);
    }
  });
});

const fixed: [string, number, number][] = [
  ["nil", 0xc0, 0],
  ["false", 0xc2, 0],
  ["true", 0xc3, 0],
  ["float 32", 0xca, 4],
  ["float 64", 0xcb, 8],
  ["uint 8", 0xcc, 1],
  ["uint 16", 0xcd, 2],
  ["uint 32", 0xce, 4],
  ["uint 64", 0xcf, 8],
  ["int 8", 0xd0, 1],
  ["int 16", 0xd1, 2],
  ["int 32", 0xd2, 4],
  ["int 64", 0xd3, 8],
  ["fixext 1", 0xd4, 2],
  ["fixext 2", 0xd5, 3],
  ["fixext 4", 0xd6, 5],
  ["fixext 8", 0xd7, 9],
  ["fixext 16", 0xd8, 17],
];

test.each(fixed)("a %s ends where it ends, and is refused when cut off", (_, head, length) => {
  const bytes = new Uint8Array(1 + length + 3).fill(0x05);
  bytes[0] = head;
  expect(scanValue(bytes, 0, 0)).toBe(1 + length);
  for (let end = 0; end < 1 + length; end++) {
    expect(() => scanValue(bytes.subarray(0, end), 0, 0)).toThrow(badFrame);
  }
});

test("every first byte is either a value or refused, as the msgpack library has it", () => {
  for (let head = 0; head < 256; head++) {
    const bytes = new Uint8Array(1 + 4 + 32 * 2).fill(0x00);
    bytes[0] = head;
    let end: number | undefined;
    try {
      end = scanValue(bytes, 0, MAX_DEPTH);
    } catch (error) {
      expect(error).toEqual(badFrame);
    }
    // Zeros as map keys are the one thing that it takes and Peyk does not.
    const isMap = head > 0x80 && head < 0x90;
    expect(end === undefined, `0x${head.toString(16)}`).toBe(head === 0xc1 || isMap);
    if (end !== undefined) expect(() => decode(bytes.subarray(0, end))).not.toThrow();
  }
});

describe("nesting", () => {
  const openers: [string, number[]][] = [
    ["fixarray", [0x91]],
    ["array 16", [0xdc, 0, 1]],
    ["array 32", [0xdd, 0, 0, 0, 1]],
    ["fixmap", [0x81, 0xa1, 0x61]],
    ["map 16", [0xde, 0, 1, 0xa1, 0x61]],
    ["map 32", [0xdf, 0, 0, 0, 1, 0xa1, 0x61]],
  ];
  const depths = [1, 2, 31, 32, 33, 34, 100, 1_000, 100_000];
  const cases = openers.flatMap(([name, opener]) => depths.map((depth) => ({ name, opener, depth })));

  test.each(cases)("of $depth $name headers", ({ opener, depth }) => {
    const bytes = new Uint8Array(opener.length * depth + 1).fill(0xc0);
    for (let i = 0; i < depth; i++) bytes.set(opener, i * opener.length);
    if (depth <= MAX_DEPTH) {
      expect(scanValue(bytes, 0, MAX_DEPTH)).toBe(bytes.length);
      expect(() => decode(bytes)).not.toThrow();
    } else {
      expect(() => scanValue(bytes, 0, MAX_DEPTH)).toThrow(badFrame);
    }
    // A payload is one level around its data.
    const frame = bytesOf(publishHead, [0x92, 0xc0], bytes);
    if (depth < MAX_DEPTH) expect(decodeClientFrames(frame)).toHaveLength(1);
    else expect(() => decodeClientFrames(frame)).toThrow(badFrame);
  });

  const liars: [string, number[]][] = [
    ["array 16", [0xdc, 0xff, 0xff]],
    ["array 32", [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ["array 32 of 2^16", [0xdd, 0x00, 0x01, 0x00, 0x00]],
    ["fixarray", [0x9f]],
    ["map 32", [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61]],
    ["map 16", [0xde, 0x7f, 0xff, 0xa1, 0x61]],
  ];
  test.each(liars)("of 64 KiB of %s headers that each promise as much as they can", (_, header) => {
    const bytes = Uint8Array.from({ length: 65_536 }, (_, i) => header[i % header.length]!);
    expect(() => scanValue(bytes, 0, MAX_DEPTH)).toThrow(badFrame);
    expect(() => decodeClientFrames(bytes)).toThrow(badFrame);
    expect(() => decodeServerFrames(bytes)).toThrow(badFrame);
  });
});

describe("a count beyond the bytes that are left is refused before anything behind it is looked at", () => {
  const counts: [string, string][] = [
    ["array 16", "dc ffff"],
    ["array 32", "dd ffffffff"],
    ["map 16", "de ffff"],
    ["map 32", "df 00000002 a161"],
  ];
  test.each(counts)("in an %s", (_, hex) => {
    const wanted = expect.objectContaining({ hint: "more elements than bytes" });
    expect(() => scanValue(fromHex(hex + "c1"), 0, MAX_DEPTH)).toThrow(wanted);
  });

  test("in a frame's own header, its lists and its maps", () => {
    const wanted = expect.objectContaining({ hint: expect.stringMatching("more elements than bytes") });
    for (
      const hex of [
        "dd ffffffff c1",
        "93 03 01 dd ffffffff c1",
        "97 04 01 c0 a161 a161 df ffffffff c1",
        "97 04 01 c0 a161 a161 83 c1c1c1c1",
      ]
    ) {
      expect(() => decodeClientFrames(fromHex(hex)), hex).toThrow(wanted);
    }
  });
});

describe("text", () => {
  const strict = new TextDecoder("utf-8", { fatal: true });

  test("is well-formed exactly when the platform's strict decoder takes it", () => {
    const edges = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xe1, 0xed, 0xf0, 0xf1, 0xf4, 0xf5];
    for (const a of edges) {
      for (const b of edges) {
        for (const c of edges) {
          for (const d of edges) {
            const text = Uint8Array.of(a, b, c, d);
            let wanted = true;
            try {
              strict.decode(text);
            } catch {
              wanted = false;
            }
            let taken = true;
            try {
              scanValue(Uint8Array.of(0xa4, a, b, c, d), 0, 0);
            } catch {
              taken = false;
            }
            if (taken !== wanted) expect.fail(`${toHex(text)}: taken ${taken}, wanted ${wanted}`);
          }
        }
      }
    }
  });
});

/** mulberry32: small, seeded, the same everywhere. */
function seeded(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

describe("100,000 damaged frames", () => {
  const heads = [
    0x00,
    0x7f,
    0x80,
    0x81,
    0x8f,
    0x90,
    0x91,
    0x9f,
    0xa0,
    0xbf,
    0xe0,
    0xff,
    ...Array.from({ length: 32 }, (_, i) => 0xc0 + i),
  ];
  const seeds = [...vectors.frames, ...vectors.lenient].map(({ hex }) => fromHex(hex));

  function damage(bytes: Uint8Array, below: (n: number) => number): Uint8Array {
    const at = below(bytes.length + 1);
    const to = at + below(Math.min(bytes.length + 1 - at, 16));
    const before = bytes.subarray(0, at);
    const after = bytes.subarray(at);
    switch (below(8)) {
      case 0: // one bit
        return bytes.map((byte, i) => (i === at ? byte ^ (1 << below(8)) : byte));
      case 1: // one byte, to something that means a lot
        return bytes.map((byte, i) => (i === at ? heads[below(heads.length)]! : byte));
      case 2:
        return bytesOf(before, [heads[below(heads.length)]!], after);
      case 3: // a length that lies
        return bytesOf(before, [0xd9 + below(7), ...be(4, below(2) ? 2 ** 32 - 1 : below(300))], after);
      case 4:
        return bytesOf(before, bytes.subarray(to));
      case 5:
        return before;
      case 6: // a part of another one in its place
        return bytesOf(before, seeds[below(seeds.length)]!, bytes.subarray(to));
      default: // a part of it, again
        return bytesOf(bytes.subarray(0, to), bytes.subarray(at, to), bytes.subarray(to));
    }
  }

  /** The value, or undefined after a `bad-frame`. Anything else that is thrown is a failed test. */
  function orBadFrame<Value>(read: () => Value, bytes: Uint8Array): Value | undefined {
    try {
      return read();
    } catch (error) {
      if (error instanceof PeykError && error.code === "bad-frame") return undefined;
      throw new Error(`not a bad-frame, for ${toHex(bytes)}`, { cause: error });
    }
  }

  function check(bytes: Uint8Array): { taken: boolean; opened: boolean } {
    const client = orBadFrame(() => decodeClientFrames(bytes), bytes);
    const server = orBadFrame(() => decodeServerFrames(bytes), bytes);
    let opened = false;
    for (const frame of client ?? []) {
      // What a server lets pass, every receiver can open.
      if (frame.type === "publish") opened = decodePayload(frame.payload) !== undefined;
      const once = encodeClientFrame(frame);
      const twice = encodeClientFrame(decodeClientFrames(once)[0]!);
      if (toHex(once) !== toHex(twice)) expect.fail(`changed on its way: ${toHex(bytes)}`);
    }
    for (const frame of server ?? []) {
      if (frame.type === "message" || frame.type === "ephemeral") {
        const envelope = orBadFrame(() => decodeEnvelope(frame.envelope), bytes);
        if (envelope !== undefined) opened = decodePayload(envelope.payload) !== undefined;
      }
      const once = encodeServerFrame(frame);
      const twice = encodeServerFrame(decodeServerFrames(once)[0]!);
      if (toHex(once) !== toHex(twice)) expect.fail(`changed on its way: ${toHex(bytes)}`);
    }
    orBadFrame(() => decodeEnvelope(bytes), bytes);
    orBadFrame(() => decodePayload(bytes), bytes);
    return { taken: client !== undefined || server !== undefined, opened };
  }

  test("become frames or a bad-frame, and nothing else", () => {
    const below = seeded(20_260_101);
    let taken = 0;
    let opened = 0;
    for (let i = 0; i < 100_000; i++) {
      let bytes = seeds[below(seeds.length)]!;
      for (let times = below(3); times > 0; times--) bytes = damage(bytes, below);
      const outcome = check(bytes);
      if (outcome.taken) taken++;
      if (outcome.opened) opened++;
    }
    // Both sides of the fence are well visited.
    expect(taken).toBeGreaterThan(5_000);
    expect(opened).toBeGreaterThan(1_000);
    expect(taken).toBeLessThan(90_000);
  }, 60_000);
});
