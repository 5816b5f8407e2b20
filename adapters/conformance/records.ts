import type { NewOutboxRow } from "../../src/ports/outbox.ts";
import type { Positions, SessionRecord, UserRecord, UserVersions } from "../../src/ports/users.ts";

/** A user as the cases put it: what matters is named, the rest is plain. */
export function user(userId: string, fields: Partial<UserRecord> = {}): UserRecord {
  return { userId, version: 0, seenAt: 1, subscriptions: {}, sessions: [], positions: positions(), ...fields };
}

export function positions(fields: Partial<Positions> = {}): Positions {
  return { version: 0, progress: {}, handled: {}, ...fields };
}

/** The record as it is stored after a put. */
export function asStored(record: UserRecord, { devices, positions }: UserVersions): UserRecord {
  return { ...record, version: devices, positions: { ...record.positions, version: positions } };
}

export function session(deviceId: string, fields: Partial<SessionRecord> = {}): SessionRecord {
  return { deviceId, generation: 1, node: null, changedAt: 1, targets: [], ...fields };
}

/** A push that is due at once and expires long after every case. */
export function newRow(id: string, fields: Partial<NewOutboxRow> = {}): NewOutboxRow {
  return {
    id,
    userId: "sara",
    deviceId: "phone",
    targetId: "target",
    provider: "provider",
    topic: "sara/default",
    position: { epoch: 5, offset: 1 },
    messageId: `message of ${id}`,
    urgency: "normal",
    dueAt: 0,
    expiresAt: Date.UTC(2100, 0, 1),
    coalesced: false,
    rule: "disconnected.away",
    ...fields,
  };
}
