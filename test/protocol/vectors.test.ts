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
  openEnvelope,
} from "../../src/protocol/codec.ts";
import { FrameType } from "../../src/protocol/frames.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { DEFAULT_TTL_SECONDS } from "../../src/protocol/message.ts";
import { checkName, MAX_NAME_BYTES, splitTopic, topicOf } from "../../src/protocol/names.ts";
import { MAX_DEPTH } from "../../src/protocol/scan.ts";
import { MAX_MESSAGE_BYTES } from "../../src/delivery/publish.ts";
import { signatureOf } from "../../adapters/webhook/signature.ts";
import { verifyWebhook } from "../../adapters/webhook.ts";
import { dataOf, frameOf, fromHex, toHex, vectors } from "./vectors.ts";
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

test.each(vectors.invalid)("$side: $name, is refused for that", ({ side, hex, code, fault: hint }) => {
  let fault: unknown;
  try {
    decode(side, hex);
  } catch (error) {
    fault = error;
  }
  expect(fault).toBeInstanceOf(PeykError);
  expect(fault).toMatchObject({ code, retryable: false, hint });
});

describe("payload vectors", () => {
  test.each(vectors.payloads)("$name, decodes", ({ content, data, hex }) => {
    expect(decodePayload(fromHex(hex))).toStrictEqual({ content: content ?? undefined, data: dataOf(data) ?? undefined });
  });

  test.each(vectors.payloads)("$name, encodes", ({ content, data, hex }) => {
    expect(toHex(encodePayload(content ?? undefined, dataOf(data)))).toBe(hex);
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

test.each(vectors.unreadable)("$what: $name, can't be read for that", ({ what, hex, fault }) => {
  const read = (): unknown => what === "payload" ? decodePayload(fromHex(hex)) : openEnvelope(fromHex(hex));
  expect(read).toThrow(expect.objectContaining({ code: "bad-frame", hint: fault }));
});

describe("names and topics of the vectors", () => {
  test.each(vectors.names.good)("%j is a name", (name) => expect(checkName(name, "name")).toBe(name));

  test.each(vectors.names.bad)("no name: $name", ({ text, fault }) => {
    expect(() => checkName(text, "name")).toThrow(expect.objectContaining({ code: "bad-name", message: `name: ${fault}` }));
  });

  test.each(vectors.topics.good)("$topic", ({ topic, to, channel }) => {
    expect(splitTopic(topic)).toEqual({ to, channel });
    expect(topicOf(to, channel)).toBe(topic);
  });

  test.each(vectors.topics.bad)("%j is no topic", (topic) => {
    expect(() => splitTopic(topic)).toThrow(expect.objectContaining({ code: "bad-name" }));
  });
});

test("limits of the vectors are those of the code", () => {
  expect(vectors.limits).toMatchObject({
    nameBytes: MAX_NAME_BYTES,
    nesting: MAX_DEPTH,
    messageBytes: MAX_MESSAGE_BYTES,
    ttlSeconds: DEFAULT_TTL_SECONDS,
  });
  const { cursorsPerFrame, capabilities, signedOut } = vectors.limits as Record<string, number>;
  const cursors = Array.from({ length: cursorsPerFrame! }, () => ({ topic: "u/c", epoch: 1, offset: 1 }));
  const texts = (length: number) => Array.from({ length }, () => "");
  const lists = { cursors, capabilities: texts(capabilities!), signedOut: texts(signedOut!) };
  const hello = { type: "hello", version: 1, deviceId: "d", temporary: false, token: null, visible: true, idleMs: null } as const;
  const good = encodeClientFrame({ ...hello, ...lists, more: false });
  expect(decodeClientFrames(good)).toHaveLength(1);
});

describe("signatures of the vectors", () => {
  test.each(vectors.signatures)("$name", ({ secret, timestamp, body, signature }) => {
    expect(signatureOf(secret, timestamp, body)).toBe(signature);
  });

  test("are taken while they are fresh, and with nothing changed", () => {
    const { secret, timestamp, body, signature } = vectors.signatures[0]!;
    const { deliveryId } = JSON.parse(body) as { deliveryId: string };
    const headers = { "peyk-id": deliveryId, "peyk-timestamp": timestamp, "peyk-signature": signature };
    const sent = Number(timestamp) * 1_000;
    const given = { headers, body, secret, now: sent };
    expect(verifyWebhook(given)).toMatchObject({ deliveryId });
    expect(verifyWebhook({ ...given, now: sent + 300_000 })).toMatchObject({ deliveryId });
    expect(verifyWebhook({ ...given, now: sent + 300_001 })).toBeUndefined();
    expect(verifyWebhook({ ...given, now: sent - 300_001 })).toBeUndefined();
    expect(verifyWebhook({ ...given, body: `${body} ` })).toBeUndefined();
    expect(verifyWebhook({ ...given, secret: `${secret}.` })).toBeUndefined();
    expect(verifyWebhook({ ...given, headers: { ...headers, "peyk-timestamp": String(Number(timestamp) + 1) } })).toBeUndefined();
    expect(verifyWebhook({ ...given, headers: { ...headers, "peyk-id": "another" } })).toBeUndefined();
  });
});
