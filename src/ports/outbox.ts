import type { Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** A push that is to leave. Its content is read from the log when it does. */
export interface NewOutboxRow {
  /** One push per message and place that it goes to: `targetId`, topic, epoch and offset make it. */
  readonly id: string;
  readonly userId: string;
  readonly deviceId: string;
  /**
   * The place that a push goes to: one provider of one device of one user. A token that replaces another one there has the same,
   * so it is not a `PushTarget.id`. The engine makes it; a store only compares it.
   */
  readonly targetId: string;
  readonly topic: Topic;
  readonly position: Position;
  readonly messageId: string;
  readonly urgency: Urgency;
  /** Milliseconds since 1970. */
  readonly dueAt: number;
  readonly expiresAt: number;
  /** May leave together with others of its target, as one push. */
  readonly coalesced: boolean;
  /** The rule that decided it, for `explain()`. */
  readonly rule: string;
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
  /** When status last changed. Milliseconds since 1970. */
  readonly changedAt: number;
}

/**
 * The durable queue of pushes. Rows enter through `Users.put`, in one step with the decision.
 *
 * An implementer MUST keep a settled row at least until it expires (its id is what prevents a second push), MUST make
 * `take` a compare-and-set, MUST turn `sending` back into `pending` once whoever took it can't be asking any more (at open, when
 * one process at a time is admitted; else `SENDING_MS` after it was taken), and MAY forget expired settled rows. `cancel` and
 * `underWay` MUST look at rows as they are stored now, those that another node has just added included, and MUST NOT touch rows
 * that don't match.
 */
export interface Outbox {
  /**
   * Pending rows that are due, by due time, `limit` at most.
   * @returns `nextDueAt`: of the first pending row that is not among `rows`; not after `now` when `limit` cut the page short
   */
  due(now: number, limit: number): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }>;
  /** Pending coalesced rows of a target, whatever their due time. */
  coalescedOf(targetId: string): Promise<OutboxRow[]>;
  /** pending → sending, attempts + 1. False: somebody else has it, or it ended. */
  take(id: string): Promise<boolean>;
  /**
   * sending → pending, due again then. A row that another node took, or no node, MUST stay as it is.
   *
   * @param attempt the row's `attempts` since it was taken: only that take is given back, so a call that is repeated because its
   * answer was lost can't give back a later one. Absent: whichever it is
   */
  retry(id: string, dueAt: number, note: string, attempt?: number): Promise<void>;
  /**
   * Ends rows that are pending or sending; those that have ended, or that the outbox doesn't know, stay as they are.
   *
   * Several ids that end as `sent` left as one push, named after the first: that row's `covers` MUST then be the other ids, in
   * their order, and every other row's MUST be empty. They MUST end in one step where the store can do that. Else the first row
   * MUST be written last, after all others: when the node dies in between, the first is asked again, under the same id.
   */
  settle(ids: readonly string[], end: OutboxEnd, note: string): Promise<void>;
  /**
   * Drops the pending rows that match. What is `sending` stays.
   * @returns the dropped rows
   */
  cancel(match: CancelMatch, note: string): Promise<OutboxRow[]>;
  /** Whether rows that match are `sending`: somebody, anywhere, has taken them and may be about to ask a provider. */
  underWay(match: CancelMatch): Promise<boolean>;
  /** Everything known about a message, for `explain()`. */
  ofMessage(messageId: string): Promise<OutboxRow[]>;
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
