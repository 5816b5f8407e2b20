import { encodeEnvelope, encodePayload } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import { checkFields } from "../protocol/fields.ts";
import {
  DEFAULT_TTL_SECONDS,
  type Durability,
  MESSAGE_FIELDS,
  type MessageOptions,
  type OutgoingMessage,
  type Position,
} from "../protocol/message.ts";
import { checkName, type Topic, topicOf } from "../protocol/names.ts";
import { checkNotification, checkNotificationFields } from "../protocol/notification.ts";
import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import type { Transport } from "../ports/transport.ts";
import type { Counters } from "./counters.ts";
import type { Journal } from "./journal.ts";
import type { Receipts } from "./receipts.ts";

/** What a publisher gets for a message that was accepted. */
export interface PublishResult {
  readonly id: string;
  readonly topic: Topic;
  /** Undefined for an `ephemeral` message, which no log has. */
  readonly position: Position | undefined;
  /** Whether it survives a crash of the process: `durability` is not `memory`. */
  readonly durable: boolean;
  /** How safely it is stored. An `ephemeral` message is in no storage, so it has `memory`. */
  readonly durability: Durability;
  /** An earlier publish under the same id is the one that counts. */
  readonly duplicate: boolean;
}

/** A message whose payload stays closed. */
export interface SealedMessage {
  readonly topic: Topic;
  readonly id: string;
  readonly from: string | undefined;
  /** The short name of the publishing device, in a private topic of its user's own. */
  readonly device?: string | undefined;
  readonly options: MessageOptions | undefined;
  /** Raw msgpack `[content, data]`. */
  readonly payload: Uint8Array;
}

/** What publishing works with. */
export interface PublishParts {
  transport: Transport;
  receipts: Receipts;
  journal: Journal;
  counters: Counters;
  clock: Clock;
  /** What people's clocks say. */
  wall: Clock;
  random: Random;
}

const PUBLISH_FIELDS = { ...MESSAGE_FIELDS, from: true };
const MAX_TTL_SECONDS = DEFAULT_TTL_SECONDS;
/** What a message may weigh, bytes: a frame's worth. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** Puts messages into their topic's log. Everything else follows from there. */
export class Publisher {
  readonly #parts: PublishParts;

  constructor(parts: PublishParts) {
    this.#parts = parts;
  }

  /** @throws {PeykError} `bad-name`, `bad-message`, `too-large`, and what the transport says */
  async publish(given: OutgoingMessage & { from?: string }): Promise<PublishResult> {
    checkFields(given, PUBLISH_FIELDS, "publish", "bad-message");
    checkNotificationFields(given.notification);
    const { from, ...message } = given;
    return await this.publishSealed(this.seal(message, from));
  }

  /** Checks a message and closes its payload. */
  seal(message: OutgoingMessage, from: string | undefined): SealedMessage {
    const { to, channel, id, content, data, ...options } = message;
    checkContent(content);
    return {
      topic: topicOf(to, channel),
      id: id ?? this.#parts.random.id(),
      from,
      options: presentOptions(options),
      payload: encodePayload(content, data),
    };
  }

  async publishSealed({ topic, id, from, device, options, payload }: SealedMessage): Promise<PublishResult> {
    const { clock, counters, journal, receipts, transport, wall } = this.#parts;
    checkName(id, "message id");
    if (from !== undefined) checkName(from, "from");
    const checked = options && checkedOptions(options);
    const sentAt = wall.now();
    const ttlMs = (options?.ttl ?? DEFAULT_TTL_SECONDS) * 1_000;
    const bytes = encodeEnvelope({ id, from, sentAt, expiresAt: sentAt + ttlMs, options: checked, payload, device });
    if (bytes.length > MAX_MESSAGE_BYTES) {
      throw new PeykError("too-large", `a message of ${bytes.length} bytes`, {
        hint: `At most ${MAX_MESSAGE_BYTES}: send a link to bigger things.`,
      });
    }
    if (options?.ephemeral === true) {
      transport.signal(topic, bytes);
      counters.accepted++;
      return { id, topic, position: undefined, durable: false, durability: "memory", duplicate: false };
    }
    const key = `${from ?? ""}\n${id}`;
    const { position, duplicate, durability } = await transport.publish(topic, bytes, { key, expiresAt: clock.now() + ttlMs });
    if (duplicate) counters.duplicates++;
    else {
      counters.accepted++;
      if (position !== null) {
        journal.accepted({ id, topic, position, from, urgency: options?.urgency ?? "normal", sentAt });
        receipts.accepted({ id, topic, position, from });
      }
    }
    return { id, topic, position: position ?? undefined, durable: durability !== "memory", durability, duplicate };
  }
}

/** What is no text would be accepted, and fail on every device that gets it. */
function checkContent(content: unknown): void {
  if (content === undefined || content === null || typeof content === "string") return;
  throw new PeykError("bad-message", "content: not text", {
    hint: "Structured things go into data: publish({ to, data: { … } }).",
  });
}

/** Undefined when no option was given: most messages have none, and then none are stored. */
function presentOptions(options: MessageOptions): MessageOptions | undefined {
  return Object.values(options).some((value) => value !== undefined) ? options : undefined;
}

/** What the codec can't know: it checks types, and drops what is no option. */
function checkedOptions(options: MessageOptions): MessageOptions {
  const { ttl, ephemeral, inApp, notification } = options;
  if (ttl !== undefined && !(Number.isInteger(ttl) && ttl >= 1 && ttl <= MAX_TTL_SECONDS)) {
    throw new PeykError("bad-message", "ttl: not whole seconds from 1 to 30 days", {
      hint: ttl > MAX_TTL_SECONDS ? "Seconds, not milliseconds." : "For a message that nobody stores, set ephemeral.",
    });
  }
  if (ephemeral === true && inApp === true) {
    throw new PeykError("bad-message", "ephemeral and inApp: an ephemeral message is in no log");
  }
  return notification === undefined || notification === null
    ? options
    : { ...options, notification: checkNotification(notification) };
}
