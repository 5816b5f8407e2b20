import type { Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { NamesPage, Page } from "./page.ts";

/** A push that is to leave. Its content is read from the log when it does. */
export interface NewOutboxRow {
  /** One push per message and place that it goes to. One that stands for several has another id than that of its last message alone. */
  readonly id: string;
  readonly userId: string;
  readonly deviceId: string;
  /**
   * The place that a push goes to: one provider of one device of one user. A token that replaces another one there has the same,
   * so it is not a `PushTarget.id`. The engine makes it; a store only compares it.
   */
  readonly targetId: string;
  /** The push provider that is to bring it. */
  readonly provider: string;
  readonly topic: Topic;
  readonly position: Position;
  /** The row stands for the topic's entries after this offset, up to `position`. Absent: for the entry at `position` alone. */
  readonly after?: number;
  readonly messageId: string;
  readonly urgency: Urgency;
  /** Milliseconds since 1970. */
  readonly dueAt: number;
  readonly expiresAt: number;
  /** Waits for a while, to leave together with others of its target as one push. */
  readonly coalesced: boolean;
  /** Shows nothing, and is never part of a push that stands for several. Absent: no. */
  readonly silent?: true;
  /** Of pending rows of one target and topic with the same key the newest is enough. Absent: none. */
  readonly collapseKey?: string;
  /** The rule that decided it, for `explain()`. */
  readonly rule: string;
}

/** A row as it is added. */
export interface AddedRow extends NewOutboxRow {
  /**
   * The id of a row that this one takes the place of, if that is pending then and was never taken: it is gone, and the new row stands
   * for its entries too (`after` is the lower one). A row that was taken or has ended stays, and the new one is added as it is.
   */
  readonly replaces?: string;
}

/** A take of a row: its `attempts` since then tell it from others. */
export interface Take {
  readonly id: string;
  readonly attempts: number;
}

/**
 * How far a public topic is decided for its members' devices that are away. A pass goes through the members page by page; a page's
 * rows and its place are stored in one step.
 */
export interface TopicDecision {
  readonly topic: Topic;
  /** 0: not stored yet. Set by the store; no two stored ones of a topic have the same. */
  readonly version: number;
  readonly epoch: number;
  /** Entries up to here are decided for all members. */
  readonly decided: number;
  /** Entries up to here are to be decided. Not below `decided`; the same: nothing is open. */
  readonly goal: number;
  /** The pass under way: it decides about the entries in (decided, to]. Members up to `after`, a place in `Users.pushableMembers`, are done. */
  readonly pass?: { readonly to: number; readonly after?: string };
}

/** A push that was taken and not settled for this long, milliseconds, was taken by somebody who is gone. */
export const SENDING_MS = 120_000;

/** How a row can end. */
export type OutboxEnd = "sent" | "gone" | "rejected" | "expired" | "dropped";

/** A row as stored. */
export interface OutboxRow extends NewOutboxRow {
  readonly status: "pending" | "sending" | OutboxEnd;
  /** How often a provider was asked. */
  readonly attempts: number;
  /** What was last said about it: a provider's reason, why it was dropped. */
  readonly note: string | undefined;
  /** The ids of the other rows that left in the same push, which is named after this one. Empty for all others. */
  readonly covers: readonly string[];
  /** Names the push at its service: a secret. With the row that the push is named after, where the service gave one. Absent: no. */
  readonly handle?: string;
  /** When status last changed. Milliseconds since 1970. */
  readonly changedAt: number;
}

/**
 * The durable queue of pushes. Rows enter through `Users.put` and `decide`, in one step with how far it is decided.
 *
 * An implementer MUST keep a settled row at least until it expires (its id is what prevents a second push; one that keeps them in
 * memory MAY keep the last 10,000 only), MUST make
 * `take` a compare-and-set, MUST turn `sending` back into `pending` once whoever took it can't be asking any more (at open, when
 * one process at a time is admitted; else `SENDING_MS` after it was taken), and MAY forget expired settled rows. `cancel` and
 * `underWay` MUST look at rows as they are stored now, those that another node has just added included, and MUST NOT touch rows
 * that don't match.
 */
export interface Outbox {
  /**
   * Pending rows that are due, by due time, `limit` at most.
   *
   * @param provider only rows of this one. A store SHOULD find them without looking at others' rows. Absent: of all
   * @returns `nextDueAt`: of the first pending row that is not among `rows`; not after `now` when `limit` cut the page short
   */
  due(now: number, limit: number, provider?: string): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }>;
  /** Pending rows of targets, whatever their due time. @param topic only those of this one. Absent: of all */
  waiting(targetIds: readonly string[], topic?: Topic): Promise<OutboxRow[]>;
  /** How many rows of a topic are pending and due by then, counted up to `limit`. */
  waitingIn(topic: Topic, dueBy: number, limit: number): Promise<number>;
  /**
   * pending → sending, attempts + 1, in one step where the store can do that.
   * @returns the ids of those that were taken; another node has the others, or they ended
   */
  take(ids: readonly string[]): Promise<string[]>;
  /**
   * sending → pending, due again then. A row that another node took, or no node, MUST stay as it is. Only the take that is named is
   * given back: a call that is repeated because its answer was lost can't give back a later one.
   */
  retry(takes: readonly Take[], dueAt: number, note: string): Promise<void>;
  /**
   * Those of the rows that are pending and due sooner are due then, or when they expire if that is sooner. The note of one that was
   * never taken is `note` then; of others it stays what was said of the last request.
   */
  postpone(ids: readonly string[], dueAt: number, note: string): Promise<void>;
  /**
   * Ends rows that are pending or sending; those that have ended, or that the outbox doesn't know, stay as they are.
   *
   * Several ids that end as `sent` left as one push, named after the first: that row's `covers` MUST then be the other ids, in
   * their order, and every other row's MUST be empty. They MUST end in one step where the store can do that. Else the first row
   * MUST be written last, after all others: when the node dies in between, the first is asked again, under the same id.
   *
   * @param handle goes with the first row, and with no other
   */
  settle(ids: readonly string[], end: OutboxEnd, note: string, handle?: string): Promise<void>;
  /**
   * Drops the pending rows that match. What is `sending` stays.
   * @returns the dropped rows
   */
  cancel(match: CancelMatch, note: string): Promise<OutboxRow[]>;
  /** Whether rows that match are `sending`: somebody, anywhere, has taken them and may be about to ask a provider. */
  underWay(match: CancelMatch): Promise<boolean>;
  /**
   * Everything known about a message, however it ended.
   *
   * @param ids only rows with one of these. A store MUST find them without looking at the message's other rows: of a room each member
   * has some. Absent: all, for `explain()`. Other senders' messages may have the same id
   */
  ofMessage(messageId: string, ids?: readonly string[]): Promise<OutboxRow[]>;
  /** How far a public topic is decided; undefined: nothing is stored. */
  decision(topic: Topic): Promise<TopicDecision | undefined>;
  /**
   * Stores how far a topic is decided if the stored version is still that one (0: none), adding `rows`, 200 at most, in the same
   * step. Rows whose id the outbox knows are left as they are.
   * @returns the new version, or undefined when another node was faster and nothing was changed
   */
  decide(decision: TopicDecision, rows: readonly AddedRow[]): Promise<number | undefined>;
  /** Topics whose `goal` is beyond `decided`. */
  undecided(page: Page): Promise<NamesPage>;
}

/** Which rows are meant: those that agree in all fields given. Absent fields match all. */
export interface CancelMatch {
  userId: string;
  deviceId?: string;
  targetId?: string;
  topic?: Topic;
  /** Rows with these ids; an empty list matches none. A store SHOULD look at these only, and not at all of the user's. */
  ids?: readonly string[];
}
