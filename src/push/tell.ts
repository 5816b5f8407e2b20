import type { Journal, NoteKind, PushFacts } from "../delivery/journal.ts";
import { deviceName } from "../delivery/session.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";

/** Tells what happens to a row of the outbox: of its message, for its device. */
export function tell(journal: Journal, row: NewOutboxRow, kind: NoteKind, detail: string, facts?: PushFacts): void {
  const { messageId: id, topic, position, userId, deviceId, provider } = row;
  journal.note({ id, topic, position }, { userId, device: deviceName(deviceId) }, kind, detail, { provider, ...facts });
}
