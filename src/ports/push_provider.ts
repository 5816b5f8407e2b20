import type { Notification, Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { PushAddress } from "../protocol/target.ts";

/** What a push shows. */
export type Alert = Omit<Notification, "native">;

/** What a provider is asked to bring. */
export interface PushNotification {
  /** Who it is for: the app drops what is not for the user signed in. */
  userId: string;
  /** The message's id, for de-duplication with what the socket brings. */
  id: string;
  topic: Topic;
  position: Position;
  /** Stays the same on every try: the provider's collapse or idempotency key, at most 64 bytes. */
  collapseId: string;
  /** What to show; undefined with `silent`. Without a title and body it only says that a message waits: the app finds the words. */
  alert: Alert | undefined;
  /**
   * What the publisher set for this provider alone. It adds fields of the service's own, and MUST NOT change the recipient, the topic,
   * the kind of push, its priority, its collapse id or its time to live, whatever it holds. Absent: nothing.
   */
  native?: Readonly<Record<string, unknown>>;
  /** Wakes the app, shows nothing. */
  silent: boolean;
  /** Of several messages the most urgent one's. */
  urgency: Urgency;
  /** Seconds it is worth keeping; of several messages those of the one that lasts the longest. */
  ttl: number;
  /** How many messages this push stands for. Counted up to 100: more than that says that there are more. */
  waiting: number;
}

/**
 * How far a reply reaches that is no "sent". One device must not be able to silence others, so:
 * - "target", the default: it says something of this target or notification.
 * - "unclear": the target may have caused it, or the way in which the provider is set up (HTTP 401 and 403, a token of another
 *   project or environment). The target rests. After 3 such replies for different users, with nothing taken in between, the lane does.
 * - "service": no target can have caused it (the provider's own key is refused, the service is overloaded). The lane rests.
 *
 * A target rests for `afterMs`, else a minute and twice as long each time, at most an hour; or until its client registers another
 * token, or, where it is "unclear", the same one after a minute. A lane rests for `afterMs` (at most an hour), else a second and twice
 * as long each time, at most a minute; then one push is tried at a time. That it does is told once, to the logger and by the engine's
 * event "push-service". When one was taken, what has waited leaves with one push for each target: 100 a second at first, 1,000 after
 * a minute, shared among the nodes.
 *
 * A send that has no answer within 30 s is given up. For its lane that counts as "unclear", and 384 are under way in a lane at most.
 */
export type PushScope = "target" | "unclear" | "service";

/** A provider's verdict. */
export type PushResult =
  /**
   * The provider took it (that is not "delivered"). `info`: its own id or status, for `explain()`. `handle`: names the push at the
   * service, for taking it back (Web Push: the Location of RFC 8030 section 5). A secret of 1-1,024 characters: it is stored with the
   * push for as long as that is remembered, and told to nobody.
   */
  | { verdict: "sent"; info?: string; handle?: string }
  /** The provider took it, and knows the target by this token from now on. The engine stores it in place of the former one. */
  | { verdict: "replaced"; token: string; info?: string; handle?: string }
  /**
   * The target is dead for good. `since`: when the service found it so, milliseconds since 1970. A target that was registered after
   * that, with the same token, lives again: the push is tried once more then. Absent: it is dead now.
   */
  | { verdict: "gone"; reason: string; since?: number }
  /** This notification will never be taken; the target may be fine. */
  | { verdict: "rejected"; reason: string; scope?: PushScope }
  /**
   * Not now. `afterMs` undefined: the engine backs off by itself. `alarm`: the operator is told of the first of these already, in the
   * log and by the event "push-service", whatever rests. Only for a service of the operator's own: elsewhere one client's token could
   * raise it.
   */
  | { verdict: "retry"; afterMs?: number; reason: string; scope?: PushScope; alarm?: true };

/** What a provider is told beside what it is to send. */
export interface PushSendOptions {
  /** The engine gives the try up. */
  signal: AbortSignal;
  /** How many nodes send through this provider at the moment, this one included: they share what a service allows. Absent: one. */
  nodes?: number;
}

/**
 * Brings notifications to devices through one service.
 *
 * An implementer MUST return a verdict for whatever the service answers, MUST give up when `signal` aborts (retry), MUST check
 * size and fields before any request (rejected), MUST leave `alert` and `native` empty where the whole is too large (a message waits:
 * the app finds the words), MUST take a target that says nothing but its token unless `targetFault` refuses
 * it, MUST NOT change what it is given, and MUST NOT throw, log or return a token or key. A throw counts as retry.
 */
export interface PushProvider {
  /** Lower case, what clients name when they register. */
  readonly name: string;
  /**
   * The apps that it is set up for, 1 at least. A target that names none of them is refused with `no-app`. Absent: what targets
   * say of their app is not looked at.
   */
  readonly apps?: readonly string[];
  /**
   * "none": nothing of a message is to be at the service. A push names the message then, and says that it waits. Default "full".
   */
  readonly content?: "full" | "none";
  /** Why this can't be one of the service's targets, or undefined. Asked at registration; what it says goes to the client. */
  targetFault?(target: PushAddress): string | undefined;
  /**
   * Names what a target shares with others: a connection, a key, and so whatever is wrong with them. An origin, for example, or a key
   * and an environment. 256 characters at most, the same each time, and no secret: it is told to the logger. Absent: the provider
   * has one lane.
   */
  lane?(target: PushAddress): string;
  /**
   * Brings it to one target.
   * @param target of those that passed `apps` and `targetFault`, with the fields that its client gave
   */
  send(target: PushAddress, notification: PushNotification, options: PushSendOptions): Promise<PushResult>;
  close?(): Promise<void>;
}
