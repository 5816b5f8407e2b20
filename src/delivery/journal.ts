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
  | "push-asked" // a provider was asked, and its answer is not known; only in explain(), for as long as that is so
  | "push-sent" // a provider took it; `detail` says how, and in which push where that stands for several messages
  | "push-retry" // a provider said: not now; `detail` says why, and `until` when it is asked again
  | "push-gone" // the target is dead
  | "push-rejected" // a provider will never take it
  | "push-dropped" // not needed any more; `detail` says why
  | "target-rested" // nothing leaves for this target before `until`; `detail` is what its provider said
  | "target-replaced" // its provider knows the target by another token; `detail` says what became of it
  | "read"
  | "dismissed";

/** A message's address in its log, with what names it. */
export interface EntryName {
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
}

/** A message that something happened to. */
export interface NotedEntry extends EntryName {
  /** As `accepted` gave it: it spares the look-up. */
  readonly account?: Account | undefined;
}

/** Whose device. `device` is the short hash that stands for a deviceId. */
export interface DeviceName {
  readonly userId: string;
  readonly device: string;
}

/** What is told of a push beside its message and device. */
export interface PushFacts {
  /** Which push provider it is of: with each a device has one target at most. Absent: it is not of one target. */
  readonly provider?: string | undefined;
  /** The target by the hash that `sessions()` shows. Absent before it leaves, and where only the outbox remembers it. */
  readonly target?: string | undefined;
  /** Of what waits: it does not leave before then. Milliseconds since 1970. */
  readonly until?: number | undefined;
}

/** A line of an explanation, also an engine event. */
export interface Note extends EntryName, DeviceName, PushFacts {
  readonly kind: NoteKind;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly detail: string | undefined;
}

/** A message the log has. */
export interface AcceptedEntry extends NotedEntry {
  readonly from: string | undefined;
  readonly urgency: Urgency;
  readonly sentAt: number;
}

/** An entry of a log that delivery holds. */
export interface BroughtEntry extends AcceptedEntry {
  account: Account | undefined;
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
  /**
   * Entries of one topic, rising, that a device is brought from the log at once. Says to each where its deliveries are counted.
   *
   * @param decision the machine's for all of them; undefined: it was made before
   */
  brought(entries: readonly BroughtEntry[], who: DeviceName, decision: { state: string; route: Route } | undefined): void;
  /** The machine's decision for one device. For public topics it is only counted. */
  routed(entry: NotedEntry, who: DeviceName, state: string, route: Route): void;
  /** How many devices of a public topic got this route, when they were decided as a group. */
  counted(entry: NotedEntry, route: Route, devices: number): void;
  note(entry: NotedEntry, who: DeviceName, kind: NoteKind, detail?: string, push?: PushFacts): void;
}
