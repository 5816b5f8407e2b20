import type { ErrorCode } from "./errors.ts";
import type { MessageOptions, Position } from "./message.ts";
import type { Topic } from "./names.ts";

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = "peyk.v1";
/** The version in hello and welcome. */
export const VERSION = 1;
/** Types from here to 127 may be ignored when unknown; all other unknown types close the connection. */
export const OPTIONAL_TYPES_FROM = 96;

/**
 * The first element of each frame. A frame is a msgpack array `[type, ...]`; its elements stand in the order in which the
 * interfaces below list their fields. Trailing elements beyond those are ignored.
 */
export const FrameType = {
  // from the client
  hello: 1,
  cursors: 2,
  ack: 3,
  publish: 4,
  subscribe: 5,
  unsubscribe: 6,
  state: 7,
  token: 8,
  mark: 9,
  target: 10,
  failed: 11,
  logout: 12,
  probe: 13,
  identify: 14,
  // from the server
  welcome: 33,
  message: 34,
  ephemeral: 35,
  advance: 36,
  gap: 37,
  ok: 38,
  error: 39,
  receipt: 40,
  ping: 41,
  subscribed: 42,
  unsubscribed: 43,
  drain: 44,
  expiring: 45,
  alive: 46,
} as const;

/** How far a device is in one topic. On the wire `[topic, epoch, offset]`. */
export interface Cursor {
  topic: Topic;
  epoch: number;
  offset: number;
}

/** What the server found when it looked where a topic can go on. On the wire `[topic, epoch, offset, recovered]`. */
export interface Recovery {
  topic: Topic;
  epoch: number;
  /** Entries after this offset follow. */
  offset: number;
  /** False when entries between the client's cursor and `offset` are gone for good. */
  recovered: boolean;
}

/**
 * A request's place in a line. A line is one queue of requests, such as a tab's: they take effect in the order of their numbers, each
 * once, however often it is said. On the wire `[line, number, ageMs, user]`, or nil: the request stands outside of all lines, it is acted on
 * as it comes, and to say it again is another request.
 */
export interface InLine {
  /** The line's name: random, at least 96 bits. */
  id: string;
  /** From 1, by 1 more for each request of the line. */
  number: number;
  /** How long ago the request was first said, on whichever connection. 0: it is said for the first time. */
  ageMs: number;
  /** The userId of the user who made the request. Over another user's connection it is refused with `unauthorized`. */
  user: string;
}

/** Milliseconds since the last input of the person at this device; null: there was none so far. */
export type IdleMs = number | null;

/** The first frame. `[1, version, capabilities, deviceId, temporary, signedOut, token, visible, idleMs, cursors, more]` */
export interface HelloFrame {
  type: "hello";
  version: number;
  /** Names of optional features the client has. None are defined yet: send an empty array. */
  capabilities: string[];
  deviceId: string;
  /** The deviceId is kept nowhere: the device takes no push target, and is forgotten an hour after it left. */
  temporary: boolean;
  /** Devices that were signed out while there was no connection: their sessions end before this device is let in. */
  signedOut: string[];
  token: string | null;
  /** False: connected, but the app is in the background. */
  visible: boolean;
  idleMs: IdleMs;
  cursors: Cursor[];
  /** True when `cursors` frames follow. */
  more: boolean;
}

/** More cursors of a hello. `[2, cursors, more]` */
export interface CursorsFrame {
  type: "cursors";
  cursors: Cursor[];
  more: boolean;
}

/**
 * Proof of life, and progress. `[3, seen, cursors, idleMs, waiting]`. It is an ack in front or in the background by what the connection
 * said last: one that was due before a change of `visible` leaves before it.
 */
export interface AckFrame {
  type: "ack";
  /** How many message and ephemeral frames this connection has brought so far. */
  seen: number;
  /** Where the app's handler is done, for topics in which that moved. */
  cursors: Cursor[];
  /** When this was written. */
  idleMs: IdleMs;
  /** How many message frames of this connection the app has not dealt with: of those that are seen, how many are not acked. */
  waiting: number;
}

/** `[4, ref, line, topic, id, options, payload]` */
export interface PublishFrame {
  type: "publish";
  ref: number;
  line?: InLine | undefined;
  topic: Topic;
  id: string;
  options: MessageOptions | null;
  /** Raw msgpack `[content, data]`, spliced through unopened. */
  payload: Uint8Array;
}

/**
 * `[5, ref, line, topic, since, anew]`; since: nil = from now on, `[epoch, offset]` = after that position (`[0, 0]` = from the log's
 * beginning). Of a topic that the user is subscribed to it changes nothing, unless `anew` is true.
 */
export interface SubscribeFrame {
  type: "subscribe";
  ref: number;
  line?: InLine | undefined;
  topic: Topic;
  since: Position | null;
  /** Begin there on all devices, whatever was read before. */
  anew: boolean;
}

/** `[6, ref, line, topic]` */
export interface UnsubscribeFrame {
  type: "unsubscribe";
  ref: number;
  line?: InLine | undefined;
  topic: Topic;
}

/** The app came to the front or left it, or there was an input. `[7, visible, idleMs]` */
export interface StateFrame {
  type: "state";
  visible: boolean;
  idleMs: IdleMs;
}

/** A fresh token for the same user. `[8, ref, token]` */
export interface TokenFrame {
  type: "token";
  ref: number;
  token: string;
}

/** The person read or dismissed a message. `[9, ref, line, kind, topic, epoch, offset]` */
export interface MarkFrame {
  type: "mark";
  ref: number;
  line?: InLine | undefined;
  /** "read" or "dismissed". Another one is answered with `unsupported`: a later client may know more. */
  kind: string;
  topic: Topic;
  epoch: number;
  offset: number;
}

/** Registers (or with token nil removes) this device's push target. `[10, ref, line, provider, token, details]` */
export interface TargetFrame {
  type: "target";
  ref: number;
  line?: InLine | undefined;
  provider: string;
  token: string | null;
  /** A map of the fields of `TargetDetails`, or null. Whoever acts on it checks it: a fault in it is an answer's, not the connection's. */
  details: unknown;
}

/** The app's handler gave up on an entry; the cursor passes it. `[11, topic, epoch, offset, reason]` */
export interface FailedFrame {
  type: "failed";
  topic: Topic;
  epoch: number;
  offset: number;
  /** "threw" or "timeout". No more than a word: the app's own errors stay in the app. */
  reason: string;
}

/** Ends the session: its targets are released, its connection is closed after the answer. `[12, ref]` */
export interface LogoutFrame {
  type: "logout";
  ref: number;
}

/** Asks for a sign of life: is answered with `alive`, at once. `[13]` */
export interface ProbeFrame {
  type: "probe";
}

/** Asks whose token this is, beside the session. `[14, ref, token]` */
export interface IdentifyFrame {
  type: "identify";
  ref: number;
  token: string;
}

export type ClientFrame =
  | HelloFrame
  | CursorsFrame
  | AckFrame
  | PublishFrame
  | SubscribeFrame
  | UnsubscribeFrame
  | StateFrame
  | TokenFrame
  | MarkFrame
  | TargetFrame
  | FailedFrame
  | LogoutFrame
  | ProbeFrame
  | IdentifyFrame;

/** The answer to hello. `[33, version, userId, time, heartbeatMs, ackMs, inputMs, limits, recovery]` */
export interface WelcomeFrame {
  type: "welcome";
  version: number;
  userId: string;
  /** The server's clock, milliseconds since 1970. */
  time: number;
  /** The server sends something at least this often. */
  heartbeatMs: number;
  /** The longest a client holds back an ack. */
  ackMs: number;
  /** A client tells of an input when the one it told last is at least this old. */
  inputMs: number;
  limits: { frameBytes: number; topics: number };
  /** One per subscribed topic. */
  recovery: Recovery[];
}

/** `[34, topic, epoch, offset, previous, envelope]` */
export interface MessageFrame {
  type: "message";
  topic: Topic;
  epoch: number;
  offset: number;
  /** The offset of the entry before this one: a client whose own is lower has missed something. */
  previous: number;
  /** Raw msgpack of an Envelope. */
  envelope: Uint8Array;
}

/** `[35, topic, envelope]` */
export interface EphemeralFrame {
  type: "ephemeral";
  topic: Topic;
  envelope: Uint8Array;
}

/** Entries up to `offset` expired unread and are stepped over. `[36, topic, epoch, offset, expired]` */
export interface AdvanceFrame {
  type: "advance";
  topic: Topic;
  epoch: number;
  offset: number;
  expired: number;
}

/** Entries up to `offset` are gone: recovery was not whole. `[37, topic, epoch, offset]` */
export interface GapFrame {
  type: "gap";
  topic: Topic;
  epoch: number;
  offset: number;
}

/** `[38, ref, value]`; value is nil, or for publish `{ id, topic, epoch, offset, durable, durability, duplicate }`, for subscribe `{ epoch, offset, recovered }`, for identify `{ userId }`. To a repeated subscribe or unsubscribe that took effect before, a map with `again` true. */
export interface OkFrame {
  type: "ok";
  ref: number;
  value: unknown;
}

/** `[39, ref, code, retryable, retryAfterMs, hint]` */
export interface ErrorFrame {
  type: "error";
  /** The request it answers; nil before a close. */
  ref: number | null;
  code: ErrorCode;
  retryable: boolean;
  retryAfterMs: number | null;
  hint: string | null;
}

/** What became of a private message this client published. `[40, kind, topic, id, epoch, offset, at]` */
export interface ReceiptFrame {
  type: "receipt";
  /** "delivered", "read" or "dismissed". Another one is to be ignored: a later server may know more. */
  kind: string;
  topic: Topic;
  id: string;
  epoch: number;
  offset: number;
  at: number;
}

/** Asks for an ack. `[41]` */
export interface PingFrame {
  type: "ping";
}

/** The user was subscribed by another device or the server. `[42, topic, epoch, offset, recovered]` */
export interface SubscribedFrame {
  type: "subscribed";
  topic: Topic;
  epoch: number;
  offset: number;
  /** False: begun anew, and entries before `offset` are passed over for good. */
  recovered: boolean;
}

/** `[43, topic]` */
export interface UnsubscribedFrame {
  type: "unsubscribed";
  topic: Topic;
}

/** The node leaves: reconnect at a random moment within the window. `[44, windowMs]` */
export interface DrainFrame {
  type: "drain";
  windowMs: number;
}

/** The token runs out: send a fresh one. `[45, inMs]` */
export interface ExpiringFrame {
  type: "expiring";
  inMs: number;
}

/** The answer to a probe. `[46]` */
export interface AliveFrame {
  type: "alive";
}

export type ServerFrame =
  | WelcomeFrame
  | MessageFrame
  | EphemeralFrame
  | AdvanceFrame
  | GapFrame
  | OkFrame
  | ErrorFrame
  | ReceiptFrame
  | PingFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | DrainFrame
  | ExpiringFrame
  | AliveFrame;
