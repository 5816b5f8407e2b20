import type { Envelope } from "./message.ts";
import { checkOptions, readOptions } from "./options.ts";
import { pack, packAround } from "./pack.ts";
import { Reader } from "./reader.ts";
import { badFrame, MAX_DEPTH, textHeader } from "./scan.ts";

/**
 * A publisher's own part of a message as bytes, `[content, data]`. Undefined and null data are both nil, and come back as undefined.
 * @throws {PeykError} `bad-message` for data that would arrive as something else, or that nests deeper than 31; the message names the place
 */
export function encodePayload(content: string | undefined, data: unknown): Uint8Array {
  return pack([content, data], ["content", "data"]);
}

/**
 * What encodePayload was given. Binary values in data are views into `bytes`.
 * @throws {PeykError} `bad-frame`
 */
export function decodePayload(bytes: Uint8Array): { content: string | undefined; data: unknown } {
  const reader = new Reader(bytes);
  const outer = reader.enter("payload");
  const content = reader.nil() ? undefined : reader.text("content");
  const data = reader.nil() ? undefined : reader.value("data");
  reader.leave(outer);
  reader.end("payload");
  return { content, data };
}

/**
 * Reads a payload as its bytes, a view, and checks that decodePayload would take them.
 * @throws {PeykError} `bad-frame`
 */
export function readPayload(reader: Reader): Uint8Array {
  const payload = reader.raw("payload", MAX_DEPTH);
  const inside = new Reader(payload);
  inside.enter("payload");
  if (!inside.nil() && textHeader(inside.raw("content", 0)[0]!) === 0) throw badFrame("content: not text");
  inside.skip("data");
  return payload;
}

/**
 * What a log keeps. The payload's bytes are copied in as they are, unchecked.
 * @throws {PeykError} `bad-message` for options that can't be sent
 */
export function encodeEnvelope({ id, from, sentAt, expiresAt, options, payload, device }: Envelope): Uint8Array {
  const head = [id, from, sentAt, expiresAt, options && checkOptions(options)];
  if (device === undefined) return packAround(head, payload);
  const last = pack(device);
  const raw = new Uint8Array(payload.length + last.length);
  raw.set(payload);
  raw.set(last, payload.length);
  const bytes = packAround(head, raw);
  bytes[0]!++; // `raw` is two elements: an array of seven.
  return bytes;
}

/**
 * What encodeEnvelope was given. `payload` is a view into `bytes`.
 * @throws {PeykError} `bad-frame`
 */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const reader = new Reader(bytes);
  const outer = reader.enter("envelope");
  const head = readHead(reader);
  const payload = readPayload(reader);
  const device = readDevice(reader);
  reader.leave(outer);
  reader.end("envelope");
  return { ...head, payload, device };
}

/**
 * An envelope's fields before the payload, which is not looked at.
 * @throws {PeykError} `bad-frame`
 */
export function envelopeHead(bytes: Uint8Array): EnvelopeHead {
  const reader = new Reader(bytes);
  reader.enter("envelope");
  return readHead(reader);
}

/**
 * An envelope's fields before the payload, and what is in that.
 * @throws {PeykError} `bad-frame`
 */
export function openEnvelope(bytes: Uint8Array): EnvelopeHead & ReturnType<typeof decodePayload> {
  const reader = new Reader(bytes);
  reader.enter("envelope");
  return { ...readHead(reader), ...decodePayload(reader.raw("payload", MAX_DEPTH)) };
}

/**
 * The device that published it, which stands behind the payload: that is stepped over.
 * @throws {PeykError} `bad-frame`
 */
export function envelopeDevice(bytes: Uint8Array): string | undefined {
  if (bytes[0] === WITHOUT_DEVICE) return undefined;
  const reader = new Reader(bytes);
  reader.enter("envelope");
  for (let i = 0; i < 5; i++) reader.skip("envelope");
  reader.raw("payload", MAX_DEPTH);
  return readDevice(reader);
}

/** How nearly all envelopes begin: an array of six. */
const WITHOUT_DEVICE = 0x96;

type EnvelopeHead = Omit<Envelope, "payload" | "device">;

function readDevice(reader: Reader): string | undefined {
  return reader.atEnd || reader.nil() ? undefined : reader.text("device");
}

function readHead(reader: Reader): EnvelopeHead {
  return {
    id: reader.text("id"),
    from: reader.nil() ? undefined : reader.text("from"),
    sentAt: reader.uint("sentAt"),
    expiresAt: reader.uint("expiresAt"),
    options: reader.nil() ? undefined : readOptions(reader),
  };
}
