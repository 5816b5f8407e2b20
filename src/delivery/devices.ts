import { DEFAULT_TTL_SECONDS } from "../protocol/message.ts";
import { PeykError } from "../protocol/errors.ts";
import type { UserRecord } from "../ports/users.ts";
import { isAway, withoutDevices } from "./records.ts";
import { isEnabled } from "./target.ts";

/** What has not been here for so long is forgotten: 60 days beyond the longest that a message may live. */
export const FORGET_AFTER_MS = (DEFAULT_TTL_SECONDS + 60 * 24 * 3600) * 1_000;

/**
 * The record with room for one more device: those that were away for very long are forgotten, and of too many the one that was away
 * the longest, one without a push target first.
 *
 * @returns the record without the devices that had to go
 * @throws {PeykError} `too-many` when all of them are here
 */
export function withRoomFor(
  record: UserRecord,
  deviceId: string,
  most: number,
  now: number,
): UserRecord {
  if (record.sessions.some((session) => session.deviceId === deviceId)) return record;
  const away = record.sessions.filter((session) => isAway(session) && session.leaving !== true)
    .sort((a, b) => Number(a.targets.some(isEnabled)) - Number(b.targets.some(isEnabled)) || a.changedAt - b.changedAt);
  const gone = new Set(away.filter(({ changedAt }) => changedAt < now - FORGET_AFTER_MS));
  for (const session of away) {
    if (record.sessions.length - gone.size < most) break;
    gone.add(session);
  }
  if (record.sessions.length - gone.size >= most) {
    throw new PeykError("too-many", "too many devices", { hint: `A user may have ${most} that are connected or were just now.` });
  }
  // The device that comes has begun at the furthest of all, these included. What waits for these is dropped by the last look.
  return gone.size === 0 ? record : withoutDevices(record, (session) => gone.has(session));
}
