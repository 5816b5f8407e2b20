import { within } from "../delivery/deadline.ts";
import type { OpenedEntry } from "../delivery/opened_entry.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { PushNotification } from "../ports/push_provider.ts";
import { openEnvelope } from "../protocol/codec.ts";
import type { Message, Notification } from "../protocol/message.ts";
import { splitTopic } from "../protocol/names.ts";
import { checkNotification } from "../protocol/notification.ts";
import { compose } from "./compose.ts";
import type { Parcel } from "./last_look.ts";

/** Who is to read a push, as far as their device said so when it registered its target. */
export interface PushReader {
  /** A BCP 47 tag in its canonical form. */
  readonly locale: string | undefined;
  /** An IANA name or an offset, not checked against those that are known here. */
  readonly timeZone: string | undefined;
}

/**
 * Finds the words of a push. What it returns stands in for fields of the message's own notification; undefined: those are it.
 * Asked once for each message, locale and time zone on a node, however many people read them.
 */
export type Compose = (message: Message, reader: PushReader) => Notification | undefined | Promise<Notification | undefined>;

/** What composing works with. */
export interface ComposerParts {
  compose: Compose | undefined;
  clock: Clock;
  logger: Logger;
}

/** A push does not wait longer for its words. */
const COMPOSE_MS = 1_000;
/** Words that are remembered. Of more those are forgotten that were found first. */
const REMEMBERED = 1_000;

/** Finds the words of pushes before they leave, and puts them in. */
export class Composer {
  readonly #parts: ComposerParts;
  /** Undefined: the message's own. */
  readonly #words = new Map<string, Notification | undefined>();
  readonly #asked = new Map<string, Promise<void>>();

  constructor(parts: ComposerParts) {
    this.#parts = parts;
  }

  /** Whether any words are to be found. */
  get isAsked(): boolean {
    return this.#parts.compose !== undefined;
  }

  /**
   * Finds the words that these need.
   * @returns false: they are there, and nothing was waited for
   */
  async prepare(parcels: readonly Parcel[]): Promise<boolean> {
    const missing = parcels.filter((parcel) => this.#isAskedFor(parcel) && !this.#words.has(keyOf(parcel)));
    await Promise.all(missing.map((parcel) => this.#ask(parcel)));
    return missing.length > 0;
  }

  /** @param waiting how many messages the push stands for */
  notification(parcel: Parcel, waiting: number): PushNotification {
    const { entry, provider, row } = parcel;
    const words = this.#isAskedFor(parcel) ? this.#words.get(keyOf(parcel)) : undefined;
    return compose(row, entry, waiting, this.#parts.clock.now(), provider.content === "none" ? "none" : words);
  }

  #isAskedFor({ entry, provider }: Parcel): boolean {
    return this.isAsked && !entry.silent && provider.content !== "none";
  }

  #ask(parcel: Parcel): Promise<void> {
    const key = keyOf(parcel);
    const asked = this.#asked.get(key) ?? this.#find(parcel).then((words) => {
      this.#asked.delete(key);
      this.#words.set(key, words);
      if (this.#words.size > REMEMBERED) this.#words.delete(this.#words.keys().next().value!);
    });
    this.#asked.set(key, asked);
    return asked;
  }

  async #find({ entry, target: { locale, timeZone } }: Parcel): Promise<Notification | undefined> {
    const { clock, compose, logger } = this.#parts;
    try {
      const words: unknown = await within(clock, "compose()", compose!(messageOf(entry), { locale, timeZone }), COMPOSE_MS);
      return words === undefined ? undefined : checkNotification(words);
    } catch (error) {
      logger.error("compose() failed, a message's own words are used", { error });
      return undefined;
    }
  }
}

function keyOf({ entry: { topic, position }, target: { locale, timeZone } }: Parcel): string {
  return `${locale ?? ""} ${timeZone ?? ""} ${position.epoch}.${position.offset} ${topic}`;
}

function messageOf({ bytes, position, topic }: OpenedEntry): Message {
  const { id, from, sentAt, options, content, data } = openEnvelope(bytes);
  return { ...options, ...splitTopic(topic), id, from, sentAt, content, data, topic, position };
}
