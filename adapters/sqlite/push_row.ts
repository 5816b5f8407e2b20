import type { OutboxRow } from "../../src/ports/outbox.ts";
import type { Urgency } from "../../src/protocol/message.ts";

/** A row of the table `push` as the port shows it. */
export function readRow(row: Record<string, unknown>): OutboxRow {
  return {
    id: String(row.id),
    userId: String(row.user),
    deviceId: String(row.device),
    targetId: String(row.target),
    provider: String(row.provider),
    topic: String(row.topic),
    position: { epoch: Number(row.epoch), offset: Number(row.position) },
    ...row.after === null ? {} : { after: Number(row.after) },
    messageId: String(row.message),
    urgency: String(row.urgency) as Urgency,
    dueAt: Number(row.due),
    expiresAt: Number(row.expires),
    coalesced: row.coalesced === 1,
    ...row.silent === 1 ? { silent: true } : {},
    ...row.collapse === null ? {} : { collapseKey: String(row.collapse) },
    rule: String(row.rule),
    status: String(row.status) as OutboxRow["status"],
    attempts: Number(row.attempts),
    note: row.note === null ? undefined : String(row.note),
    covers: row.covers === null ? [] : JSON.parse(String(row.covers)) as string[],
    ...row.handle === null ? {} : { handle: String(row.handle) },
    changedAt: Number(row.changed),
  };
}
