import type { Position, Urgency } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** A push that is to leave. Its content is read from the log when it does. */
export interface NewOutboxRow {
  /** One push per message and target: `targetId`, topic, epoch and offset make it. */
  readonly id: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly targetId: string;
  readonly topic: Topic;
  readonly position: Position;
  readonly messageId: string;
  readonly urgency: Urgency;
  /** Milliseconds since 1970. */
  readonly dueAt: number;
  readonly expiresAt: number;
  /** Held because another device of the user is attended: an ack there drops it. */
  readonly held: boolean;
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
  /** When status last changed. Milliseconds since 1970. */
  readonly changedAt: number;
}

/**
 * The durable queue of pushes. Rows enter through `Users.put`, in one step with the decision.
 *
 * An implementer MUST keep a settled row at least until it expires (its id is what prevents a second push), MUST make
 * `take` a compare-and-set, MUST turn `sending` back into `pending` once whoever took it can't be asking any more (at open, when
 * one process at a time is admitted; else `SENDING_MS` after it was taken), and MAY forget expired settled rows.
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
  /** sending → pending, due again then. */
  retry(id: string, dueAt: number, note: string): Promise<void>;
  /** Ends rows that are pending or sending. */
  settle(ids: readonly string[], end: OutboxEnd, note: string): Promise<void>;
  /**
   * Drops pending rows: of that user in that topic up to `upTo` (of one device, or only held ones), or all of a device.
   * @returns the dropped rows
   */
  cancel(match: CancelMatch, note: string): Promise<OutboxRow[]>;
  /** Whether rows that match are `sending`: somebody, anywhere, has taken them and may be about to ask a provider. */
  underWay(match: CancelMatch): Promise<boolean>;
  /** Everything known about a message, for `explain()`. */
  ofMessage(messageId: string): Promise<OutboxRow[]>;
}

/** Which rows are meant. Absent fields match all. */
export interface CancelMatch {
  userId: string;
  deviceId?: string;
  targetId?: string;
  topic?: Topic;
  upTo?: Position;
  held?: boolean;
}
