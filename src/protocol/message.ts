import type { FieldsOf } from "./fields.ts";
import type { Topic } from "./names.ts";

/** Where an entry is in one topic's log. A new epoch says that the log was lost or replaced. */
export interface Position {
  /** Names this life of the log. A safe integer > 0. */
  readonly epoch: number;
  /** Counts the log's entries from 1. 0 is "before the first". */
  readonly offset: number;
}

/**
 * How safely an accepted message is stored, never more than is known. `memory`: it is gone with the process. `majority`: a majority
 * of the servers that keep it have it, and sync it to their disks later; where one server keeps it, that one. It outlives the
 * processes; a crash of the operating system, or a power loss, can take it. `disk`: it is synced to disk before the answer.
 */
export type Durability = "memory" | "majority" | "disk";

/** How soon a message is worth waking a device (RFC 8030 section 5.3). */
export type Urgency = "very-low" | "low" | "normal" | "high";

/** How much a notification may interrupt (Apple's `interruption-level`, UNNotificationInterruptionLevel). */
export type InterruptionLevel = "passive" | "active" | "time-sensitive" | "critical";

/** What a push shows. Providers map these to their own fields and leave out what they lack. */
export interface Notification {
  title?: string;
  body?: string;
  icon?: string;
  image?: string;
  /** Where a tap leads. */
  url?: string;
  badge?: number;
  sound?: string;
  /** A later push with the same key replaces this one on the device. */
  collapseKey?: string;
  /** Notifications with the same one stand together on the device (Apple's `thread-id`). 256 characters at most. */
  thread?: string;
  /** Which of the app's registered kinds it is: its buttons go by that (Apple's `category`). 256 characters at most. */
  category?: string;
  /** The Android notification channel that it belongs to. 256 characters at most. */
  channel?: string;
  /**
   * How much it may interrupt, as Apple names it: "passive" lights no screen, "time-sensitive" and "critical" come through a focus, if
   * the app may. Default: the device's, "active".
   */
  interruptionLevel?: InterruptionLevel;
  /**
   * What goes to one provider alone, by the provider's name: fields of its own that nothing above stands for. It adds to a push, and
   * changes nothing of whom it goes to and how (recipient, topic, kind of push, priority, collapse id, time to live). 4,096 bytes of
   * msgpack at most, for all of them.
   */
  native?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  actions?: readonly { action: string; title: string }[];
}

/** The fields of a message that steer its delivery. Absent means the default. */
export interface MessageOptions {
  /** Seconds the message is worth delivering. Default 30 days. 0 is not allowed: use `ephemeral`. */
  ttl?: number;
  /** Default "normal". */
  urgency?: Urgency;
  notification?: Notification;
  /** Only for whoever is connected now: no log, no push. */
  ephemeral?: boolean;
  /** Kept in the log, never pushed. */
  inApp?: boolean;
  /** A background push: wakes the app, shows nothing. */
  silent?: boolean;
  /** `content` is the alert's body. */
  useAsAlert?: boolean;
}

/** What a publisher hands over. */
export interface OutgoingMessage<Data = unknown> extends MessageOptions {
  /** A userId, or `*` for a public channel. */
  to: string;
  /** Default "default". */
  channel?: string;
  /** The idempotency key, scoped to sender and topic. Made if absent. */
  id?: string;
  content?: string;
  /** Any msgpack value. */
  data?: Data;
}

/** What an {@link OutgoingMessage} has. */
export const MESSAGE_FIELDS: FieldsOf<OutgoingMessage> = {
  to: true,
  channel: true,
  id: true,
  content: true,
  data: true,
  ttl: true,
  urgency: true,
  notification: true,
  ephemeral: true,
  inApp: true,
  silent: true,
  useAsAlert: true,
};

/** A message as an app's handler gets it. */
export interface Message<Data = unknown> extends MessageOptions {
  readonly id: string;
  readonly to: string;
  readonly channel: string;
  readonly topic: Topic;
  /** The sending user; undefined for a server's publish that named none. */
  readonly from: string | undefined;
  readonly content: string | undefined;
  readonly data: Data;
  /** Milliseconds since 1970, the server's clock. */
  readonly sentAt: number;
  /** Undefined for an `ephemeral` message: it is in no log. */
  readonly position: Position | undefined;
}

/** Names a message wherever one is marked or explained. A message and the result of a publish are such a name. */
export interface MessageRef {
  readonly topic: Topic;
  /** Undefined: it is in no log, and nobody can refer to it. */
  readonly position: Position | undefined;
}

/** The defaults that absent message fields stand for. */
export const DEFAULT_TTL_SECONDS = 30 * 24 * 3600;

/**
 * What a log keeps of a message, as bytes: the msgpack array `[id, from, sentAt, expiresAt, options, payload]`, and `device`
 * behind it where there is one.
 * `payload` is the publisher's own bytes, a msgpack array `[content, data]`; the engine opens it only to compose a push.
 */
export interface Envelope {
  readonly id: string;
  readonly from: string | undefined;
  readonly sentAt: number;
  /** Milliseconds since 1970 after which nobody needs it any more. */
  readonly expiresAt: number;
  readonly options: MessageOptions | undefined;
  /** Raw msgpack: `[content, data]`. */
  readonly payload: Uint8Array;
  /** The short name of the device that published it. Only in a private topic of the publisher's own. */
  readonly device?: string | undefined;
}
