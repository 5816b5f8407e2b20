import { CloseCode } from "../protocol/codes.ts";
import type { Cursor, Recovery } from "../protocol/frames.ts";
import { DEFAULT_CHANNEL, type Topic, topicOf } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { History } from "../ports/transport.ts";
import type { Progress, SessionRecord, UserRecord } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import type { CatchUp } from "./catch_up.ts";
import type { Counters } from "./counters.ts";
import type { Feed } from "./feed.ts";
import type { Hub } from "./hub.ts";
import type { Outlet } from "./outlet.ts";
import { withProgressOf } from "./progress.ts";
import type { PushCancellation } from "./push_requests.ts";
import { sessionOf, type UserRecords, withSession } from "./records.ts";
import type { Roster } from "./roster.ts";
import { Reader, Session } from "./session.ts";

/** A connection that proved whose it is. */
export interface AttachRequest {
  userId: string;
  deviceId: string;
  visible: boolean;
  attended: boolean;
  /** How far the device says it is. */
  cursors: readonly Cursor[];
  outlet: Outlet;
  /** Called in the turn in which the session takes the connection, before any entry is written. */
  ready(session: Session, recovery: Recovery[]): void;
}

/** What attaching works with. */
export interface AttachParts {
  node: string;
  records: UserRecords;
  pushes: PushCancellation;
  history: History | undefined;
  hub: Hub;
  roster: Roster;
  actor: SessionActor;
  catchUp: CatchUp;
  counters: Counters;
  clock: Clock;
}

/** Where a device goes on in a topic. */
interface Place {
  readonly progress: Progress;
  readonly recovered: boolean;
}

/** Brings sessions to life: when a connection comes, or when the node that held them died. */
export class Attachments {
  readonly #parts: AttachParts;

  constructor(parts: AttachParts) {
    this.#parts = parts;
  }

  /** Gives the session a connection; whoever had it before is told that it was replaced. */
  async attach(request: AttachRequest): Promise<void> {
    const { records } = this.#parts;
    await this.#suspendFormerUsers(request.userId, request.deviceId);
    await records.exclusively(request.userId, () => this.#attachHeld(request));
  }

  async #attachHeld({ userId, deviceId, visible, attended, cursors, outlet, ready }: AttachRequest): Promise<void> {
    const { actor, catchUp, clock, counters, node, records, roster } = this.#parts;
    const before = roster.find(userId, deviceId);
    if (before?.outlet !== undefined && before.outlet.order > outlet.order) {
      return outlet.close(CloseCode.replaced, "a newer connection has the session");
    }
    const fresh = { value: false };
    const record = await records.updateHeld(userId, (stored) => {
      // What the devices that are here have acked since the store was last told.
      const current = roster.of(userId).reduce(withProgressOf, stored);
      const session = sessionOf(current, deviceId);
      fresh.value = session === undefined;
      const attached: SessionRecord = {
        ...(session ?? { deviceId, targets: [], progress: {} }),
        generation: (session?.generation ?? 0) + 1,
        node,
        changedAt: clock.now(),
      };
      return { record: { ...withSession(withOwnDefault(current), attached), seenAt: clock.now() } };
    });
    const stored = sessionOf(record, deviceId)!;
    const session = new Session(userId, deviceId, stored.generation, before?.state ?? actor.stepper.start);
    const recovery: Recovery[] = [];
    const topics = Object.keys(record.subscriptions);
    // Feeds are open before their heads are looked at: nothing falls between. What need not wait is not awaited: at a thousand
    // handshakes a second the promises alone would make the heap grow.
    const feeds = topics.map((topic) => this.#parts.hub.open(topic));
    session.readers = new Array<Reader>(feeds.length);
    for (const [index, opened] of feeds.entries()) {
      const feed = opened instanceof Promise ? await opened : opened;
      const cursor = cursors.find(({ topic }) => topic === feed.topic);
      const placed = this.#place(feed, progressOf(record, stored, feed.topic), cursor, fresh.value);
      const place = placed instanceof Promise ? await placed : placed;
      session.readers[index] = new Reader(session, feed, place.progress);
      recovery.push({ topic: feed.topic, epoch: place.progress.epoch, offset: place.progress.acked, recovered: place.recovered });
      if (!place.recovered) counters.gaps++;
    }
    if (before !== undefined) this.dismantle(before, CloseCode.replaced, "a newer connection took the session");
    this.#enlist(session, stored);
    session.outlet = outlet;
    counters.attached++;
    actor.raise(session, visible ? SessionEvent["attach.visible"] : SessionEvent["attach.background"]);
    if (attended && visible) actor.raise(session, SessionEvent.attended);
    ready(session, recovery);
    catchUp.resume(session);
  }

  /** A session of a node that died, or of this one's last life: held as recent, so that it can come back or be decided for. */
  async restore(userId: string): Promise<void> {
    const { actor, clock, hub, node, records, roster } = this.#parts;
    await records.exclusively(userId, async () => {
      const orphaned = (session: SessionRecord): boolean =>
        session.node !== null && session.node !== node && roster.find(userId, session.deviceId) === undefined;
      const record = await records.updateHeld(userId, (stored) => {
        if (!stored.sessions.some(orphaned)) return undefined;
        const sessions = stored.sessions.map((session) =>
          orphaned(session) ? { ...session, node, changedAt: clock.now() } : session
        );
        return { record: { ...stored, sessions } };
      });
      for (const stored of record.sessions) {
        if (stored.node !== node || roster.find(userId, stored.deviceId) !== undefined) continue;
        const session = new Session(userId, stored.deviceId, stored.generation, actor.stepper.start);
        for (const topic of Object.keys(record.subscriptions)) {
          const feed = await hub.open(topic);
          session.readers.push(new Reader(session, feed, progressOf(record, stored, topic)));
        }
        this.#enlist(session, stored);
        actor.raise(session, SessionEvent.orphaned);
      }
    });
  }

  /** Takes a session out of this node's memory. */
  dismantle(session: Session, code: number, reason: string): void {
    const { actor, hub, roster } = this.#parts;
    const { outlet } = session;
    session.outlet = undefined;
    actor.forget(session);
    roster.remove(session);
    for (const reader of session.readers) {
      reader.feed.leave(reader);
      hub.release(reader.feed);
    }
    session.readers = [];
    outlet?.close(code, reason);
  }

  #enlist(session: Session, stored: SessionRecord): void {
    const { actor, roster } = this.#parts;
    roster.add(session);
    for (const reader of session.readers) {
      reader.attachedAt = reader.feed.head.offset;
      reader.feed.join(reader);
    }
    const hasTarget = stored.targets.some(({ disabled }) => disabled === undefined);
    actor.raise(session, hasTarget ? SessionEvent["target.some"] : SessionEvent["target.none"]);
  }

  /** Where a device goes on in a topic: at the furthest of what the store and the device know, if the log still has what follows. */
  #place(feed: Feed<Reader>, known: Progress, cursor: Cursor | undefined, fresh: boolean): Place | Promise<Place> {
    const { history } = this.#parts;
    const { epoch, offset: head } = feed.head;
    const same = known.epoch === epoch;
    let acked = same ? known.acked : 0;
    const related = (same || known.acked === 0) && (cursor === undefined || cursor.offset === 0 || cursor.epoch === epoch);
    if (cursor !== undefined && cursor.epoch === epoch) acked = Math.max(acked, Math.min(cursor.offset, head));
    const at = (floor: number): Place => {
      const start = Math.max(acked, floor);
      return {
        progress: { epoch, acked: start, decided: Math.max(start, same ? known.decided : 0) },
        // A new device begins with what is there; an old one has missed something.
        recovered: related && (start === acked || (fresh && cursor === undefined)),
      };
    };
    if (acked >= head) return at(0);
    return history === undefined ? at(head) : history.read(feed.topic, acked, 1).then(({ floor }) => at(floor));
  }

  /** Another user on this device: whoever had it before is not to be reached through it any more. */
  async #suspendFormerUsers(userId: string, deviceId: string): Promise<void> {
    const { clock, pushes, records, roster } = this.#parts;
    for (const former of await records.store.holders({ deviceId })) {
      if (former === userId) continue;
      await records.exclusively(former, async () => {
        const session = roster.find(former, deviceId);
        await records.updateHeld(former, (stored) => {
          const record = session === undefined ? stored : withProgressOf(stored, session);
          const suspended = sessionOf(record, deviceId);
          if (suspended === undefined || (suspended.node === null && suspended.targets.length === 0)) return undefined;
          return { record: withSession(record, { ...suspended, node: null, targets: [], changedAt: clock.now() }) };
        });
        await pushes.dropNow({ userId: former, deviceId }, "another user signed in on this device");
        if (session !== undefined) this.dismantle(session, CloseCode.replaced, "another user signed in on this device");
      });
    }
  }
}

/** How far a stored session is in a topic, or where one without a past begins: at the user's furthest device, else where the subscription began. */
export function progressOf(record: UserRecord, session: SessionRecord, topic: Topic): Progress {
  const own = session.progress[topic];
  if (own !== undefined) return own;
  const start = record.subscriptions[topic] ?? { epoch: 0, offset: 0 };
  let furthest: Progress = { epoch: start.epoch, acked: start.offset, decided: start.offset };
  for (const { progress } of record.sessions) {
    const other = progress[topic];
    if (other !== undefined && other.acked > furthest.acked) {
      furthest = { epoch: other.epoch, acked: other.acked, decided: other.acked };
    }
  }
  return furthest;
}

/** Everybody reads their own `default` channel, from its beginning. */
function withOwnDefault(record: UserRecord): UserRecord {
  const topic = topicOf(record.userId, DEFAULT_CHANNEL);
  if (record.subscriptions[topic] !== undefined) return record;
  return { ...record, subscriptions: { ...record.subscriptions, [topic]: { epoch: 0, offset: 0 } } };
}
