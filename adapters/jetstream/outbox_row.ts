import type { CancelMatch, NewOutboxRow, OutboxRow } from "../../src/ports/outbox.ts";
import { SENDING_MS } from "../../src/ports/outbox.ts";
import { tokenOf } from "../nats/subjects.ts";
import { digest, fromBytes, type Stored } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";

/** A row that is pending or sending, as stored. */
export interface OpenRow {
  readonly row: OutboxRow;
  /** Who took it, and may therefore give it back. */
  readonly by: string | undefined;
  /** The id of the write that made this. */
  readonly write: string;
  readonly subject: string;
  readonly seq: number;
}

/** A row as it is stored first. Nothing of it that the port doesn't know comes along. */
export function newRow(
  { id, userId, deviceId, targetId, topic, position, messageId, urgency, dueAt, expiresAt, coalesced, rule }: NewOutboxRow,
  now: number,
): OutboxRow {
  return {
    ...{ id, userId, deviceId, targetId, topic, position, messageId, urgency, dueAt, expiresAt, coalesced, rule },
    ...{ status: "pending", attempts: 0, note: undefined, covers: [], changedAt: now },
  };
}

/** Rows that have not ended. What ended leaves here for `endedSubject`, so whoever opens the outbox reads only what is to be done. */
export function openSubject({ prefix }: StateStream, { userId, id }: { userId: string; id: string }): string {
  return `${prefix}.p.${tokenOf(userId)}.${digest(id)}`;
}

/** All open rows of a user, or the row of that id whosever it is. */
export function openFilter({ prefix }: StateStream, what: { userId: string } | { id: string }): string {
  return "userId" in what ? `${prefix}.p.${tokenOf(what.userId)}.*` : `${prefix}.p.*.${digest(what.id)}`;
}

/** Rows that ended, until they expire. */
export function endedSubject(stream: StateStream, { messageId, id }: { messageId: string; id: string }): string {
  return `${endedPrefix(stream, messageId)}.${digest(id)}`;
}

export function endedPrefix({ prefix }: StateStream, messageId: string): string {
  return `${prefix}.o.${digest(messageId)}`;
}

/** @returns undefined when the row has ended */
export function readOpenRow(subject: string, stored: Stored): OpenRow | undefined {
  const { row, by, write } = fromBytes(stored.bytes) as { row?: OutboxRow; by?: string; write: string };
  return row && { row: { ...row, note: row.note }, by, write, subject, seq: stored.seq };
}

/** What the row is at that time: one that somebody took and has not settled for too long is pending again. */
export function asOf(now: number, row: OutboxRow): OutboxRow {
  return row.status === "sending" && pendingAgainAt(row) <= now ? { ...row, status: "pending" } : row;
}

export function pendingAgainAt(row: OutboxRow): number {
  return row.changedAt + SENDING_MS;
}

/** But for the ids, by which they were found. */
export function matches(row: OutboxRow, { userId, deviceId, targetId, topic }: CancelMatch): boolean {
  return row.userId === userId &&
    (deviceId === undefined || row.deviceId === deviceId) &&
    (targetId === undefined || row.targetId === targetId) &&
    (topic === undefined || row.topic === topic);
}
