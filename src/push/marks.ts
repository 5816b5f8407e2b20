import { PeykError } from "../protocol/errors.ts";
import type { MarkFrame } from "../protocol/frames.ts";
import { openEntry } from "../delivery/opened_entry.ts";
import type { Receipts } from "../delivery/receipts.ts";
import type { Session } from "../delivery/session.ts";
import type { History } from "../ports/transport.ts";
import type { PendingPushes } from "./pending.ts";

/** What marks work with. */
export interface MarkParts {
  receipts: Receipts;
  pending: PendingPushes;
  history: History | undefined;
}

/**
 * Takes in that the person read or dismissed a message: the publisher hears it, and no other device is pushed for it.
 * @returns a function that takes a mark frame of a session
 */
export function createMarks({ receipts, pending, history }: MarkParts): (session: Session, frame: MarkFrame) => Promise<void> {
  return async (session, { kind, topic, id, epoch, offset }) => {
    const reader = session.reader(topic);
    if (reader === undefined) throw new PeykError("not-subscribed", "a topic this user is not subscribed to");
    const remembered = reader.feed.recall(offset);
    const raw = remembered === undefined ? (await history?.read(topic, offset - 1, 1))?.entries[0] : undefined;
    const entry = remembered ?? (raw?.offset === offset ? openEntry(raw) : undefined);
    if (entry === undefined || entry.id !== id || entry.position.epoch !== epoch) {
      throw new PeykError("bad-message", "a mark on a message that is not there (any more)");
    }
    receipts.marked(kind, entry, session);
    await pending.dropMessage(session.userId, entry, `${kind} on a device`);
  };
}
