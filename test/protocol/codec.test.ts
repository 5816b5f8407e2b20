import { Extension } from "../../src/protocol/extension.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeClientFrames,
  decodeEnvelope,
  decodePayload,
  decodeServerFrames,
  encodeClientFrame,
  encodeEnvelope,
  encodeEphemeralFrame,
  encodeMessageFrame,
  encodeMessageFrames,
  encodePayload,
  encodeServerFrame,
  envelopeDevice,
  envelopeHead,
  openEnvelope,
} from "../../src/protocol/codec.ts";
import type { ClientFrame, HelloFrame, ServerFrame } from "../../src/protocol/frames.ts";
import type { MessageOptions } from "../../src/protocol/message.ts";
import { pack } from "../../src/protocol/pack.ts";
import { fromHex, toHex } from "./vectors.ts";

const badFrame = expect.objectContaining({ code: "bad-frame" });
const badMessage = expect.objectContaining({ code: "bad-message", retryable: false, hint: expect.stringMatching(/./) });

/** Ordinary objects only: what decoding gives. */
function record<Fields extends object>(fields: { [Key in keyof Fields]: fc.Arbitrary<Fields[Key]> }): fc.Arbitrary<Fields> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<Fields>;
}

const text = fc.string({ unit: "binary", maxLength: 300 });
const uint = fc.maxSafeNat();
const flag = fc.boolean();
const idleMs = fc.option(uint);
const ref = uint;
const topic = text;
const cursor = record({ topic, epoch: uint, offset: uint });
const cursors = fc.array(cursor, { maxLength: 40 });
const position = record({ epoch: uint, offset: uint });

const options: fc.Arbitrary<MessageOptions> = fc.record({
  ttl: uint,
  urgency: fc.constantFrom("very-low", "low", "normal", "high"),
  notification: fc.record({
    title: text,
    body: text,
    icon: text,
    image: text,
    url: text,
    badge: uint,
    sound: text,
    collapseKey: text,
    actions: fc.array(record({ action: text, title: text }), { maxLength: 3 }),
    thread: text,
    category: text,
    channel: text,
    interruptionLevel: fc.constantFrom("passive", "active", "time-sensitive", "critical"),
    native: fc.dictionary(fc.constantFrom("fcm", "apns"), record({ a: text, b: fc.array(uint) }), { noNullPrototype: true }),
  }, { requiredKeys: [], noNullPrototype: true }),
  ephemeral: flag,
  inApp: flag,
  silent: flag,
  useAsAlert: flag,
}, { requiredKeys: [], noNullPrototype: true });

/** Values that msgpack has a form for, and that come back as they were. */
const data: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.oneof(
      fc.constant(null),
      flag,
      fc.maxSafeInteger(),
      fc.double().map((number) => number + 0),
      text,
      fc.uint8Array(),
      fc.date({ noInvalidDate: true }),
    ),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(text.filter((key) => key !== "__proto__"), tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value.map((value) => value === null ? undefined : value);

const payload = fc.tuple(fc.option(text, { nil: undefined }), data).map(([content, value]) => encodePayload(content, value));
const envelope = record({
  id: text,
  from: fc.option(text, { nil: undefined }),
  sentAt: uint,
  expiresAt: uint,
  options: fc.option(options, { nil: undefined }),
  payload,
  device: fc.option(text, { nil: undefined }),
});
const envelopeBytes = envelope.map(encodeEnvelope);

function frame<Type extends string, Fields extends object>(
  type: Type,
  fields: { [Key in keyof Fields]: fc.Arbitrary<Fields[Key]> },
) {
  return record(fields).map((values) => ({ type, ...values }));
}

const line = fc.option(record({ id: text, number: uint, ageMs: uint, user: text }), { nil: undefined });

const clientFrame: fc.Arbitrary<ClientFrame> = fc.oneof(
  frame("hello", {
    version: uint,
    capabilities: fc.array(text, { maxLength: 64 }),
    deviceId: text,
    temporary: flag,
    signedOut: fc.array(text, { maxLength: 16 }),
    token: fc.option(text),
    visible: flag,
    idleMs,
    cursors,
    more: flag,
  }),
  frame("cursors", { cursors, more: flag }),
  frame("ack", { seen: uint, cursors, idleMs, waiting: uint }),
  frame("publish", { ref, line, topic, id: text, options: fc.option(options), payload }),
  frame("subscribe", { ref, line, topic, since: fc.option(position), anew: flag }),
  frame("unsubscribe", { ref, line, topic }),
  frame("state", { visible: flag, idleMs }),
  frame("token", { ref, token: text }),
  frame("mark", {
    ref,
    line,
    kind: fc.constantFrom("read" as const, "dismissed" as const),
    topic,
    epoch: uint,
    offset: uint,
  }),
  frame("target", { ref, line, provider: text, token: fc.option(text), details: data.map((value) => value ?? null) }),
  frame("failed", { topic, epoch: uint, offset: uint, reason: text }),
  frame("logout", { ref }),
  fc.constant({ type: "probe" as const }),
  frame("identify", { ref, token: text }),
);

const serverFrame: fc.Arbitrary<ServerFrame> = fc.oneof(
  frame("welcome", {
    version: uint,
    userId: text,
    time: uint,
    heartbeatMs: uint,
    ackMs: uint,
    inputMs: uint,
    limits: record({ frameBytes: uint, topics: uint }),
    recovery: fc.array(record({ topic, epoch: uint, offset: uint, recovered: flag }), { maxLength: 40 }),
  }),
  frame("message", { topic, epoch: uint, offset: uint, previous: uint, envelope: envelopeBytes }),
  frame("ephemeral", { topic, envelope: envelopeBytes }),
  frame("advance", { topic, epoch: uint, offset: uint, expired: uint }),
  frame("gap", { topic, epoch: uint, offset: uint }),
  frame("ok", {
    ref,
    value: fc.oneof(
      fc.constant(null),
      position,
      fc.dictionary(text.filter((key) => key !== "__proto__"), uint, { noNullPrototype: true }),
    ),
  }),
  frame("error", {
    ref: fc.option(ref),
    code: fc.constantFrom("no-recipient" as const, "too-many" as const),
    retryable: flag,
    retryAfterMs: fc.option(uint),
    hint: fc.option(text),
  }),
  frame("receipt", {
    kind: fc.constantFrom("delivered" as const, "read" as const, "dismissed" as const),
    topic,
    id: text,
    epoch: uint,
    offset: uint,
    at: uint,
  }),
  fc.constant({ type: "ping" as const }),
  frame("subscribed", { topic, epoch: uint, offset: uint, recovered: flag }),
  frame("unsubscribed", { topic }),
  frame("drain", { windowMs: uint }),
  frame("expiring", { inMs: uint }),
  fc.constant({ type: "alive" as const }),
);

function joined(parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe("what is encoded comes back as it was", () => {
  test("for any burst of client frames", () => {
    fc.assert(
      fc.property(fc.array(clientFrame, { minLength: 1, maxLength: 4 }), (frames) => {
        expect(decodeClientFrames(joined(frames.map(encodeClientFrame)))).toStrictEqual(frames);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  test("for any burst of server frames", () => {
    fc.assert(
      fc.property(fc.array(serverFrame, { minLength: 1, maxLength: 4 }), (frames) => {
        expect(decodeServerFrames(joined(frames.map(encodeServerFrame)))).toStrictEqual(frames);
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  test("for any envelope, and its head without looking at the payload", () => {
    fc.assert(
      fc.property(envelope, (value) => {
        const bytes = encodeEnvelope(value);
        expect(decodeEnvelope(bytes)).toStrictEqual(value);
        const { payload, device, ...head } = value;
        expect(envelopeDevice(bytes)).toBe(device);
        expect(openEnvelope(bytes)).toStrictEqual({ ...head, ...decodePayload(payload) });
        const before = encodeEnvelope({ ...head, payload }).length - payload.length;
        const damaged = bytes.map((byte, i) => i < before ? byte : 0xc1);
        expect(envelopeHead(damaged)).toStrictEqual(head);
        expect(() => decodeEnvelope(damaged)).toThrow(badFrame);
        expect(() => openEnvelope(damaged)).toThrow(badFrame);
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  test("for any content and data", () => {
    fc.assert(
      fc.property(fc.option(text, { nil: undefined }), data, (content, value) => {
        expect(decodePayload(encodePayload(content, value))).toStrictEqual({ content, data: value });
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  test("for bytes that lie in the middle of a larger buffer, as sockets hand them over", () => {
    const frames: ClientFrame[] = [{
      type: "publish",
      ref: 1,
      topic: "u/c",
      id: "m",
      options: null,
      payload: encodePayload("سلام", { n: 1 }),
    }];
    const bytes = encodeClientFrame(frames[0]!);
    const pool = Buffer.alloc(300, 0xc1);
    pool.set(bytes, 100);
    const [decoded] = decodeClientFrames(pool.subarray(100, 100 + bytes.length));
    expect(decoded).toMatchObject({ type: "publish", topic: "u/c", id: "m" });
    expect(decodePayload((decoded as { payload: Uint8Array }).payload)).toEqual({ content: "سلام", data: { n: 1 } });
  });
});

describe("encoded bytes", () => {
  test("belong to the caller: later frames do not write into them", () => {
    const first = encodeClientFrame({ type: "logout", ref: 1 });
    const spliced = encodeMessageFrame("u/c", 1, 1, 0, Uint8Array.of(0xc0));
    const before = [toHex(first), toHex(spliced)];
    encodeClientFrame({ type: "token", ref: 99, token: "x".repeat(100) });
    expect([toHex(first), toHex(spliced)]).toEqual(before);
    expect(first.buffer.byteLength).toBe(first.length);
    expect(spliced.buffer.byteLength).toBe(spliced.length);
  });

  test("carry payload and envelope byte for byte, whatever they hold", () => {
    const raw = fromHex("93 a0 cf ffffffffffffffff d6 05 01020304");
    const envelope = encodeEnvelope({ id: "m", from: undefined, sentAt: 1, expiresAt: 2, options: undefined, payload: raw });
    expect(toHex(envelope)).toBe("96a16dc00102c0" + toHex(raw));
    expect(toHex(encodeEphemeralFrame("u/c", envelope))).toBe("9323a3752f63" + toHex(envelope));
    const [frame] = decodeServerFrames(encodeMessageFrame("u/c", 1, 2, 1, envelope));
    expect(toHex(decodeEnvelope((frame as { envelope: Uint8Array }).envelope).payload)).toBe(toHex(raw));
  });

  test("of many message frames at once are those of each, back to back", () => {
    const offsets = [1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
    const entries = offsets.map((offset, index) => ({
      position: { offset },
      previous: offsets[index - 1] ?? 0,
      bytes: encodePayload("x".repeat(index), undefined),
    }));
    const { bytes, ends } = encodeMessageFrames("u/c", 70_000, entries);
    const each = entries.map(({ bytes, position: { offset }, previous }) => {
      return toHex(encodeMessageFrame("u/c", 70_000, offset, previous, bytes));
    });
    expect(entries.map((_, index) => toHex(bytes.subarray(ends[index - 1] ?? 0, ends[index])))).toEqual(each);
    expect(toHex(bytes)).toBe(each.join(""));
  });

  test("come out right when a getter in the data encodes something itself", () => {
    const inner: string[] = [];
    const value = {
      before: 1,
      get nested() {
        inner.push(toHex(encodeClientFrame({ type: "logout", ref: 7 })));
        return 2;
      },
      after: 3,
    };
    expect(decodePayload(encodePayload("x", value)).data).toEqual({ before: 1, nested: 2, after: 3 });
    expect(inner[0]).toBe("920c07");
  });
});

describe("data", () => {
  const roundTrip = (value: unknown): unknown => decodePayload(encodePayload(undefined, value)).data;

  test("that is null or undefined is absent", () => {
    expect(roundTrip(null)).toBeUndefined();
    expect(roundTrip(undefined)).toBeUndefined();
  });

  test("keeps null inside, and leaves undefined fields out", () => {
    expect(roundTrip({ a: null, b: undefined, c: [undefined] })).toStrictEqual({ a: null, c: [null] });
  });

  test("keeps NaN, infinities and negative zero", () => {
    expect(roundTrip([NaN, Infinity, -Infinity, -0.5])).toStrictEqual([NaN, Infinity, -Infinity, -0.5]);
  });

  test("keeps dates from the first to the last millisecond", () => {
    for (const time of [-8.64e15, -1, 0, 1, 1e12 + 0.5, 2 ** 34 * 1000, 8.64e15]) {
      expect(roundTrip(new Date(time))).toStrictEqual(new Date(time));
    }
  });

  test("keeps extensions that nobody knows as they are", () => {
    expect(roundTrip(new Extension(5, Uint8Array.of(1, 2, 3)))).toEqual(new Extension(5, Uint8Array.of(1, 2, 3)));
    expect(decodePayload(fromHex("92c0d4fe07")).data).toEqual(new Extension(-2, Uint8Array.of(7)));
  });

  test("rounds integers beyond 2^53, as every JavaScript number", () => {
    expect(decodePayload(fromHex("92c0 cf ffffffffffffffff")).data).toBe(2 ** 64);
    expect(decodePayload(fromHex("92c0 d3 8000000000000000")).data).toBe(-(2 ** 63));
  });

  test("lets the last of two equal keys count", () => {
    expect(decodePayload(fromHex("92c0 82 a161 01 a161 02")).data).toEqual({ a: 2 });
  });

  test("can name its keys after what objects have, and harms nobody", () => {
    const value = { constructor: 1, prototype: { x: 1 }, toString: 2, hasOwnProperty: 3 };
    expect(roundTrip(value)).toStrictEqual(value);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  test("is refused where it is made when it holds what can't be sent", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const deep = (levels: number): unknown => levels === 0 ? null : [deep(levels - 1)];
    const unsendable: unknown[] = [
      JSON.parse('{"__proto__":1}'),
      { deep: JSON.parse('{"__proto__":1}') },
      "\ud800",
      "\udc00 a",
      ["x".repeat(100) + "\ud800"],
      { text: "x".repeat(100) + "\udfff" },
      { ["x".repeat(100) + "\ud800"]: 1 },
      { "\ud800": 1 },
      new Date(NaN),
      [new Date(NaN)],
      new Map([[1, 2]]),
      { set: new Set([1]) },
      new ArrayBuffer(3),
      12n,
      () => 1,
      Symbol("x"),
      cyclic,
      deep(32),
    ];
    for (const value of unsendable) expect(() => encodePayload(undefined, value)).toThrow(badMessage);
    expect(() => encodePayload("\ud800", undefined)).toThrow(badMessage);
    expect(() => encodePayload("x".repeat(100) + "\ud800", undefined)).toThrow(badMessage);
    expect(roundTrip(deep(31))).toStrictEqual(deep(31));
  });

  test("leaves the encoder in order after it was refused, and after a getter that throws", () => {
    const value = {
      get broken() {
        throw new Error("mine");
      },
    };
    expect(() => encodePayload(undefined, [value])).toThrow(badMessage);
    expect(toHex(encodePayload("a", 1))).toBe("92a16101");
  });
});

describe("bytes that are no payload or no envelope", () => {
  const payload = encodePayload("x", [1]);
  const envelope = encodeEnvelope({ id: "m", from: undefined, sentAt: 1, expiresAt: 2, options: undefined, payload });

  test("are refused when something follows", () => {
    expect(() => decodePayload(joined([payload, Uint8Array.of(0xc0)]))).toThrow(badFrame);
    expect(() => decodeEnvelope(joined([envelope, Uint8Array.of(0xc0)]))).toThrow(badFrame);
  });

  test("say no device when its place is nil, and ignore what is behind it", () => {
    for (const [hex, device] of [["97a16dc00102c092c0c0c0", undefined], ["98a16dc00102c092c0c0a16405", "d"]] as const) {
      expect(decodeEnvelope(fromHex(hex)).device).toBe(device);
      expect(envelopeDevice(fromHex(hex))).toBe(device);
    }
    expect(envelopeDevice(fromHex(`97a16dc00102c092c0${"91".repeat(31)}c0a164`))).toBe("d");
    // Six elements in a longer format than needed.
    expect(envelopeDevice(fromHex("dc0006a16dc00102c092c0c0"))).toBeUndefined();
  });

  test("are refused when cut off anywhere", () => {
    for (let end = 0; end < payload.length; end++) expect(() => decodePayload(payload.subarray(0, end))).toThrow(badFrame);
    for (let end = 0; end < envelope.length; end++) expect(() => decodeEnvelope(envelope.subarray(0, end))).toThrow(badFrame);
  });

  test("are refused when nested too deep", () => {
    expect(() => decodePayload(fromHex(`92c0 ${"91".repeat(32)} c0`))).toThrow(badFrame);
    expect(() => decodePayload(fromHex(`93c0c0 ${"91".repeat(32)} c0`))).toThrow(badFrame);
    expect(() => decodeEnvelope(fromHex(`96a16dc00102c0 92c0 ${"91".repeat(32)} c0`))).toThrow(badFrame);
  });

  test("are refused when they lack elements or these are of another type", () => {
    for (const hex of ["c0", "90", "91c0", "9201c0", "92c40161c0", "80"]) {
      expect(() => decodePayload(fromHex(hex))).toThrow(badFrame);
    }
    for (
      const hex of [
        "c0",
        "90",
        "9501c00102c0",
        "96a16d050102c092c0c0",
        "96a16dc0ff02c092c0c0",
        "96a16dc001c0c092c0c0",
        "96a16dc001020592c0c0",
        "96a16dc00102c0c0",
        "97a16dc00102c092c0c005",
        "97a16dc00102c092c0c0",
      ]
    ) {
      expect(() => decodeEnvelope(fromHex(hex)), hex).toThrow(badFrame);
    }
    for (const hex of ["c0", "90", "97a16dc00102c092c0c005", "97a16dc00102c092c0c0"]) {
      expect(() => envelopeDevice(fromHex(hex)), hex).toThrow(badFrame);
    }
  });
});

describe("options", () => {
  const head = { id: "m", from: undefined, sentAt: 1, expiresAt: 2, payload: encodePayload(undefined, undefined) };

  test("that readers would refuse are refused where they are made", () => {
    const wrong: unknown[] = [
      { ttl: 1.5 },
      { ttl: -1 },
      { ttl: "1" },
      { urgency: "asap" },
      { ephemeral: 1 },
      { notification: "n" },
      { notification: [] },
      { notification: { title: "\ud800" } },
      [],
    ];
    for (const options of wrong) {
      expect(() => encodeEnvelope({ ...head, options: options as MessageOptions }), JSON.stringify(options)).toThrow(badMessage);
      expect(() =>
        encodeClientFrame({
          type: "publish",
          ref: 1,
          topic: "u/c",
          id: "m",
          options: options as MessageOptions,
          payload: head.payload,
        })
      ).toThrow(badMessage);
    }
  });

  test("leave out what is undefined", () => {
    const options = { ttl: 5, urgency: undefined, colour: undefined, notification: { title: "t", sound: undefined, url: null } };
    const bytes = encodeEnvelope({ ...head, options: options as unknown as MessageOptions });
    expect(decodeEnvelope(bytes).options).toStrictEqual({ ttl: 5, notification: { title: "t" } });
  });

  test("that are not known are refused where they are made, and stepped over where they are read", () => {
    const options = { ttl: 5, usAsAlert: true } as MessageOptions;
    const unknown = expect.objectContaining({ code: "bad-message", hint: "usAsAlert: no field of a message" });
    expect(() => encodeEnvelope({ ...head, options })).toThrow(unknown);
    const frame = { type: "publish", ref: 1, topic: "u/c", id: "m", options, payload: head.payload } as const;
    expect(() => encodeClientFrame(frame)).toThrow(unknown);
    expect(decodeEnvelope(pack(["m", null, 1, 2, options, [null, null]])).options).toStrictEqual({ ttl: 5 });
  });
});

describe("limits of a frame", () => {
  const hello: HelloFrame = {
    type: "hello",
    version: 1,
    capabilities: [],
    deviceId: "d",
    temporary: false,
    signedOut: [],
    token: null,
    visible: true,
    idleMs: 5,
    cursors: [],
    more: false,
  };
  const some = (count: number) => Array.from({ length: count }, (_, i) => ({ topic: `u/${i}`, epoch: 1, offset: i }));

  test("1,000 cursors pass, one more does not", () => {
    const fits = { type: "cursors", cursors: some(1_000), more: false } as const;
    expect(decodeClientFrames(encodeClientFrame(fits))).toStrictEqual([fits]);
    const over = encodeClientFrame({ type: "ack", seen: 1, cursors: some(1_001), idleMs: null, waiting: 0 });
    expect(() => decodeClientFrames(over)).toThrow(badFrame);
    expect(() => decodeClientFrames(encodeClientFrame({ ...hello, cursors: some(1_001), idleMs: null }))).toThrow(badFrame);
  });

  test("64 capabilities pass, one more does not", () => {
    const fits = { ...hello, capabilities: Array<string>(64).fill("x") };
    expect(decodeClientFrames(encodeClientFrame(fits))).toStrictEqual([fits]);
    expect(() => decodeClientFrames(encodeClientFrame({ ...hello, capabilities: Array<string>(65).fill("x") }))).toThrow(
      badFrame,
    );
  });

  test("16 devices that were signed out pass, one more does not", () => {
    const fits = { ...hello, signedOut: Array<string>(16).fill("x") };
    expect(decodeClientFrames(encodeClientFrame(fits))).toStrictEqual([fits]);
    expect(() => decodeClientFrames(encodeClientFrame({ ...hello, signedOut: Array<string>(17).fill("x") }))).toThrow(badFrame);
  });

  test("a welcome may name as many topics as there are", () => {
    const recovery = some(3_000).map((cursor) => ({ ...cursor, recovered: true }));
    const welcome = {
      type: "welcome",
      version: 1,
      userId: "u",
      time: 1,
      heartbeatMs: 1,
      ackMs: 1,
      inputMs: 1,
      limits: { frameBytes: 1, topics: 1 },
      recovery,
    } as const;
    expect(decodeServerFrames(encodeServerFrame(welcome))).toStrictEqual([welcome]);
  });
});

test("an error says what was wrong and nothing of what was sent", () => {
  const secret = "s3cr3t";
  const frames = [
    encodeClientFrame({ type: "token", ref: 1, token: secret }),
    encodeClientFrame({
      type: "hello",
      version: 1,
      capabilities: [],
      deviceId: secret,
      temporary: false,
      signedOut: [secret],
      token: secret,
      visible: true,
      idleMs: 5,
      cursors: [],
      more: false,
    }),
    encodeClientFrame({ type: "mark", ref: 1, kind: secret as "read", topic: secret, epoch: 1, offset: 1 }),
  ];
  for (const bytes of frames) {
    const damaged = [bytes.subarray(0, -1), joined([bytes, Uint8Array.of(0xc1)])];
    for (const each of damaged) {
      let fault: Error | undefined;
      try {
        decodeClientFrames(each);
      } catch (error) {
        fault = error as Error;
      }
      expect(fault).toMatchObject({ code: "bad-frame" });
      expect(JSON.stringify({ ...fault, message: fault?.message, stack: fault?.stack })).not.toContain(secret);
    }
  }
});

describe("a lone surrogate in a frame is refused before it is sent", () => {
  test.each(["\ud800", "\udfff".padStart(80, "x")])("%j", (token) => {
    expect(() => encodeClientFrame({ type: "token", ref: 1, token })).toThrow(badMessage);
    expect(() =>
      encodeClientFrame({ type: "publish", ref: 1, topic: token, id: "m", options: null, payload: encodePayload("x", 1) })
    ).toThrow(badMessage);
  });
});
