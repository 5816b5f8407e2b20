import { decodePayload } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { PublishFrame } from "../protocol/frames.ts";
import { checkFields } from "../protocol/fields.ts";
import { MESSAGE_FIELDS, type OutgoingMessage } from "../protocol/message.ts";
import { checkName, isPublic, ownerOf, splitTopic, type Topic } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Publisher, PublishResult, SealedMessage } from "../delivery/publish.ts";
import type { UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import { type Action, askAuthorize, type Authorize, forbidden, mayPublish } from "./authorization.ts";
import { Rates } from "./rate.ts";

/** What clients' publishes work with. */
export interface PublishingParts {
  authorize: Authorize | undefined;
  publishesPerSecond: number;
  publisher: Publisher;
  lease: Lease;
  records: UserRecords;
  roster: Roster;
  clock: Clock;
  logger: Logger;
}

/** What clients publish: within their rate, and as far as they may. */
export class Publishing {
  readonly #parts: PublishingParts;
  /** Publishes per user, however many devices. */
  readonly #rates: Rates;

  constructor(parts: PublishingParts) {
    this.#parts = parts;
    this.#rates = new Rates(parts.publishesPerSecond);
  }

  /**
   * Hands a message to the log, if it may be published.
   * @param checkStill called after every wait: throws when the publish may have no effect any more
   * @returns when it was handed over, with what the log will have said
   */
  async begin(
    session: Session,
    { topic, id, options, payload }: PublishFrame,
    checkStill: () => void,
  ): Promise<{ outcome: Promise<unknown> }> {
    const { clock, publisher } = this.#parts;
    const { userId } = session;
    checkName(id, "message id");
    splitTopic(topic);
    const retryAfterMs = this.#rates.take(userId, clock.elapsed());
    if (retryAfterMs > 0) throw new PeykError("too-many", "too many publishes", { retryable: true, retryAfterMs });
    const admitted = await this.#admit(session, { topic, id, from: userId, options: options ?? undefined, payload });
    checkStill();
    // A link to one's own phone is no news on the device that it was sent from, whatever topic was asked for.
    const device = ownerOf(admitted.topic) === userId ? session.device : undefined;
    return { outcome: publisher.publishSealed({ ...admitted, device }).then(answerOf) };
  }

  /** What is to be published of what a client wants to publish. */
  async #admit(session: Session, sealed: SealedMessage): Promise<SealedMessage> {
    const { authorize } = this.#parts;
    const { topic, id, from, options, payload } = sealed;
    const fault = await this.#fault(session, sealed);
    if (authorize === undefined) {
      if (fault !== undefined) throw fault;
      return sealed;
    }
    const { content, data } = decodePayload(payload);
    const message: OutgoingMessage = {
      ...options,
      ...splitTopic(topic),
      id,
      data,
      ...(content === undefined ? {} : { content }),
    };
    const action: Action = { userId: session.userId, action: "publish", topic, message, allowed: fault === undefined };
    const verdict = await askAuthorize(authorize, action, this.#parts);
    if (verdict === true) return sealed;
    // Whatever is neither true nor a message is a no, from a callback without types too.
    if (typeof verdict !== "object" || verdict === null) throw fault ?? forbidden("this publish is not allowed");
    return this.#instead(verdict, id, from);
  }

  /** What authorize() wants published. That it can't be is the embedding server's mistake, so the log tells too. */
  #instead(message: OutgoingMessage, id: string, from: string | undefined): SealedMessage {
    try {
      checkFields(message, MESSAGE_FIELDS, "what authorize() answered", "bad-message");
      return this.#parts.publisher.seal({ ...message, id }, from);
    } catch (error) {
      this.#parts.logger.error("authorize() answered what can't be published", { error });
      throw error;
    }
  }

  /** What the default rules have against it. Nothing of the recipient shows where the message itself is refused. */
  async #fault(session: Session, { topic, options }: SealedMessage): Promise<PeykError | undefined> {
    if (isPublic(topic) && session.reader(topic) === undefined) {
      return new PeykError("not-subscribed", "a public channel this user is not subscribed to", { hint: "Subscribe first." });
    }
    if (!mayPublish(options)) return forbidden("notification, silent, useAsAlert and urgency high are the server's to set");
    if (isPublic(topic) || await this.#isRead(topic)) return undefined;
    return new PeykError("no-recipient", "nobody reads this private channel", {
      hint: "Its owner must have signed in once, and be subscribed to it; everybody is to their own default channel.",
    });
  }

  /** Else any client could fill the store with messages that have no reader. With the first sign-in a user is subscribed to their own `default`. */
  async #isRead(topic: Topic): Promise<boolean> {
    const { records, roster } = this.#parts;
    const owner = ownerOf(topic);
    if (roster.of(owner).some((session) => session.reader(topic) !== undefined)) return true;
    return (await records.store.get(owner))?.subscriptions[topic] !== undefined;
  }
}

function answerOf({ id, topic, position, durable, durability, duplicate }: PublishResult): unknown {
  return { id, topic, epoch: position?.epoch ?? null, offset: position?.offset ?? null, durable, durability, duplicate };
}
