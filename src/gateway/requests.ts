import { decodePayload, encodeServerFrame } from "../protocol/codec.ts";
import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import type { ClientFrame, MarkFrame, PublishFrame, SubscribeFrame, TargetFrame } from "../protocol/frames.ts";
import type { OutgoingMessage } from "../protocol/message.ts";
import { checkName, isPublic, ownerOf, splitTopic, type Topic } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import { Exclusive } from "../delivery/exclusive.ts";
import type { Lease } from "../delivery/lease.ts";
import { PassingMap } from "../delivery/passing_map.ts";
import type { ProgressKeeper } from "../delivery/progress.ts";
import type { Publisher, PublishResult, SealedMessage } from "../delivery/publish.ts";
import type { UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import type { SignOut } from "../delivery/sign_out.ts";
import type { Start, Subscriptions } from "../delivery/subscriptions.ts";
import { type Authorize, forbidden, mayPublish } from "./authorization.ts";
import { errorFrame, type Link, presentable } from "./link.ts";
import { Rates } from "./rate.ts";

/** What a session's frames are acted on with. */
export interface RequestParts {
  authorize: Authorize | undefined;
  publishesPerSecond: number;
  progress: ProgressKeeper;
  publisher: Publisher;
  subscriptions: Subscriptions;
  signOut: SignOut;
  lease: Lease;
  records: UserRecords;
  roster: Roster;
  /** The person read or dismissed a message. */
  mark(session: Session, frame: MarkFrame): Promise<void>;
  renewToken(link: Link, session: Session, token: string): Promise<void>;
  clock: Clock;
  logger: Logger;
}

/** A frame that is answered. */
type Request = Extract<ClientFrame, { ref: number }>;

/** Requests of one connection that may wait for their answer at a time. */
const MAX_WAITING = 256;
/** A word, as the protocol has it: it goes into the books. */
const MAX_REASON_LENGTH = 32;

/** Acts on the frames of connections that have their session. */
export class Requests {
  readonly #parts: RequestParts;
  /** Publishes per user, however many devices. */
  readonly #rates: Rates;
  /** Publishes on their way into the log: those of one device keep their order. */
  readonly #publishes = new Exclusive();
  /** The same for its push targets: the last one wins. */
  readonly #targets = new Exclusive();
  /** The sessions that asked for something that is not answered yet, each as often as it did. A connection that is lost leaves them here. */
  readonly #asking = new PassingMap<Session, number>();

  constructor(parts: RequestParts) {
    this.#parts = parts;
    this.#rates = new Rates(parts.publishesPerSecond);
  }

  /** A user, or one device of theirs by its short name, was signed out: what was asked for and still waits has no effect any more. */
  signedOut(userId: string, device: string | undefined): void {
    const { roster } = this.#parts;
    for (const session of this.#asking.keys()) {
      if (session.userId !== userId || (device ?? session.device) !== session.device) continue;
      // One that this node holds is about to be ended: until then what it acks counts.
      if (roster.find(userId, session.deviceId) !== session) session.isSignedOut = true;
    }
  }

  /** @throws {PeykError} `bad-order`, `bad-frame`: the connection is to end */
  handle(link: Link, session: Session, frame: ClientFrame): void {
    const { progress } = this.#parts;
    switch (frame.type) {
      case "ack":
        return progress.ack(session, frame);
      case "failed":
        if (frame.reason.length > MAX_REASON_LENGTH) throw new PeykError("bad-frame", "reason: more than a word");
        return progress.failed(session, frame);
      case "state":
        return progress.state(session, frame);
      case "probe":
        return link.write(encodeServerFrame({ type: "alive" }));
      case "hello":
      case "cursors":
        throw new PeykError("bad-order", `${frame.type} after the welcome`);
      default:
        void this.#answer(link, session, frame);
    }
  }

  async #answer(link: Link, session: Session, frame: Request): Promise<void> {
    const { ref } = frame;
    if (link.waiting >= MAX_WAITING) {
      const hint = `At most ${MAX_WAITING} requests wait for their answer.`;
      return link.write(errorFrame(ref, new PeykError("too-many", "too many requests", { retryable: true, hint })));
    }
    link.waiting++;
    this.#asking.set(session, (this.#asking.get(session) ?? 0) + 1);
    try {
      await this.#act(link, session, frame, (value) => link.write(encodeServerFrame({ type: "ok", ref, value: value ?? null })));
    } catch (error) {
      link.write(errorFrame(ref, presentable(error, this.#parts.logger)));
    } finally {
      link.waiting--;
      const left = this.#asking.get(session)! - 1;
      if (left > 0) this.#asking.set(session, left);
      else this.#asking.delete(session);
    }
  }

  /** @param ok gives the answer: mostly at the end, but where more follows from the request before that */
  async #act(link: Link, session: Session, frame: Request, ok: (value?: unknown) => void): Promise<void> {
    const { mark, renewToken, subscriptions } = this.#parts;
    switch (frame.type) {
      case "publish":
        return ok(answerOf(await this.#publish(session, frame)));
      case "subscribe":
        return await this.#subscribe(session, frame, ok);
      case "unsubscribe":
        return ok(await subscriptions.unsubscribe(session.userId, frame.topic, session));
      case "token":
        return ok(await renewToken(link, session, frame.token));
      case "mark":
        return ok(await mark(session, frame));
      case "target":
        return ok(await this.#targets.run(`${session.userId}/${session.deviceId}`, () => this.#target(session, frame)));
      case "logout":
        return await this.#logout(link, session, ok);
    }
  }

  #target(session: Session, { provider, token, details }: TargetFrame): Promise<void> {
    const { signOut } = this.#parts;
    return token === null ? signOut.unregister(session, provider) : signOut.register(session, provider, token, details);
  }

  async #publish(session: Session, { topic, id, options, payload }: PublishFrame): Promise<PublishResult> {
    const { publisher } = this.#parts;
    const { userId, deviceId } = session;
    checkName(id, "message id");
    splitTopic(topic);
    this.#limit(userId);
    const sealed: SealedMessage = { topic, id, from: userId, options: options ?? undefined, payload };
    const { term } = this.#parts.lease;
    const { receipt } = await this.#publishes.run(`${userId}/${deviceId}`, async () => {
      const admitted = await this.#admit(session, sealed);
      this.#checkStill(session, term);
      // A link to one's own phone is no news on the device that it was sent from, whatever topic was asked for.
      const device = ownerOf(admitted.topic) === userId ? session.device : undefined;
      // Not awaited: the next one's turn comes when this one was handed to the log, not when the log has answered.
      return { receipt: publisher.publishSealed({ ...admitted, device }) };
    });
    return await receipt;
  }

  /** What is to be published of what a client wants to publish. */
  async #admit(session: Session, sealed: SealedMessage): Promise<SealedMessage> {
    const { authorize, publisher } = this.#parts;
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
    const verdict = await authorize({ userId: session.userId, action: "publish", topic, message, allowed: fault === undefined });
    if (verdict === true) return sealed;
    // Whatever is neither true nor a message is a no, from a callback without types too.
    if (typeof verdict !== "object" || verdict === null) throw fault ?? forbidden("this publish is not allowed");
    return publisher.seal({ ...verdict, id }, from);
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

  /** After a wait: who was signed out meanwhile is known only while the node's lease is held. */
  #checkStill(session: Session, term: number): void {
    const { lease } = this.#parts;
    session.checkSignedIn();
    if (lease.isHeld && lease.term === term) return;
    throw new PeykError("unavailable", "the node was not heard of for a while", { retryable: true });
  }

  #limit(userId: string): void {
    const retryAfterMs = this.#rates.take(userId, this.#parts.clock.elapsed());
    if (retryAfterMs > 0) throw new PeykError("too-many", "too many publishes", { retryable: true, retryAfterMs });
  }

  async #subscribe(session: Session, { topic, since, anew }: SubscribeFrame, ok: (start: Start) => void): Promise<void> {
    const { authorize, lease, subscriptions } = this.#parts;
    const { userId } = session;
    const { term } = lease;
    splitTopic(topic);
    const allowed = isPublic(topic) || ownerOf(topic) === userId;
    const verdict = authorize === undefined
      ? allowed
      : await authorize({ userId, action: "subscribe", topic, message: undefined, allowed });
    if (verdict !== true) throw forbidden("this subscription is not allowed");
    this.#checkStill(session, term);
    await subscriptions.subscribe(userId, topic, { since: since ?? undefined, anew }, { session, answer: ok });
  }

  /** The answer is the last frame: signing out closes the connection. */
  async #logout(link: Link, { userId, deviceId }: Session, ok: () => void): Promise<void> {
    await this.#parts.signOut.end(userId, deviceId, ok);
    link.close(CloseCode.signedOut, "signed out");
  }
}

function answerOf({ id, topic, position, durable, durability, duplicate }: PublishResult): unknown {
  return { id, topic, epoch: position?.epoch ?? null, offset: position?.offset ?? null, durable, durability, duplicate };
}
