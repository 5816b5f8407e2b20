import type { Envelope } from "./message.ts";
import { checkOptions, readOptions } from "./options.ts";
import { pack, packAround } from "./pack.ts";
import { Reader } from "./reader.ts";
import { badFrame, MAX_DEPTH, textHeader } from "./scan.ts";

/**
 * A publisher's own part of a message as bytes, `[content, data]`. Undefined and null data are both nil, and come back as undefined.
 * @throws {PeykError} `bad-message` for data that msgpack has no form for, or that nests deeper than 31
 */
export function encodePayload(content: string | undefined, data: unknown): Uint8Array {
  return pack([content, data]);
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
export function encodeEnvelope({ id, from, sentAt, expiresAt, options, payload }: Envelope): Uint8Array {
  return packAround([id, from, sentAt, expiresAt, options && checkOptions(options)], payload);
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
  reader.leave(outer);
  reader.end("envelope");
  return { ...head, payload };
}

/**
 * An envelope's fields before the payload, which is not looked at.
 * @throws {PeykError} `bad-frame`
 */
export function envelopeHead(bytes: Uint8Array): Omit<Envelope, "payload"> {
  const reader = new Reader(bytes);
  reader.enter("envelope");
  return readHead(reader);
}

function readHead(reader: Reader): Omit<Envelope, "payload"> {
  return {
    id: reader.text("id"),
    from: reader.nil() ? undefined : reader.text("from"),
    sentAt: reader.uint("sentAt"),
    expiresAt: reader.uint("expiresAt"),
    options: reader.nil() ? undefined : readOptions(reader),
  };
}
