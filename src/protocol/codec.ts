import type { ErrorCode } from "./errors.ts";
import { readPayload } from "./envelope.ts";
import { FrameType as T, OPTIONAL_TYPES_FROM } from "./frames.ts";
import type { ClientFrame, Cursor, IdleMs, InLine, Recovery, ServerFrame, WelcomeFrame } from "./frames.ts";
import type { Position } from "./message.ts";
import type { Topic } from "./names.ts";
import { checkOptions, readOptions } from "./options.ts";
import { pack, packAround, uintSize, writeUint } from "./pack.ts";
import { Reader } from "./reader.ts";
import { badFrame, MAX_DEPTH } from "./scan.ts";

export {
  decodeEnvelope,
  decodePayload,
  encodeEnvelope,
  encodePayload,
  envelopeDevice,
  envelopeHead,
  openEnvelope,
} from "./envelope.ts";

/** Cursors in one frame: bounds what an ack of 64 KiB can make a server do. */
const MAX_CURSORS = 1000;
const MAX_CAPABILITIES = 64;
const MAX_SIGNED_OUT = 16;

/**
 * A client's frame as bytes.
 * @throws {PeykError} `bad-message` when a field holds what can't be sent, such as a lone surrogate
 */
export function encodeClientFrame(frame: ClientFrame): Uint8Array {
  const type = T[frame.type];
  switch (frame.type) {
    case "hello":
      return pack([
        type,
        frame.version,
        frame.capabilities,
        frame.deviceId,
        frame.temporary,
        frame.signedOut,
        frame.token,
        frame.visible,
        frame.idleMs,
        frame.cursors.map(cursorItems),
        frame.more,
      ]);
    case "cursors":
      return pack([type, frame.cursors.map(cursorItems), frame.more]);
    case "ack":
      return pack([type, frame.seen, frame.cursors.map(cursorItems), frame.idleMs, frame.waiting]);
    case "publish":
      return packAround(
        [type, frame.ref, lineItems(frame), frame.topic, frame.id, frame.options && checkOptions(frame.options)],
        frame.payload,
      );
    case "subscribe":
      return pack([
        type,
        frame.ref,
        lineItems(frame),
        frame.topic,
        frame.since && [frame.since.epoch, frame.since.offset],
        frame.anew,
      ]);
    case "unsubscribe":
      return pack([type, frame.ref, lineItems(frame), frame.topic]);
    case "state":
      return pack([type, frame.visible, frame.idleMs]);
    case "token":
    case "identify":
      return pack([type, frame.ref, frame.token]);
    case "mark":
      return pack([type, frame.ref, lineItems(frame), frame.kind, frame.topic, frame.epoch, frame.offset]);
    case "target":
      return pack([type, frame.ref, lineItems(frame), frame.provider, frame.token, frame.details]);
    case "failed":
      return pack([type, frame.topic, frame.epoch, frame.offset, frame.reason]);
    case "logout":
      return pack([type, frame.ref]);
    case "probe":
      return pack([type]);
  }
}

/**
 * A server's frame as bytes.
 * @throws {PeykError} `bad-message` when a field holds what can't be sent
 */
export function encodeServerFrame(frame: ServerFrame): Uint8Array {
  switch (frame.type) {
    case "welcome":
      return pack([
        T.welcome,
        frame.version,
        frame.userId,
        frame.time,
        frame.heartbeatMs,
        frame.ackMs,
        frame.inputMs,
        frame.limits,
        frame.recovery.map(({ topic, epoch, offset, recovered }) => [topic, epoch, offset, recovered]),
      ]);
    case "message":
      return encodeMessageFrame(frame.topic, frame.epoch, frame.offset, frame.previous, frame.envelope);
    case "ephemeral":
      return encodeEphemeralFrame(frame.topic, frame.envelope);
    case "advance":
      return pack([T.advance, frame.topic, frame.epoch, frame.offset, frame.expired]);
    case "gap":
      return pack([T.gap, frame.topic, frame.epoch, frame.offset]);
    case "ok":
      return pack([T.ok, frame.ref, frame.value]);
    case "error":
      return pack([T.error, frame.ref, frame.code, frame.retryable, frame.retryAfterMs, frame.hint]);
    case "receipt":
      return pack([T.receipt, frame.kind, frame.topic, frame.id, frame.epoch, frame.offset, frame.at]);
    case "ping":
      return pack([T.ping]);
    case "subscribed":
      return pack([T.subscribed, frame.topic, frame.epoch, frame.offset, frame.recovered]);
    case "unsubscribed":
      return pack([T.unsubscribed, frame.topic]);
    case "drain":
      return pack([T.drain, frame.windowMs]);
    case "expiring":
      return pack([T.expiring, frame.inMs]);
    case "alive":
      return pack([T.alive]);
  }
}

/** A message frame: what fan-out makes once per entry, for all its receivers. */
export function encodeMessageFrame(
  topic: Topic,
  epoch: number,
  offset: number,
  previous: number,
  envelope: Uint8Array,
): Uint8Array {
  return packAround([T.message, topic, epoch, offset, previous], envelope);
}

/** What a message frame is made of, beside the topic and its log's epoch. */
export interface FramedEntry {
  readonly position: Pick<Position, "offset">;
  readonly previous: number;
  readonly bytes: Uint8Array;
}

/**
 * The message frames of entries of one log, back to back.
 * @returns them, and where each ends
 */
export function encodeMessageFrames(
  topic: Topic,
  epoch: number,
  entries: readonly FramedEntry[],
): { bytes: Uint8Array; ends: readonly number[] } {
  const begin = pack([T.message, topic, epoch]);
  // Three elements follow in each frame.
  begin[0]! += 3;
  let size = 0;
  const ends = entries.map(({ bytes: { length }, position: { offset }, previous }) =>
    size += begin.length + uintSize(offset) + uintSize(previous) + length
  );
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const { bytes: envelope, position: { offset }, previous } of entries) {
    bytes.set(begin, at);
    at = writeUint(bytes, writeUint(bytes, at + begin.length, offset), previous);
    bytes.set(envelope, at);
    at += envelope.length;
  }
  return { bytes, ends };
}

/** The frame of an ephemeral message, made once for all its receivers. */
export function encodeEphemeralFrame(topic: Topic, envelope: Uint8Array): Uint8Array {
  return packAround([T.ephemeral, topic], envelope);
}

/**
 * The frames of one WebSocket message from a client: all, or none.
 * @throws {PeykError} `bad-frame`; its hint names the fault, never the content
 */
export function decodeClientFrames(bytes: Uint8Array): ClientFrame[] {
  return decodeFrames(bytes, readClientFrame).frames;
}

/**
 * The same, with how many frames there were: those of a type that is ignored cost as much as others.
 * @throws {PeykError} `bad-frame`
 */
export function decodeClientMessage(bytes: Uint8Array): DecodedMessage<ClientFrame> {
  return decodeFrames(bytes, readClientFrame);
}

/** What one WebSocket message holds. */
export interface DecodedMessage<Frame> {
  readonly frames: readonly Frame[];
  /** With those that are ignored. */
  readonly count: number;
}

/**
 * The frames of one WebSocket message from a server: all, or none.
 * @throws {PeykError} `bad-frame`
 */
export function decodeServerFrames(bytes: Uint8Array): ServerFrame[] {
  return decodeFrames(bytes, readServerFrame).frames;
}

function decodeFrames<Frame>(
  bytes: Uint8Array,
  read: (type: number, reader: Reader) => Frame | undefined,
): { frames: Frame[]; count: number } {
  const reader = new Reader(bytes);
  const frames: Frame[] = [];
  let count = 0;
  do {
    count++;
    const outer = reader.enter("frame");
    const type = reader.uint("type");
    const frame = read(type, reader);
    if (frame !== undefined) frames.push(frame);
    else if (type < OPTIONAL_TYPES_FROM || type > LAST_OPTIONAL_TYPE) throw badFrame("a frame type that is not known here");
    reader.leave(outer);
  } while (!reader.done);
  return { frames, count };
}

// The fields below are read in the order in which they stand in the frame: an object literal is evaluated from the top.

function readClientFrame(type: number, reader: Reader): ClientFrame | undefined {
  switch (type) {
    case T.hello:
      return {
        type: "hello",
        version: reader.uint("version"),
        capabilities: reader.list("capabilities", MAX_CAPABILITIES, () => reader.text("capability")),
        deviceId: reader.text("deviceId"),
        temporary: reader.flag("temporary"),
        signedOut: reader.list("signedOut", MAX_SIGNED_OUT, () => reader.text("deviceId")),
        token: reader.nil() ? null : reader.text("token"),
        visible: reader.flag("visible"),
        idleMs: readIdleMs(reader),
        cursors: readCursors(reader),
        more: reader.flag("more"),
      };
    case T.cursors:
      return { type: "cursors", cursors: readCursors(reader), more: reader.flag("more") };
    case T.ack:
      return {
        type: "ack",
        seen: reader.uint("seen"),
        cursors: readCursors(reader),
        idleMs: readIdleMs(reader),
        waiting: reader.uint("waiting"),
      };
    case T.publish:
      return {
        type: "publish",
        ref: reader.uint("ref"),
        line: readLine(reader),
        topic: reader.text("topic"),
        id: reader.text("id"),
        options: reader.nil() ? null : readOptions(reader),
        payload: readPayload(reader),
      };
    case T.subscribe:
      return {
        type: "subscribe",
        ref: reader.uint("ref"),
        line: readLine(reader),
        topic: reader.text("topic"),
        since: reader.nil() ? null : readPosition(reader),
        anew: reader.flag("anew"),
      };
    case T.unsubscribe:
      return { type: "unsubscribe", ref: reader.uint("ref"), line: readLine(reader), topic: reader.text("topic") };
    case T.state:
      return { type: "state", visible: reader.flag("visible"), idleMs: readIdleMs(reader) };
    case T.token:
      return { type: "token", ref: reader.uint("ref"), token: reader.text("token") };
    case T.mark:
      return {
        type: "mark",
        ref: reader.uint("ref"),
        line: readLine(reader),
        kind: reader.text("kind"),
        topic: reader.text("topic"),
        epoch: reader.uint("epoch"),
        offset: reader.uint("offset"),
      };
    case T.target:
      return {
        type: "target",
        ref: reader.uint("ref"),
        line: readLine(reader),
        provider: reader.text("provider"),
        token: reader.nil() ? null : reader.text("token"),
        details: reader.value("details"),
      };
    case T.failed:
      return {
        type: "failed",
        topic: reader.text("topic"),
        epoch: reader.uint("epoch"),
        offset: reader.uint("offset"),
        reason: reader.text("reason"),
      };
    case T.logout:
      return { type: "logout", ref: reader.uint("ref") };
    case T.probe:
      return { type: "probe" };
    case T.identify:
      return { type: "identify", ref: reader.uint("ref"), token: reader.text("token") };
  }
  return undefined;
}

function readServerFrame(type: number, reader: Reader): ServerFrame | undefined {
  switch (type) {
    case T.welcome:
      return {
        type: "welcome",
        version: reader.uint("version"),
        userId: reader.text("userId"),
        time: reader.uint("time"),
        heartbeatMs: reader.uint("heartbeatMs"),
        ackMs: reader.uint("ackMs"),
        inputMs: reader.uint("inputMs"),
        limits: readLimits(reader),
        recovery: reader.list("recovery", Infinity, () => readRecovery(reader)),
      };
    case T.message:
      return {
        type: "message",
        ...readCursorFields(reader),
        previous: reader.uint("previous"),
        envelope: reader.raw("envelope", ENVELOPE_DEPTH),
      };
    case T.ephemeral:
      return { type: "ephemeral", topic: reader.text("topic"), envelope: reader.raw("envelope", ENVELOPE_DEPTH) };
    case T.advance:
      return { type: "advance", ...readCursorFields(reader), expired: reader.uint("expired") };
    case T.gap:
      return { type: "gap", ...readCursorFields(reader) };
    case T.ok:
      return { type: "ok", ref: reader.uint("ref"), value: reader.value("value") };
    case T.error:
      return {
        type: "error",
        ref: reader.nil() ? null : reader.uint("ref"),
        // A later server may know more codes; `retryable` says enough about one that is not known here.
        code: reader.text("code") as ErrorCode,
        retryable: reader.flag("retryable"),
        retryAfterMs: reader.nil() ? null : reader.uint("retryAfterMs"),
        hint: reader.nil() ? null : reader.text("hint"),
      };
    case T.receipt:
      return {
        type: "receipt",
        // A later server may know more kinds.
        kind: reader.text("kind"),
        topic: reader.text("topic"),
        id: reader.text("id"),
        epoch: reader.uint("epoch"),
        offset: reader.uint("offset"),
        at: reader.uint("at"),
      };
    case T.ping:
      return { type: "ping" };
    case T.subscribed:
      return { type: "subscribed", ...readRecoveryFields(reader) };
    case T.unsubscribed:
      return { type: "unsubscribed", topic: reader.text("topic") };
    case T.drain:
      return { type: "drain", windowMs: reader.uint("windowMs") };
    case T.expiring:
      return { type: "expiring", inMs: reader.uint("inMs") };
    case T.alive:
      return { type: "alive" };
  }
  return undefined;
}

const LAST_OPTIONAL_TYPE = 127;
/** An envelope is one array around its payload. */
const ENVELOPE_DEPTH = MAX_DEPTH + 1;

function cursorItems({ topic, epoch, offset }: Cursor): [Topic, number, number] {
  return [topic, epoch, offset];
}

function lineItems({ line }: { line?: InLine | undefined }): [string, number, number, string] | undefined {
  return line && [line.id, line.number, line.ageMs, line.user];
}

function readLine(reader: Reader): InLine | undefined {
  if (reader.nil()) return undefined;
  const outer = reader.enter("line");
  const line = { id: reader.text("line"), number: reader.uint("number"), ageMs: reader.uint("ageMs"), user: reader.text("user") };
  reader.leave(outer);
  return line;
}

function readCursors(reader: Reader): Cursor[] {
  return reader.list("cursors", MAX_CURSORS, () => {
    const outer = reader.enter("cursor");
    const cursor = readCursorFields(reader);
    reader.leave(outer);
    return cursor;
  });
}

function readCursorFields(reader: Reader): Cursor {
  return { topic: reader.text("topic"), epoch: reader.uint("epoch"), offset: reader.uint("offset") };
}

function readRecovery(reader: Reader): Recovery {
  const outer = reader.enter("recovery");
  const recovery = readRecoveryFields(reader);
  reader.leave(outer);
  return recovery;
}

function readRecoveryFields(reader: Reader): Recovery {
  return { ...readCursorFields(reader), recovered: reader.flag("recovered") };
}

function readIdleMs(reader: Reader): IdleMs {
  return reader.nil() ? null : reader.uint("idleMs");
}

function readPosition(reader: Reader): Position {
  const outer = reader.enter("since");
  const position = { epoch: reader.uint("epoch"), offset: reader.uint("offset") };
  reader.leave(outer);
  return position;
}

function readLimits(reader: Reader): WelcomeFrame["limits"] {
  let frameBytes: number | undefined;
  let topics: number | undefined;
  reader.fields("limits", (key) => {
    if (key === "frameBytes") frameBytes = reader.uint(key);
    else if (key === "topics") topics = reader.uint(key);
    else reader.skip(key);
  });
  if (frameBytes === undefined || topics === undefined) throw badFrame("limits: frameBytes or topics missing");
  return { frameBytes, topics };
}
