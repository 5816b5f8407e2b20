import { encodeServerFrame } from "../protocol/codec.ts";
import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import type { ClientFrame, InLine, MarkFrame, SubscribeFrame, TargetFrame } from "../protocol/frames.ts";
import { isPublic, ownerOf, splitTopic } from "../protocol/names.ts";
import type { SessionRecord } from "../ports/users.ts";
import { Exclusive } from "../delivery/exclusive.ts";
import { Lines } from "../delivery/lines.ts";
import { PassingMap } from "../delivery/passing_map.ts";
import type { ProgressKeeper } from "../delivery/progress.ts";
import type { Session } from "../delivery/session.ts";
import type { Remember, SignOut } from "../delivery/sign_out.ts";
import type { Asked, Subscriptions } from "../delivery/subscriptions.ts";
import { askAuthorize, forbidden } from "./authorization.ts";
import { answerFrame, type Lined, LinedFrame, type LinedHost, type Outcome } from "./lined_frame.ts";
import { errorFrame, type Link, presentable } from "./link.ts";
import { Publishing, type PublishingParts } from "./publishing.ts";

/** What a session's frames are acted on with. */
export interface RequestParts extends PublishingParts {
  progress: ProgressKeeper;
  subscriptions: Subscriptions;
  signOut: SignOut;
  /** The person read or dismissed a message. */
  mark(session: Session, frame: MarkFrame): Promise<void>;
  renewToken(link: Link, session: Session, token: string): Promise<void>;
  /** Whose token this is, beside the session. */
  identify(session: Session, token: string): Promise<string>;
}

/** A frame that is answered. */
type Request = Extract<ClientFrame, { ref: number }>;

/** Requests of one connection outside of lines that may wait for their answer at a time. */
const MAX_WAITING = 256;
/** A word, as the protocol has it: it goes into the books. */
const MAX_REASON_LENGTH = 32;

/** Acts on the frames of connections that have their session. */
export class Requests {
  readonly #parts: RequestParts;
  readonly #publishing: Publishing;
  readonly #host: LinedHost;
  /** Outside of lines: publishes on their way into the log, those of one device in their order. */
  readonly #publishes = new Exclusive();
  /** Likewise changes of a device's push targets: the last one wins. */
  readonly #targets = new Exclusive();
  /** The sessions that asked for something that is not answered yet, each as often as it did. A connection that is lost leaves them here. */
  readonly #asking = new PassingMap<Session, number>();

  constructor(parts: RequestParts) {
    this.#parts = parts;
    this.#publishing = new Publishing(parts);
    this.#host = { logger: parts.logger, act: (link, asked, frame) => this.#act(link, asked, frame) };
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
      case "token":
      case "identify":
      case "logout":
        return void this.#answer(link, session, frame);
      default:
        if (frame.line === undefined) void this.#answer(link, session, frame);
        else this.#queue(link, session, frame, frame.line);
    }
  }

  /** The connection is gone: what waits for it has no effect, and is said again on the next one. */
  left(session: Session): void {
    session.lines?.wake();
  }

  /** In a line: in its turn. What another user made is nothing of this session's lines: it takes no place, and ends nobody's. */
  #queue(link: Link, session: Session, frame: Lined, line: InLine): void {
    if (line.user !== session.userId) return link.write(errorFrame(frame.ref, madeByAnother()));
    const lines = session.lines ??= new Lines(this.#parts.clock);
    const request = new LinedFrame(this.#host, link, session, frame, line, lines);
    try {
      lines.take(line, request);
    } catch (error) {
      request.answer({ error: request.fault(error) });
    }
  }

  /** Outside of lines: as it comes. */
  async #answer(link: Link, session: Session, frame: Request): Promise<void> {
    const { ref } = frame;
    if (link.waiting >= MAX_WAITING) {
      const hint = `At most ${MAX_WAITING} requests wait for their answer.`;
      return link.write(errorFrame(ref, new PeykError("too-many", "too many requests", { retryable: true, hint })));
    }
    link.waiting++;
    let isAnswered = false;
    const answer = (value: unknown): void => {
      if (!isAnswered) link.write(answerFrame(ref, { value }));
      isAnswered = true;
    };
    try {
      const act = (): Promise<Outcome> => this.#act(link, { session, answer, remember: (stored) => stored }, frame);
      const device = `${session.userId}/${session.deviceId}`;
      // A publish's turn is over when it was handed to the log, not when the log has answered.
      const { outcome } = await (frame.type === "publish"
        ? this.#publishes.run(device, act)
        : frame.type === "target"
        ? this.#targets.run(device, act)
        : act());
      answer(await outcome);
    } catch (error) {
      link.write(errorFrame(ref, presentable(error, this.#parts.logger)));
    } finally {
      link.waiting--;
    }
  }

  async #act(link: Link, asked: Asked, frame: Request): Promise<Outcome> {
    const { session } = asked;
    this.#asking.set(session, (this.#asking.get(session) ?? 0) + 1);
    try {
      if (frame.type === "publish") return await this.#publishing.begin(session, frame, this.#stillThere(link, session, frame));
      if (frame.type === "identify") return { outcome: { userId: await this.#parts.identify(session, frame.token) } };
      await this.#change(link, asked, frame);
      return DONE;
    } finally {
      const left = this.#asking.get(session)! - 1;
      if (left > 0) this.#asking.set(session, left);
      else this.#asking.delete(session);
    }
  }

  #change(link: Link, asked: Asked, frame: Exclude<Request, { type: "publish" | "identify" }>): Promise<void> {
    const { mark, renewToken, subscriptions } = this.#parts;
    const { answer, remember, session } = asked;
    const done = { session, remember: (stored: SessionRecord): SessionRecord => remember(stored, null) };
    switch (frame.type) {
      case "subscribe":
        return this.#subscribe(link, frame, asked);
      case "unsubscribe":
        return subscriptions.unsubscribe(session.userId, frame.topic, done);
      case "token":
        return renewToken(link, session, frame.token);
      case "mark":
        return mark(session, frame);
      case "target":
        return this.#target(session, frame, done.remember);
      case "logout":
        return this.#logout(link, session, () => answer(null));
    }
  }

  /**
   * After a wait: who was signed out meanwhile is known only while the node's lease is held, and what was asked for in a line over a
   * connection that is lost is asked for again.
   */
  #stillThere(link: Link, session: Session, { line }: Lined): () => void {
    const { lease } = this.#parts;
    const { term } = lease;
    return () => {
      session.checkSignedIn();
      if (lease.isHeld && lease.term === term && (line === undefined || session.outlet === link)) return;
      throw new PeykError("unavailable", "the connection is gone, or the node was not heard of for a while", { retryable: true });
    };
  }

  #target(session: Session, { provider, token, details }: TargetFrame, remember: Remember): Promise<void> {
    const { signOut } = this.#parts;
    if (token === null) return signOut.unregister(session, provider, remember);
    return signOut.register(session, { provider, token, details }, remember);
  }

  async #subscribe(link: Link, frame: SubscribeFrame, asked: Asked): Promise<void> {
    const { authorize, subscriptions } = this.#parts;
    const { userId } = asked.session;
    const { topic, since, anew } = frame;
    const checkStill = this.#stillThere(link, asked.session, frame);
    splitTopic(topic);
    const allowed = isPublic(topic) || ownerOf(topic) === userId;
    const verdict = authorize === undefined
      ? allowed
      : await askAuthorize(authorize, { userId, action: "subscribe", topic, message: undefined, allowed }, this.#parts);
    if (verdict !== true) throw forbidden("this subscription is not allowed");
    checkStill();
    await subscriptions.subscribe(userId, topic, { since: since ?? undefined, anew }, asked);
  }

  /** What waits in the device's lines has no effect any more. The answer is the last frame: signing out closes the connection. */
  async #logout(link: Link, { userId, deviceId, lines }: Session, ok: () => void): Promise<void> {
    lines?.refuse(new PeykError("signed-out", "the device was signed out"));
    await this.#parts.signOut.end(userId, deviceId, ok);
    link.close(CloseCode.signedOut, "signed out");
  }
}

const DONE: Outcome = Object.freeze({ outcome: null });

function madeByAnother(): PeykError {
  return new PeykError("unauthorized", "a request of another user", {
    hint:
      "Whoever made it is not signed in on this connection: it is not acted on. Requests of this user are a line of their own.",
  });
}
