import type { Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { Route } from "../session/step.ts";

/** What can happen to one message on its way to one device. */
export type NoteKind =
  | "routed" // the machine decided; `detail` is the rule
  | "seen" // the client has the frame
  | "acked" // the app's handler is done
  | "failed" // the app's handler gave up
  | "diverted" // the reader is slow: it goes on from the log
  | "expired" // nobody needs it any more
  | "push-spared" // a push would leave, and is not needed; `detail` says why
  | "push-queued" // a push is to leave
  | "push-held" // … later; `detail` says what it waits for
  | "push-released" // … now: what it waited for did not come; `detail` says what
  | "push-sent" // a provider took it
  | "push-retry" // a provider said: not now
  | "push-gone" // the target is dead
  | "push-rejected" // a provider will never take it
  | "push-dropped" // not needed any more; `detail` says why
  | "read"
  | "dismissed";

/** A message's address in its log, with what names it. */
export interface EntryName {
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
}

/** Whose device. `device` is the short hash that stands for a deviceId. */
export interface DeviceName {
  readonly userId: string;
  readonly device: string;
}

/** A line of an explanation, also an engine event. */
export interface Note extends EntryName, DeviceName {
  readonly kind: NoteKind;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly detail: string | undefined;
}

/** A message the log has. */
export interface AcceptedEntry extends EntryName {
  readonly from: string | undefined;
  readonly urgency: Urgency;
  readonly sentAt: number;
}

/** What is counted of a public entry. Shared by everybody who holds it, so that a delivery costs one addition. */
export interface Account {
  /** Devices whose handler is done. */
  delivered: number;
}

/** Where delivery and push write down what they decided and what came of it. */
export interface Journal {
  /** @returns where its deliveries are counted */
  accepted(entry: AcceptedEntry): Account;
  /** The machine's decision for one device. For public topics it is only counted. */
  routed(entry: EntryName, who: DeviceName, state: string, route: Route): void;
  /** How many devices of a public topic got this route, when they were decided as a group. */
  counted(entry: EntryName, route: Route, devices: number): void;
  note(entry: EntryName, who: DeviceName, kind: NoteKind, detail?: string): void;
}
