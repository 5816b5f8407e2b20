import { DEFAULT_TTL_SECONDS } from "../protocol/message.ts";
import { PeykError } from "../protocol/errors.ts";
import type { UserRecord } from "../ports/users.ts";
import { isAway, withoutDevices } from "./records.ts";
import { isEnabled } from "./target.ts";
import { isForgotten, withoutTemporary } from "./temporary.ts";

/** What has not been here for so long is forgotten: 60 days beyond the longest that a message may live. */
export const FORGET_AFTER_MS = (DEFAULT_TTL_SECONDS + 60 * 24 * 3600) * 1_000;

/** Temporary devices of a user. They are not among the others, but each makes the record longer. */
export const MOST_TEMPORARY = 200;

/**
 * The record with room for a device that attaches: temporary ones that left an hour ago are forgotten, those that were away for very
 * long too, and of too many the one that was away the longest, one without a push target first. Temporary devices and others make no
 * room for each other.
 *
 * @param most devices that are not temporary
 * @returns the record without the devices that had to go
 * @throws {PeykError} `too-many` when all of them are here
 */
export function withRoomFor(
  known: UserRecord,
  { deviceId, temporary }: { readonly deviceId: string; readonly temporary: boolean },
  most: number,
  now: number,
): UserRecord {
  const record = withoutTemporary(known, (session) => session.deviceId !== deviceId && isForgotten(session, now));
  const alike = record.sessions.filter((session) => (session.temporary === true) === temporary);
  if (alike.some((session) => session.deviceId === deviceId)) return record;
  const room = temporary ? MOST_TEMPORARY : most;
  const away = alike.filter((session) => isAway(session) && session.leaving !== true)
    .sort((a, b) => Number(a.targets.some(isEnabled)) - Number(b.targets.some(isEnabled)) || a.changedAt - b.changedAt);
  const gone = new Set(away.filter(({ changedAt }) => changedAt < now - FORGET_AFTER_MS));
  for (const session of away) {
    if (alike.length - gone.size < room) break;
    gone.add(session);
  }
  if (alike.length - gone.size >= room) {
    const which = temporary ? `${room} temporary ones` : `${room}`;
    throw new PeykError("too-many", "too many devices", {
      hint: `A user may have ${which} that are connected or were just now.`,
    });
  }
  // The device that comes has begun at the furthest of all, these included. What waits for these is dropped by the last look.
  return gone.size === 0 ? record : withoutDevices(record, (session) => gone.has(session));
}
