import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import type { Cursor, IdleMs, Recovery } from "../protocol/frames.ts";
import type { Clock } from "../ports/clock.ts";
import type { Outbox } from "../ports/outbox.ts";
import type { History } from "../ports/transport.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import type { CatchUp } from "./catch_up.ts";
import { Claims } from "./claims.ts";
import type { Counters } from "./counters.ts";
import { withRoomFor } from "./devices.ts";
import { type Elsewhere, type Nodes, otherNodes } from "./elsewhere.ts";
import { Exclusive } from "./exclusive.ts";
import type { Hub } from "./hub.ts";
import type { Lease } from "./lease.ts";
import { freshLines, Lines } from "./lines.ts";
import type { Outlet } from "./outlet.ts";
import { PassingMap } from "./passing_map.ts";
import { type Place, Places } from "./places.ts";
import { isSame, withProgressOf } from "./progress.ts";
import type { PushCancellation, PushRequests } from "./push_requests.ts";
import {
  progressIn,
  sessionOf,
  type UserRecords,
  withPositionsMoved,
  withProgress,
  withSession,
  withSessionAway,
} from "./records.ts";
import type { Roster } from "./roster.ts";
import { Reader, Session } from "./session.ts";
import { isEnabled } from "./target.ts";
import type { TemporaryDevices } from "./temporary.ts";
import { Turns } from "./turns.ts";

/** A connection that proved whose it is. */
export interface AttachRequest {
  userId: string;
  deviceId: string;
  temporary: boolean;
  visible: boolean;
  idleMs: IdleMs;
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
  decisions: PushRequests;
  /** The client tells how long ago the last input was. */
  input(session: Session, idleMs: IdleMs): void;
  outbox: Pick<Outbox, "decision">;
  history: History | undefined;
  hub: Hub;
  roster: Roster;
  elsewhere: Elsewhere;
  actor: SessionActor;
  temporaries: TemporaryDevices;
  catchUp: CatchUp;
  counters: Counters;
  lease: Lease;
  clock: Clock;
  /** Devices that one user may have. */
  maxDevices: number;
}

/**
 * Attachments under way. When all clients of a node that died come at once, and each needs the store a few times, all of them
 * together would take longer than any of them may: none would get in, and all would come again. A client that gave up while it
 * waited costs nothing.
 */
const WIDTH = 256;
/** How many of these go on in one turn of the event loop, so that others act in between. */
const PER_TURN = 32;

/** Brings sessions to life: when a connection comes, or when the node that held them died. */
export class Attachments {
  readonly #parts: AttachParts;
  readonly #claims: Claims;
  readonly #turns: Turns;
  readonly #looks: Turns;
  readonly #devices = new Exclusive();
  /** Of each session the newest connection that wants it. */
  readonly #newest = new PassingMap<string, Outlet>();

  constructor(parts: AttachParts) {
    this.#parts = parts;
    const { clock, history, hub, outbox, records, roster } = parts;
    this.#claims = new Claims({ places: new Places(hub, history, outbox), records, roster });
    this.#looks = new Turns(WIDTH, clock, undefined, PER_TURN);
    this.#turns = new Turns(WIDTH, clock, records.sections, PER_TURN);
  }

  /** Gives the session a connection. Of several that want it the newest wins; the others are told that they were replaced. */
  async attach(request: AttachRequest): Promise<void> {
    const { userId, deviceId, outlet } = request;
    const key = `${deviceId}\n${userId}`;
    const other = this.#newest.get(key);
    const isNewest = other === undefined || other.order < outlet.order;
    (isNewest ? other : outlet)?.close(CloseCode.replaced, "a newer connection has the session");
    if (!isNewest) return;
    this.#newest.set(key, outlet);
    try {
      // One section per device: of two users who sign in on it the last one has it.
      await this.#devices.run(deviceId, () => this.#attach(request));
    } finally {
      if (this.#newest.get(key) === outlet) this.#newest.delete(key);
    }
  }

  async #attach(request: AttachRequest): Promise<void> {
    if (!request.outlet.isOpen) throw new PeykError("closed", "the connection was gone before it was its turn");
    const holders = await this.#looks.run(request.deviceId, async () => {
      return request.outlet.isOpen ? await this.#parts.records.store.holders({ deviceId: request.deviceId }) : [];
    });
    for (const former of holders) if (former !== request.userId) await this.#suspend(former, request.deviceId);
    const nodes = await this.#turns.run(request.userId, () => this.#attachHeld(request));
    await this.#parts.elsewhere.follow(nodes, request.userId);
  }

  /** @returns who may be about to push to a target that it has no more */
  async #attachHeld(request: AttachRequest): Promise<Nodes> {
    const { userId, deviceId, visible, idleMs, cursors, outlet, ready } = request;
    const { actor, catchUp, clock, counters, decisions, elsewhere, input, lease, maxDevices, node, pushes, roster } = this.#parts;
    if (!outlet.isOpen) throw new PeykError("closed", "the connection was gone before it was its turn");
    const before = roster.find(userId, deviceId);
    if (before?.outlet !== undefined && before.outlet.order > outlet.order) {
      outlet.close(CloseCode.replaced, "a newer connection has the session");
      return [];
    }
    // First everything that can fail, then the record, then what can't: a session that the store calls ours is held here.
    let holder: string | null | undefined;
    let hadTarget = false;
    const { record, places } = await this.#claims.claim(userId, deviceId, cursors, (current, places) => {
      // Whoever hung up may have a newer connection elsewhere by now, which must not lose the session to this one.
      if (!outlet.isOpen) throw new PeykError("closed", "the connection is gone");
      // This node may not know of users who were signed out meanwhile.
      if (!lease.isHeld) throw new PeykError("unavailable", "the node was not heard of for a while", { retryable: true });
      const record = withRoomFor(current, request, maxDevices, clock.now());
      const former = sessionOf(record, deviceId);
      holder = former?.node;
      hadTarget = former !== undefined && former.targets.length > 0;
      const attached = this.#attached(record, request, places);
      return holder && holder !== node ? withPositionsMoved(attached) : attached;
    });
    const stored = sessionOf(record, deviceId)!;
    const session = new Session(userId, stored, before?.state ?? actor.stepper.start);
    // What this node knows of the last connection's requests goes on; of what was on another node the record tells.
    const isNext = before?.generation === stored.generation - 1;
    session.lines = (isNext ? before?.lines : undefined) ?? (stored.lines && new Lines(clock, stored.lines));
    // Not in two places at once: from here on the other node's writes fail, and it need not find out by that.
    if (holder && holder !== node) await elsewhere.takeOver(holder, session);
    if (before !== undefined) this.dismantle(before, CloseCode.replaced, "a newer connection took the session");
    this.#enlist(session, record, stored, places);
    session.outlet = outlet;
    counters.attached++;
    actor.raise(session, visible ? SessionEvent["attach.visible"] : SessionEvent["attach.background"]);
    input(session, idleMs);
    for (const reader of session.readers) {
      if (!visible) continue;
      reader.shown = reader.acked;
      reader.decided = Math.max(reader.decided, reader.acked);
      reader.owed = 0;
    }
    ready(
      session,
      places.map(({ feed: { topic }, progress: { epoch, acked }, recovered }) => {
        if (!recovered) counters.gaps++;
        return { topic, epoch, offset: acked, recovered };
      }),
    );
    catchUp.resume(session);
    if (session.readers.some(({ owed }) => owed > 0)) decisions.pushOwed(session);
    const isLost = session.isTemporary && hadTarget;
    return isLost && await pushes.dropNow({ userId, deviceId }, "the device is a temporary one now") ? "all" : [];
  }

  /** Whom to {@link restore}, because a write was not answered. */
  get unsure(): string[] {
    return [...this.#claims.unsure];
  }

  /**
   * A user's sessions of nodes that died, of this one's last life, or that this one was given without hearing of it: held as
   * recent, so that they can come back or be decided for.
   *
   * @param live nodes whose sessions are left alone
   * @returns the nodes that lost a session to this one
   */
  async restore(userId: string, live: readonly string[]): Promise<string[]> {
    const { actor, node, records, roster } = this.#parts;
    const losers: string[] = [];
    await records.exclusively(userId, async () => {
      // Behind the write of the devices that was not answered: by now it was made, or it never will be.
      if (this.#claims.unsure.has(userId)) {
        await records.updateHeld(userId, (record) => ({ record: { ...record, sessions: [...record.sessions] } }));
      }
      const known = await records.store.get(userId);
      for (const { deviceId, generation, node: former } of known?.sessions ?? []) {
        const isHere = former === node && roster.find(userId, deviceId)?.generation === generation;
        if (former === null || isHere || (former !== node && live.includes(former))) continue;
        let taken = false;
        const { record, places } = await this.#claims.claim(userId, deviceId, [], (current) => {
          const orphan = sessionOf(current, deviceId);
          taken = orphan?.node === former;
          if (orphan === undefined || !taken) return undefined;
          const { leaving: _, ...left } = orphan;
          // Its former node may not be as dead as it seems.
          return withPositionsMoved(withSession(current, { ...left, node, changedAt: this.#parts.clock.now() }));
        });
        const stored = sessionOf(record, deviceId);
        if (!taken || stored === undefined) {
          this.#claims.release(places);
          continue;
        }
        if (former !== node) losers.push(former);
        // The dead node had taken it from this one and did not come to say so, or this one has a newer attachment of it.
        const stale = roster.find(userId, deviceId);
        if (stale !== undefined) this.dismantle(stale, CloseCode.replaced, "a newer connection took the session");
        const session = new Session(userId, stored, actor.stepper.start);
        this.#enlist(session, record, stored, places);
        actor.raise(session, SessionEvent.orphaned);
      }
      this.#claims.unsure.delete(userId);
    });
    return losers;
  }

  /** The session is another attachment's, on another node, or its device is another user's: the node or user that has it decides the rest. */
  lose(session: Session, code: number, reason: string): void {
    this.dismantle(session, code, reason);
    this.#parts.actor.raise(session, SessionEvent.replaced);
  }

  /** The session was signed out. */
  release(session: Session): void {
    session.isSignedOut = true;
    this.dismantle(session, CloseCode.signedOut, "signed out");
  }

  /** Takes a session out of this node's memory. */
  dismantle(session: Session, code: number, reason: string): void {
    const { actor, hub, roster } = this.#parts;
    const { outlet } = session;
    session.outlet = undefined;
    actor.separate(session);
    actor.forget(session);
    roster.remove(session);
    for (const reader of session.readers) {
      reader.feed.leave(reader);
      hub.release(reader.feed);
    }
    session.readers = [];
    outlet?.close(code, reason);
  }

  #enlist(session: Session, { positions: { handled } }: UserRecord, stored: SessionRecord, places: readonly Place[]): void {
    const { actor, clock, roster } = this.#parts;
    roster.add(session);
    session.readers = places.map(({ feed, progress }) => {
      const reader = new Reader(session, feed, progress);
      // Of what the device has already this node may still be told.
      reader.attachedAt = Math.max(feed.head.offset, progress.acked);
      if (reader.decided < reader.acked) reader.owed = reader.acked;
      const known = handled[feed.topic];
      const unsure = known?.epoch === reader.epoch ? known.unsure?.find(({ device }) => device === session.device) : undefined;
      // Its input may come on this connection.
      if (unsure !== undefined) {
        const until = clock.elapsed() + unsure.until - clock.now();
        reader.unsure = { to: unsure.to, until, untilTime: unsure.until };
      }
      feed.join(reader);
      return reader;
    });
    const hasTarget = stored.targets.some(isEnabled);
    actor.raise(session, hasTarget ? SessionEvent["target.some"] : SessionEvent["target.none"]);
  }

  #attached(record: UserRecord, { deviceId, temporary, visible }: AttachRequest, places: readonly Place[]): UserRecord {
    const { clock, node } = this.#parts;
    const session = sessionOf(record, deviceId);
    const generation = (session?.generation ?? 0) + 1;
    const before = progressIn(record, deviceId);
    let after = before;
    // Where it begins, and what it says it has, is settled from here on, should this node die before it writes more.
    for (const { feed: { topic }, progress: begun } of places) {
      const stored = before[topic];
      const known = stored === undefined || (stored.epoch === begun.epoch && stored.acked < begun.acked) ? begun : stored;
      const isDecided = known.epoch === begun.epoch && known.decided < begun.decided;
      const now = isDecided ? { ...known, decided: begun.decided } : known;
      // What it acked in the background is in front now.
      const settled = visible ? { ...now, shown: now.acked } : now;
      if (!isSame(stored, settled)) after = { ...after, [topic]: settled };
    }
    const placed = after === before ? record : withProgress(record, deviceId, after);
    const lines = session?.lines && freshLines(session.lines, clock.now());
    const targets = (temporary ? undefined : session?.targets) ?? NO_TARGETS;
    const attached: SessionRecord = {
      ...{ deviceId, generation, node, ...(temporary && { temporary }), changedAt: clock.now(), targets },
      ...(lines && { lines }),
    };
    return { ...withSession(placed, attached), seenAt: clock.now() };
  }

  /** Another user signs in on this device: the former one is not to be reached through it any more. */
  async #suspend(former: string, deviceId: string): Promise<void> {
    const { clock, elsewhere, node, pushes, records, roster, temporaries } = this.#parts;
    let nodes: Nodes = [];
    await records.exclusively(former, async () => {
      const session = roster.find(former, deviceId);
      let left: SessionRecord | undefined;
      await records.updateHeld(former, (stored) => {
        left = undefined;
        const record = session === undefined ? stored : withProgressOf(stored, session);
        const suspended = sessionOf(record, deviceId);
        if (suspended === undefined || (suspended.node === null && suspended.targets.length === 0)) return undefined;
        nodes = otherNodes({ ...record, sessions: [suspended] }, node);
        left = { ...suspended, generation: suspended.generation + 1, targets: [] };
        return { record: withPositionsMoved(withSessionAway(record, left, clock.now())) };
      });
      if (await pushes.dropNow({ userId: former, deviceId }, "another user signed in on this device")) nodes = "all";
      if (left?.temporary) temporaries.left(former);
      if (session !== undefined) this.lose(session, CloseCode.replaced, "another user signed in on this device");
    });
    await elsewhere.follow(nodes, former);
  }
}

/** Most devices of a server without push have none. */
const NO_TARGETS: SessionRecord["targets"] = Object.freeze([]);
