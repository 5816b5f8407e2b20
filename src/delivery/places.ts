import type { Cursor } from "../protocol/frames.ts";
import type { Position } from "../protocol/message.ts";
import { isPublic, type Topic } from "../protocol/names.ts";
import type { Outbox, TopicDecision } from "../ports/outbox.ts";
import type { History } from "../ports/transport.ts";
import type { Progress, SessionRecord, UserRecord } from "../ports/users.ts";
import type { Feed } from "./feed.ts";
import type { Hub } from "./hub.ts";
import { progressIn, sessionOf } from "./records.ts";
import type { Reader } from "./session.ts";
import { isEnabled } from "./target.ts";

/** Where a device goes on in a topic. */
export interface Place {
  readonly feed: Feed<Reader>;
  readonly progress: Progress;
  readonly recovered: boolean;
}

/** Finds where devices go on, in each of their topics. */
export class Places {
  readonly #hub: Hub;
  readonly #history: History | undefined;
  readonly #outbox: Pick<Outbox, "decision">;

  constructor(hub: Hub, history: History | undefined, outbox: Pick<Outbox, "decision">) {
    this.#hub = hub;
    this.#history = history;
    this.#outbox = outbox;
  }

  /** Opens a device's feeds and finds where it goes on in each. When one fails, none stays open. */
  async open(record: UserRecord, deviceId: string, cursors: readonly Cursor[]): Promise<Place[]> {
    const topics = Object.keys(record.subscriptions);
    const session = sessionOf(record, deviceId);
    const claimed = new Map(cursors.map((cursor) => [cursor.topic, cursor]));
    // Feeds are open before their heads are looked at: nothing falls between. What need not wait is not awaited: at a thousand
    // handshakes a second the promises alone would make the heap grow.
    const feeds = topics.map((topic) => this.#hub.open(topic));
    try {
      const places: Place[] = [];
      // All at once where one has to be waited for: a second failure would have nobody who hears it.
      if (feeds.some((opened) => opened instanceof Promise)) await Promise.all(feeds);
      for (const opened of feeds) {
        const feed = opened instanceof Promise ? await opened : opened;
        let known = progressOf(record, session, feed.topic);
        // Of a device that was away the topic's own decision says how far it is decided.
        if (
          session?.node === null && isPublic(feed.topic) && session.targets.some(isEnabled) && known.decided < feed.head.offset
        ) {
          known = withDecision(known, await this.#outbox.decision(feed.topic));
        }
        const placed = this.#place(feed, known, claimed.get(feed.topic), session === undefined);
        places.push(placed instanceof Promise ? await placed : placed);
      }
      return places;
    } catch (error) {
      for (const feed of await Promise.allSettled(feeds)) if (feed.status === "fulfilled") this.release([{ feed: feed.value }]);
      throw error;
    }
  }

  #place(feed: Feed<Reader>, known: Progress, cursor: Cursor | undefined, fresh: boolean): Place | Promise<Place> {
    const history = this.#history;
    const { head } = feed;
    if (history === undefined || cursor?.epoch !== head.epoch || cursor.offset <= head.offset) {
      return this.#placeWithin(head, feed, known, cursor, fresh);
    }
    // The device may be further than this node was told of, but nobody is further than the log.
    return history.read(feed.topic, cursor.offset, 1).then((page) => this.#placeWithin(page.head, feed, known, cursor, fresh));
  }

  /** At the furthest of what the store and the device know, if the log still has what follows. */
  #placeWithin(
    { epoch, offset: head }: Position,
    feed: Feed<Reader>,
    known: Progress,
    cursor: Cursor | undefined,
    fresh: boolean,
  ): Place | Promise<Place> {
    const history = this.#history;
    const { failed, passedOver } = known;
    const same = known.epoch === epoch;
    let acked = same ? known.acked : 0;
    const related = (same || known.acked === 0) && (cursor === undefined || cursor.offset === 0 || cursor.epoch === epoch);
    if (cursor !== undefined && cursor.epoch === epoch) acked = Math.max(acked, Math.min(cursor.offset, head));
    const at = (floor: number): Place => {
      const start = Math.max(acked, floor);
      // Of what was before a hole, or in another life of the log, nothing is known.
      const goesOn = start === acked && same;
      const progress: Progress = {
        epoch,
        from: goesOn ? known.from : start,
        acked: start,
        shown: goesOn ? known.shown : start,
        // What was acked beyond may have been in the background, and its push not written down when the node died.
        decided: goesOn ? known.decided : Math.max(start, same ? known.decided : 0),
      };
      return {
        feed,
        progress: goesOn && failed !== undefined ? { ...progress, failed } : progress,
        // A new device begins with what is there; an old one has missed something.
        recovered: (related && history !== undefined && start === acked && !passedOver) || (fresh && cursor === undefined),
      };
    };
    if (acked >= head) return at(0);
    return history === undefined ? at(head) : history.read(feed.topic, acked, 1).then(({ floor }) => at(floor));
  }

  release(places: readonly { feed: Feed<Reader> }[]): void {
    for (const { feed } of places) this.#hub.release(feed);
  }
}

function withDecision(known: Progress, decision: TopicDecision | undefined): Progress {
  return decision?.epoch === known.epoch && decision.decided > known.decided ? { ...known, decided: decision.decided } : known;
}

/** How far a stored session is in a topic, or where one without a past begins: at the user's furthest device, else where the subscription began. */
export function progressOf(record: UserRecord, session: SessionRecord | undefined, topic: Topic): Progress {
  const own = session && progressIn(record, session.deviceId)[topic];
  if (own !== undefined) return own;
  let { epoch, offset } = record.subscriptions[topic] ?? { epoch: 0, offset: 0 };
  for (const { deviceId } of record.sessions) {
    const other = progressIn(record, deviceId)[topic];
    if (other !== undefined && other.acked > offset) ({ epoch, acked: offset } = other);
  }
  return { epoch, from: offset, acked: offset, shown: offset, decided: offset };
}
