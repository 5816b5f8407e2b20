import { PeykError } from "../protocol/errors.ts";
import type { MarkFrame } from "../protocol/frames.ts";
import type { Outbox } from "../ports/outbox.ts";
import type { History } from "../ports/transport.ts";
import { openEntry } from "./opened_entry.ts";
import type { Receipts } from "./receipts.ts";
import type { Session } from "./session.ts";

/** What marks work with. */
export interface MarkParts {
  receipts: Receipts;
  outbox: Outbox;
  history: History | undefined;
}

/**
 * Takes in that the person read or dismissed a message: the publisher hears it, and no other device is pushed for it.
 * @returns a function that takes a mark frame of a session
 */
export function createMarks({ receipts, outbox, history }: MarkParts): (session: Session, frame: MarkFrame) => Promise<void> {
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
    const waiting = (await outbox.ofMessage(id)).filter((row) =>
      row.status === "pending" && row.userId === session.userId && row.topic === topic && row.position.offset === offset
    );
    if (waiting.length > 0) await outbox.settle(waiting.map((row) => row.id), "dropped", `${kind} on a device`);
  };
}
