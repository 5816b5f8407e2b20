import type { EntryName } from "../delivery/journal.ts";
import type { OpenedEntry } from "../delivery/opened_entry.ts";
import { deviceName } from "../delivery/session.ts";
import { placeOf } from "../delivery/target.ts";
import type { Sending } from "../delivery/unseen.ts";
import { isPublic, ownerOf } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import type { Policy } from "../session/policy.ts";
import type { Route } from "../session/step.ts";
import type { Arbiter } from "./arbiter.ts";
import { type Done, whyDone } from "./need.ts";
import type { PendingPushes } from "./pending.ts";
import { rowId } from "./row_id.ts";

/** What rows are made with. */
export interface RowMakerParts {
  arbiter: Arbiter;
  pending: PendingPushes;
  policy: Policy;
  clock: Clock;
}

/** The machine's word about one entry for one device. */
export interface Decision {
  readonly entry: OpenedEntry;
  readonly route: Route;
  /** As it stands in the session's window, when it was sent already. */
  readonly sending?: Sending;
}

/** What became of decisions: rows of the outbox, and entries that need none. */
export interface MadeRows {
  readonly rows: readonly NewOutboxRow[];
  readonly spared: readonly { readonly entry: EntryName; readonly userId: string; readonly why: string }[];
}

/** Turns decisions into rows: one per place that a device can be pushed to, due now or later. */
export class RowMaker {
  readonly #parts: RowMakerParts;

  constructor(parts: RowMakerParts) {
    this.#parts = parts;
  }

  /** @param record with what the user's sessions on this node have acked by now */
  async make(session: SessionRecord, record: UserRecord, decisions: readonly Decision[]): Promise<MadeRows> {
    const { arbiter, clock, pending, policy } = this.#parts;
    const { userId } = record;
    const { deviceId } = session;
    const now = clock.now();
    const rows: NewOutboxRow[] = [];
    const spared: { entry: EntryName; userId: string; why: string }[] = [];
    // One question for all of them, and only when an answer can hold something back.
    let attended: Promise<boolean> | undefined;
    for (const { entry, route } of decisions) {
      const { topic, position } = entry;
      if (record.subscriptions[topic] === undefined || entry.expiresAt <= now) continue;
      const coalesced = route.push === "coalesced";
      if (route.push !== "now" && !coalesced) continue;
      const why = whySpared(record, session, entry);
      if (why !== undefined) {
        spared.push({ entry, userId, why });
        continue;
      }
      const until = arbiter.holdsUntil(entry.sentAt);
      const isHeld = until > now && await (attended ??= arbiter.attendedElsewhere(record, deviceName(deviceId)));
      const dueAt = isHeld ? until : now;
      for (const { disabled, provider } of session.targets) {
        if (disabled !== undefined) continue;
        const targetId = placeOf(userId, deviceId, provider);
        const id = rowId(targetId, topic, position);
        if (pending.knows(id)) continue;
        rows.push({
          id,
          userId,
          deviceId,
          targetId,
          topic,
          position,
          messageId: entry.id,
          urgency: entry.urgency,
          dueAt: coalesced ? Math.max(dueAt, now + policy.coalesceMs) : dueAt,
          expiresAt: entry.expiresAt,
          coalesced,
          rule: route.rule,
        });
      }
    }
    return { rows, spared };
  }
}

/** Why a device is not pushed an entry though its route says so; undefined: it is. */
function whySpared(record: UserRecord, { deviceId }: SessionRecord, entry: OpenedEntry): string | undefined {
  const { topic, position, from } = entry;
  if (from === record.userId) {
    if (isPublic(topic)) return "the user's own message";
    if (ownerOf(topic) === from && entry.device === deviceName(deviceId)) return "sent from this device";
  }
  const done = whyDone(record, deviceId, topic, position);
  return done && SPARED[done];
}

const SPARED: Readonly<Record<Done, string>> = {
  read: "read on another device",
  dismissed: "dismissed on another device",
  handled: "dealt with on another device",
  shown: "shown on this device",
  seen: "seen on this device",
};
