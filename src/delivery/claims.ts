import type { Cursor } from "../protocol/frames.ts";
import type { Position } from "../protocol/message.ts";
import { PeykError } from "../protocol/errors.ts";
import { DEFAULT_CHANNEL, topicOf } from "../protocol/names.ts";
import type { UserRecord } from "../ports/users.ts";
import type { Place, Places } from "./places.ts";
import { withProgressHere } from "./progress.ts";
import type { UserRecords } from "./records.ts";
import type { Roster } from "./roster.ts";

/** What claiming works with. */
export interface ClaimParts {
  places: Places;
  records: UserRecords;
  roster: Roster;
}

/** How often in a row another node's change may come between. */
const MAX_RACES = 50;

/** Makes this node the one that holds a session, in the store, with the session's feeds open. */
export class Claims {
  /** Users whose record may name this node for a session that it does not hold: a write was not answered. */
  readonly unsure = new Set<string>();
  readonly #parts: ClaimParts;

  constructor(parts: ClaimParts) {
    this.#parts = parts;
  }

  /**
   * Opens a device's feeds and writes the record. Another node may change the subscriptions meanwhile and knows nothing yet of
   * this attachment: then all of it begins again. When it fails, the feeds are let go.
   *
   * @param change undefined: there is nothing to write
   */
  async claim(
    userId: string,
    deviceId: string,
    cursors: readonly Cursor[],
    change: (current: UserRecord, places: readonly Place[]) => UserRecord | undefined,
  ): Promise<{ record: UserRecord; places: Place[] }> {
    const { places: all, records, roster } = this.#parts;
    for (let race = 0; race < MAX_RACES; race++) {
      const read = await records.store.get(userId) ?? records.newUser(userId);
      const begun = withOwnDefault(read);
      const known = withProgressHere(begun, roster);
      const places = await all.open(known, deviceId, cursors);
      let moved = false;
      let written = false;
      try {
        const record = await records.updateHeld(userId, (stored) => {
          // With what the devices that are here have acked since the store was last told.
          const current = withProgressHere(stored === read ? begun : withOwnDefault(stored), roster);
          moved = !sameSubscriptions(current, known);
          const next = moved ? undefined : change(current, places);
          written ||= next !== undefined;
          return next && { record: next };
        }, read);
        if (!moved) return { record, places };
      } catch (error) {
        all.release(places);
        if (written) this.unsure.add(userId);
        throw error;
      }
      all.release(places);
    }
    throw new PeykError("unavailable", "a user's subscriptions change too fast", { retryable: true });
  }

  /** Lets the feeds of a claim go that is not kept. */
  release(places: readonly Place[]): void {
    this.#parts.places.release(places);
  }
}

function sameSubscriptions({ subscriptions: a }: UserRecord, { subscriptions: b }: UserRecord): boolean {
  if (a === b) return true;
  const topics = Object.keys(a);
  return topics.length === Object.keys(b).length &&
    topics.every((topic) => a[topic]!.epoch === b[topic]?.epoch && a[topic]!.offset === b[topic].offset);
}

/** Everybody reads their own `default` channel, from its beginning. */
function withOwnDefault(record: UserRecord): UserRecord {
  const topic = topicOf(record.userId, DEFAULT_CHANNEL);
  if (record.subscriptions[topic] !== undefined) return record;
  return { ...record, subscriptions: { ...record.subscriptions, [topic]: BEGINNING } };
}

/** The same place for everybody. */
const BEGINNING: Position = Object.freeze({ epoch: 0, offset: 0 });
