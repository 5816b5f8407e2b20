import { isPublic } from "../protocol/names.ts";
import type { Journal } from "./journal.ts";
import type { Reader } from "./session.ts";

/**
 * The entries up to `to` that have expired are passed over: an ack beyond them does not deliver them. Where they are private it is
 * written down. Only of those that this node has at hand, since the log has them no more; of what was decided before, pushes tell.
 */
export function passExpired(reader: Reader, to: number, journal: Journal, now: number): void {
  const { acked, decided, feed, sent, session } = reader;
  feed.between(Math.max(acked, sent), to, (entry) => {
    const { offset } = entry.position;
    if (entry.expiresAt > now || !reader.pass(offset)) return;
    if (!isPublic(feed.topic) && offset > decided) journal.note(entry, session, "expired");
  });
}
