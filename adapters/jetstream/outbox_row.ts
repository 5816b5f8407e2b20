import type { CancelMatch, NewOutboxRow, OutboxRow } from "../../src/ports/outbox.ts";
import { SENDING_MS } from "../../src/ports/outbox.ts";
import { tokenOf } from "../nats/subjects.ts";
import { digest, type Draft, fromBytes, type Stored, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";

/** Nodes' clocks that differ by less, and what a row takes on its way, count as the same, milliseconds. */
const CLOCKS_AGREE_MS = 1_000;
/** How long it shows that a row has ended: longer than a write of it may be under way. */
const END_SECONDS = 30;

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
export function newRow(fields: NewOutboxRow, now: number): OutboxRow {
  const { id, userId, deviceId, targetId, provider, topic, position, after, messageId } = fields;
  const { urgency, dueAt, expiresAt, coalesced, silent, collapseKey, rule } = fields;
  return {
    ...{ id, userId, deviceId, targetId, provider, topic, position, messageId },
    ...(after === undefined ? {} : { after }),
    ...{ urgency, dueAt, expiresAt, coalesced },
    ...(silent === undefined ? {} : { silent }),
    ...(collapseKey === undefined ? {} : { collapseKey }),
    ...{ rule, status: "pending", attempts: 0, note: undefined, covers: [], changedAt: now },
  };
}

/** Rows that have not ended. What ended leaves here for `endedSubject`, so a node that opens the outbox reads only what is to be done. */
export function openSubject({ prefix }: StateStream, { userId, id }: { userId: string; id: string }): string {
  return `${prefix}.p.${tokenOf(userId)}.${digest(id)}`;
}

/** All open rows of a user, or the row of that id of whichever user. */
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

/** What stands at an open row's subject. */
export interface OpenDocument {
  /** Undefined: has ended. */
  readonly open: OpenRow | undefined;
  /** The id of the write that made this. */
  readonly write: string;
}

/**
 * Reads what stands at an open row's subject.
 * @param now by this node's clock
 * @param isNew it was written just now
 */
export function readOpenDocument(subject: string, { seq, bytes }: Stored, now: number, isNew = false): OpenDocument {
  const { row, by, write, at } = fromBytes(bytes) as { row?: OutboxRow; by?: string; write: string; at: number };
  // Of a row that has stood there for a while only this is known: it was not written later than now.
  const ahead = isNew ? at - now : Math.max(0, at - now);
  const isOff = Math.abs(ahead) >= CLOCKS_AGREE_MS;
  return { open: row && { row: isOff ? earlier(row, ahead) : { ...row, note: row.note }, by, write, subject, seq }, write };
}

/** A row as clocks tell it that are so many milliseconds behind those of its writer: nodes' clocks differ, and may be set. */
function earlier(row: OutboxRow, ms: number): OutboxRow {
  const { changedAt, dueAt, expiresAt, note } = row;
  return { ...row, note, dueAt: dueAt - ms, expiresAt: expiresAt - ms, changedAt: changedAt - ms };
}

/** An open row as it is written. @param now by this node's clock, as all times in the row */
export function draftOpen({ row, by, write, subject }: Omit<OpenRow, "seq">, expected: number, now: number): Draft {
  return { subject, bytes: toBytes({ row, by, write, at: now }), expected };
}

/** What takes an open row's place when it ends. It leaves by itself. */
export function draftEnd(write: string, { subject, seq }: Pick<OpenRow, "subject" | "seq">): Draft {
  return { subject, bytes: toBytes({ write }), expected: seq, ttl: END_SECONDS };
}

/** What the row is at that time: one that was taken and not settled for too long is pending again. */
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
