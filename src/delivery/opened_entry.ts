import { encodeEphemeralFrame, encodeMessageFrame, envelopeDevice, envelopeHead } from "../protocol/codec.ts";
import type { MessageOptions, Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { Entry } from "../ports/transport.ts";
import { SessionEvent } from "../session/step.ts";
import type { Account, EntryName } from "./journal.ts";

/** An entry, opened as far as delivery needs it: the payload stays closed. */
export interface OpenedEntry extends EntryName {
  readonly previous: number;
  readonly from: string | undefined;
  /** When it was published, by the wall clock of that node. */
  readonly sentAt: number;
  /** When the log took it, by the same clock as `expiresAt`. Milliseconds since 1970. */
  readonly appendedAt: number;
  readonly expiresAt: number;
  readonly urgency: Urgency;
  /** What it is to a session's machine. */
  readonly event: SessionEvent;
  /** Wakes the app and shows nothing. */
  readonly silent: boolean;
  /** Of notifications with the same key the newest is enough. */
  readonly collapseKey: string | undefined;
  /** The envelope, as the log has it. Empty where it was left out: see {@link withoutBytes}. */
  readonly bytes: Uint8Array;
  /** What goes over the wire, the same for every receiver. */
  readonly frame: Uint8Array;
  /** The short name of the device that published it, where it stands in the publisher's own private topic. */
  readonly device: string | undefined;
  /** Where its deliveries are counted, once the journal knows it. */
  account: Account | undefined;
}

/** Opens an entry of a log. */
export function openEntry(entry: Entry): OpenedEntry {
  return new LoggedEntry(entry);
}

/** Opens a message that no log has: its position is `{ epoch: 0, offset: 0 }`. */
export function openEphemeral(topic: Topic, bytes: Uint8Array): OpenedEntry {
  return new LoggedEntry({ topic, epoch: 0, offset: 0, previous: 0, bytes, expiresAt: Infinity });
}

/**
 * An entry without its bytes, and so without a frame: enough to decide about it and to count it. Lists of many are held so, for they
 * would be as long as the log else.
 */
export function withoutBytes(entry: OpenedEntry): OpenedEntry {
  const { id, topic, position, previous, from, sentAt, appendedAt, expiresAt, urgency, event, silent, collapseKey, device } =
    entry;
  return {
    ...{ id, topic, position, previous, from, sentAt, appendedAt, expiresAt, urgency, event, silent, collapseKey, device },
    account: undefined,
    get bytes() {
      return new Uint8Array();
    },
    get frame() {
      return new Uint8Array();
    },
  };
}

class LoggedEntry implements OpenedEntry {
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
  readonly previous: number;
  readonly from: string | undefined;
  readonly sentAt: number;
  readonly appendedAt: number;
  readonly expiresAt: number;
  readonly urgency: Urgency;
  readonly event: SessionEvent;
  readonly silent: boolean;
  readonly collapseKey: string | undefined;
  readonly bytes: Uint8Array;
  account: Account | undefined = undefined;
  #frame: Uint8Array | undefined;

  constructor(entry: Entry) {
    const head = envelopeHead(entry.bytes);
    this.id = head.id;
    this.topic = entry.topic;
    this.position = { epoch: entry.epoch, offset: entry.offset };
    this.previous = entry.previous;
    this.from = head.from;
    this.sentAt = head.sentAt;
    // The log's life of it is as long as the one that it was published with.
    this.appendedAt = entry.expiresAt - (head.expiresAt - head.sentAt);
    this.expiresAt = entry.expiresAt;
    this.urgency = head.options?.urgency ?? "normal";
    this.event = entry.offset === 0 ? SessionEvent["message.ephemeral"] : eventOf(this.urgency, head.options);
    this.silent = head.options?.silent === true;
    this.collapseKey = head.options?.notification?.collapseKey;
    this.bytes = entry.bytes;
  }

  /** Looked for when a push is decided: it stands behind the payload. */
  get device(): string | undefined {
    return envelopeDevice(this.bytes);
  }

  /** Made when the first receiver needs it: a message for people who are away is never framed. */
  get frame(): Uint8Array {
    return this.#frame ??= this.position.offset === 0
      ? encodeEphemeralFrame(this.topic, this.bytes)
      : encodeMessageFrame(this.topic, this.position.epoch, this.position.offset, this.previous, this.bytes);
  }
}

function eventOf(urgency: Urgency, options: MessageOptions | undefined): SessionEvent {
  if (options?.inApp === true) return SessionEvent["message.inApp"];
  return urgency === "normal" || urgency === "high" ? SessionEvent["message.alert"] : SessionEvent["message.quiet"];
}
