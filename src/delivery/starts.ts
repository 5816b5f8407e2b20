import type { SessionRecord, UserRecord } from "../ports/users.ts";
import { progressIn } from "./records.ts";

/**
 * The record with its subscriptions beginning behind what the leaving devices have shown: the next sign-in goes on there, and
 * does not begin anew.
 */
export function withStartsBehind(record: UserRecord, leaving: readonly SessionRecord[]): UserRecord {
  const subscriptions = { ...record.subscriptions };
  for (const { deviceId } of leaving) {
    for (const [topic, { epoch, from, shown }] of Object.entries(progressIn(record, deviceId))) {
      // Where it began it has shown nothing yet.
      if (shown <= from) continue;
      const start = subscriptions[topic];
      // In another life of the log, or before it had one, a start says nothing.
      if (start !== undefined && (start.epoch !== epoch || start.offset < shown)) subscriptions[topic] = { epoch, offset: shown };
    }
  }
  return { ...record, subscriptions };
}
