import type { Notification, Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { PushAddress } from "../protocol/target.ts";

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
  alert: Notification | undefined;
  /** Wakes the app, shows nothing. */
  silent: boolean;
  urgency: Urgency;
  /** Seconds it is worth keeping. */
  ttl: number;
  /** How many messages this push stands for. Counted up to 100: more than that says that there are more. */
  waiting: number;
}

/** A provider's verdict. */
export type PushResult =
  /** The provider took it (that is not "delivered"). `info`: its own id or status, for `explain()`. */
  | { verdict: "sent"; info?: string }
  /** The target is dead for good. */
  | { verdict: "gone"; reason: string }
  /** This notification will never be taken; the target may be fine. */
  | { verdict: "rejected"; reason: string }
  /** Not now. `afterMs` undefined: the engine backs off by itself. */
  | { verdict: "retry"; afterMs?: number; reason: string };

/**
 * Brings notifications to devices through one service.
 *
 * An implementer MUST return a verdict for whatever the service answers, MUST give up when `signal` aborts (retry), MUST check
 * size and fields before any request (rejected), MUST take a target that says nothing but its token unless `targetFault` refuses
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
  /** Why this can't be one of the service's targets, or undefined. Asked at registration; what it says goes to the client. */
  targetFault?(target: PushAddress): string | undefined;
  /**
   * Brings it to one target.
   * @param target of those that passed `apps` and `targetFault`, with the fields that its client gave
   */
  send(target: PushAddress, notification: PushNotification, options: { signal: AbortSignal }): Promise<PushResult>;
  close?(): Promise<void>;
}
