import { describe, expect, test } from "vitest";
import {
  decodeClientFrames,
  decodeEnvelope,
  decodePayload,
  decodeServerFrames,
  encodeClientFrame,
  encodeEnvelope,
  encodePayload,
  encodeServerFrame,
} from "../../src/protocol/codec.ts";
import { FrameType } from "../../src/protocol/frames.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { frameOf, fromHex, toHex, vectors } from "./vectors.ts";
import type { Side } from "./vectors.ts";

function decode(side: Side, hex: string): unknown[] {
  return side === "client" ? decodeClientFrames(fromHex(hex)) : decodeServerFrames(fromHex(hex));
}

function encode(side: Side, frame: ClientFrame | ServerFrame): Uint8Array {
  return side === "client" ? encodeClientFrame(frame as ClientFrame) : encodeServerFrame(frame as ServerFrame);
}

describe("every frame of the vectors", () => {
  test.each(vectors.frames)("$side: $name, decodes to its fields", ({ side, frames, hex }) => {
    expect(decode(side, hex)).toStrictEqual(frames.map(frameOf));
  });

  test.each(vectors.frames)("$side: $name, encodes to its bytes", ({ side, frames, hex }) => {
    expect(frames.map((frame) => toHex(encode(side, frameOf(frame)))).join("")).toBe(hex);
  });

  test("covers every frame type from both sides", () => {
    const seen = new Set(vectors.frames.flatMap(({ frames }) => frames.map((frame) => frameOf(frame).type)));
    expect([...seen].sort()).toEqual(Object.keys(FrameType).sort());
  });

  test("means nothing when the other side sends it", () => {
    for (const { side, hex } of vectors.frames) {
      expect(() => decode(side === "client" ? "server" : "client", hex)).toThrow(expect.objectContaining({ code: "bad-frame" }));
    }
  });
});

test.each(vectors.lenient)("$side: $name", ({ side, frames, hex }) => {
  expect(decode(side, hex)).toStrictEqual(frames.map(frameOf));
});

test.each(vectors.invalid)("$side: $name, is refused", ({ side, hex, code }) => {
  let fault: unknown;
  try {
    decode(side, hex);
  } catch (error) {
    fault = error;
  }
  expect(fault).toBeInstanceOf(PeykError);
  expect(fault).toMatchObject({ code, retryable: false, hint: expect.stringMatching(/./) });
});

describe("payload vectors", () => {
  test.each(vectors.payloads)("$name, decodes", ({ content, data, hex }) => {
    expect(decodePayload(fromHex(hex))).toStrictEqual({ content: content ?? undefined, data: data ?? undefined });
  });

  test.each(vectors.payloads)("$name, encodes", ({ content, data, hex }) => {
    expect(toHex(encodePayload(content ?? undefined, data))).toBe(hex);
  });
});

describe("envelope vectors", () => {
  test.each(vectors.envelopes)("$name, both ways", ({ envelope, hex }) => {
    const value = {
      ...envelope,
      from: envelope.from ?? undefined,
      options: envelope.options ?? undefined,
      payload: fromHex(envelope.payload),
      device: envelope.device,
    };
    expect(decodeEnvelope(fromHex(hex))).toStrictEqual(value);
    expect(toHex(encodeEnvelope(value))).toBe(hex);
  });
});
