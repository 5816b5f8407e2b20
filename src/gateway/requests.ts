import { decodePayload, encodeServerFrame } from "../protocol/codec.ts";
import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import type { ClientFrame, MarkFrame, PublishFrame, SubscribeFrame } from "../protocol/frames.ts";
import type { OutgoingMessage } from "../protocol/message.ts";
import { checkName, isPublic, ownerOf, splitTopic } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "../delivery/actor.ts";
import type { ProgressKeeper } from "../delivery/progress.ts";
import type { Publisher, Receipt, SealedMessage } from "../delivery/publish.ts";
import type { UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import type { SignOut } from "../delivery/sign_out.ts";
import type { Subscriptions } from "../delivery/subscriptions.ts";
import { type Authorize, forbidden, mayPublish } from "./authorization.ts";
import { errorFrame, type Link } from "./link.ts";
import { Rate } from "./rate.ts";

/** What a session's frames are acted on with. */
export interface RequestParts {
  authorize: Authorize | undefined;
  publishesPerSecond: number;
  actor: SessionActor;
  progress: ProgressKeeper;
  publisher: Publisher;
  subscriptions: Subscriptions;
  signOut: SignOut;
  records: UserRecords;
  roster: Roster;
  /** The person read or dismissed a message. */
  mark(session: Session, frame: MarkFrame): Promise<void>;
  renewToken(link: Link, session: Session, token: string): Promise<void>;
  clock: Clock;
  logger: Logger;
}

/** Users whose rate is remembered. */
const RATES_KEPT = 10_000;

/** Acts on the frames of connections that have their session. */
export class Requests {
  readonly #parts: RequestParts;
  /** Publishes per user, however many devices. Whoever has been quiet longest is forgotten first. */
  readonly #rates = new Map<string, Rate>();
  /** Publishes that wait for `authorize`, per session: they keep their order. */
  readonly #queues = new WeakMap<Session, Promise<unknown>>();

  constructor(parts: RequestParts) {
    this.#parts = parts;
  }

  handle(link: Link, session: Session, frame: ClientFrame): void {
    const { actor, progress } = this.#parts;
    switch (frame.type) {
      case "ack":
        return progress.ack(session, frame);
      case "failed":
        return progress.failed(session, frame);
      case "state":
        actor.raise(session, frame.visible ? SessionEvent.foreground : SessionEvent.background);
        return actor.raise(session, frame.visible && frame.attended ? SessionEvent.attended : SessionEvent.unattended);
      case "hello":
      case "cursors":
        throw new PeykError("bad-order", `a second ${frame.type}`);
      case "logout":
        return this.#logout(link, session, frame.ref);
      default:
        this.#answer(link, frame.ref, this.#act(link, session, frame));
    }
  }

  async #act(link: Link, session: Session, frame: Extract<ClientFrame, { ref: number }>): Promise<unknown> {
    const { signOut, subscriptions } = this.#parts;
    switch (frame.type) {
      case "publish":
        return answerOf(await this.#publish(session, frame));
      case "subscribe":
        return await this.#subscribe(session, frame);
      case "unsubscribe":
        return await subscriptions.unsubscribe(session.userId, frame.topic, session);
      case "token":
        return await this.#parts.renewToken(link, session, frame.token);
      case "mark":
        return await this.#parts.mark(session, frame);
      case "target":
        return frame.token === null
          ? await signOut.unregister(session, frame.provider)
          : await signOut.register(session, frame.provider, frame.token);
    }
  }

  #answer(link: Link, ref: number, work: Promise<unknown>): void {
    work.then((value) => link.write(encodeServerFrame({ type: "ok", ref, value: value ?? null }))).catch((error: unknown) => {
      if (!(error instanceof PeykError)) this.#parts.logger.error("a request failed", { error });
      const known = error instanceof PeykError ? error : new PeykError("internal", "the server failed", { retryable: true });
      link.write(errorFrame(ref, known));
    });
  }

  async #publish(session: Session, { topic, id, options, payload }: PublishFrame): Promise<Receipt> {
    const { authorize, publisher } = this.#parts;
    const { to } = splitTopic(topic);
    checkName(id, "message id");
    this.#limit(session.userId);
    const sealed: SealedMessage = { topic, id, from: session.userId, options: options ?? undefined, payload };
    if (isPublic(topic)) {
      if (session.reader(topic) === undefined) {
        throw new PeykError("not-subscribed", "a public channel this user is not subscribed to", { hint: "Subscribe first." });
      }
    } else await this.#checkRecipient(to);
    const allowed = mayPublish(options);
    if (authorize === undefined) {
      if (!allowed) throw forbidden("notification, silent, useAsAlert and urgency high are the server's to set");
      return await publisher.publishSealed(sealed);
    }
    return await this.#inOrder(session, () => this.#authorized(authorize, sealed, allowed), (message) => publisher.publishSealed(message));
  }

  async #authorized(authorize: Authorize, sealed: SealedMessage, allowed: boolean): Promise<SealedMessage> {
    const { topic, id, from, options, payload } = sealed;
    const { to, channel } = splitTopic(topic);
    const { content, data } = decodePayload(payload);
    const message: OutgoingMessage = { ...options, to, channel, id, data, ...(content === undefined ? {} : { content }) };
    const verdict = await authorize({ userId: from!, action: "publish", topic, message, allowed });
    if (verdict === false) throw forbidden("this publish is not allowed");
    return verdict === true ? sealed : this.#parts.publisher.seal({ ...verdict, id }, from);
  }

  /** Runs the first parts one after the other, each second part as soon as its own first part is done. */
  #inOrder<A, B>(session: Session, first: () => Promise<A>, second: (value: A) => Promise<B>): Promise<B> {
    const before = this.#queues.get(session) ?? Promise.resolve();
    const mine = before.then(first, first);
    const result = mine.then(second);
    // The next one waits until this one has been handed to the log, not until the log has answered.
    this.#queues.set(session, mine.then(() => {}, () => {}));
    return result;
  }

  #limit(userId: string): void {
    const { clock, publishesPerSecond } = this.#parts;
    let rate = this.#rates.get(userId);
    if (rate === undefined) rate = new Rate(publishesPerSecond);
    else this.#rates.delete(userId);
    this.#rates.set(userId, rate);
    if (this.#rates.size > RATES_KEPT) for (const oldest of this.#rates.keys()) {
      this.#rates.delete(oldest);
      break;
    }
    const retryAfterMs = rate.take(clock.elapsed());
    if (retryAfterMs > 0) throw new PeykError("too-many", "too many publishes", { retryable: true, retryAfterMs });
  }

  /** Else anybody could fill the store with messages for users who don't exist. */
  async #checkRecipient(userId: string): Promise<void> {
    const { records, roster } = this.#parts;
    if (roster.of(userId).length > 0) return;
    const record = await records.store.get(userId);
    if (record === undefined || record.seenAt === 0) throw new PeykError("no-device", "nobody ever signed in as this user");
  }

  async #subscribe(session: Session, { topic, since }: SubscribeFrame): Promise<unknown> {
    const { authorize, subscriptions } = this.#parts;
    splitTopic(topic);
    const allowed = isPublic(topic) || ownerOf(topic) === session.userId;
    const verdict = authorize === undefined
      ? allowed
      : await authorize({ userId: session.userId, action: "subscribe", topic, message: undefined, allowed });
    if (verdict === false) throw forbidden("this subscription is not allowed");
    return await subscriptions.subscribe(session.userId, topic, since ?? undefined, session);
  }

  #logout(link: Link, session: Session, ref: number): void {
    const done = (): void => link.write(encodeServerFrame({ type: "ok", ref, value: null }));
    this.#parts.signOut.end(session.userId, session.deviceId, done)
      .then(() => link.close(CloseCode.signedOut, "signed out"))
      .catch((error: unknown) => {
        this.#parts.logger.error("a sign-out failed", { error });
        link.write(errorFrame(ref, new PeykError("unavailable", "the sign-out failed", { retryable: true })));
      });
  }
}

function answerOf({ id, topic, position, durable, duplicate }: Receipt): unknown {
  return { id, topic, epoch: position?.epoch ?? 0, offset: position?.offset ?? 0, durable, duplicate };
}
