import { PeykError } from "../protocol/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";
import type { Topic } from "../protocol/names.ts";
import type { Positions, Progress, SessionRecord, UserParts, UserRecord, Users } from "../ports/users.ts";
import { Exclusive } from "./exclusive.ts";
import type { Sections } from "./turns.ts";

/**
 * What an update makes of a record. A part in which every object is the one that was given is not written: so whoever changes nothing of
 * it hands back the same. Undefined: nothing is to change.
 */
export type Change = { record: UserRecord; rows?: readonly NewOutboxRow[] } | undefined;

/** Faster ones in a row after which an update gives up. */
const MAX_RACES = 50;

/**
 * Reads and changes user records. Changes of one user are made one after the other on this node; against other nodes the
 * store's compare-and-set decides, and the change is computed again.
 */
export class UserRecords {
  readonly store: Users;
  readonly #clock: Clock;
  readonly #exclusive = new Exclusive();

  constructor(store: Users, clock: Clock) {
    this.store = store;
    this.#clock = clock;
  }

  /** A user nobody has signed in as yet. */
  newUser(userId: string): UserRecord {
    const positions: Positions = { version: 0, progress: NO_PROGRESS, handled: NOTHING_HANDLED };
    return { userId, version: 0, seenAt: this.#clock.now(), subscriptions: {}, sessions: [], positions };
  }

  /** One section per user: for those who take turns by user. */
  get sections(): Sections {
    return this.#exclusive;
  }

  /** Runs `task` while no other task or update of this user runs on this node. Don't nest. */
  exclusively<T>(userId: string, task: () => Promise<T>): Promise<T> {
    return this.#exclusive.run(userId, task);
  }

  /** Changes a record. */
  update(userId: string, change: (record: UserRecord) => Change | Promise<Change>): Promise<UserRecord> {
    return this.exclusively(userId, () => this.updateHeld(userId, change));
  }

  /**
   * Changes a record, for whoever is inside `exclusively` already.
   * @param known as it was read just now: it need not be read again unless somebody else writes first
   */
  async updateHeld(
    userId: string,
    change: (record: UserRecord) => Change | Promise<Change>,
    known?: UserRecord,
  ): Promise<UserRecord> {
    for (let race = 0; race < MAX_RACES; race++) {
      const record = (race === 0 ? known : undefined) ?? await this.store.get(userId) ?? this.newUser(userId);
      const changed = await change(record);
      if (changed === undefined) return record;
      const { record: next, rows } = changed;
      const stored = await this.store.put(next, changedParts(record, next), rows);
      if (stored !== undefined) {
        return { ...next, version: stored.devices, positions: { ...next.positions, version: stored.positions } };
      }
    }
    throw new PeykError("unavailable", "a user's record changes too fast", { retryable: true });
  }

  /**
   * The same, beginning with the record as this node wrote it last: for what follows from the record, and shows nothing to be
   * changed only when another node has it. What changes positions alone may go by older devices: {@link withPositionsMoved}.
   */
  updateRecentHeld(userId: string, change: (record: UserRecord) => Change): Promise<UserRecord> {
    return this.updateHeld(userId, change, this.store.recent?.(userId));
  }

  /** Resolves when no update is under way. */
  idle(): Promise<void> {
    return this.#exclusive.idle();
  }
}

function changedParts(before: UserRecord, after: UserRecord): UserParts {
  const devices = before.sessions !== after.sessions || before.subscriptions !== after.subscriptions ||
    before.seenAt !== after.seenAt;
  // A decision goes with the positions even where they stay as they are.
  if (!devices) return before.version === 0 ? "both" : "positions";
  return before.version === 0 || before.positions !== after.positions ? "both" : "devices";
}

/** The record with a session that no node holds: it is away. */
export function withSessionAway(record: UserRecord, { leaving: _, ...session }: SessionRecord, now: number): UserRecord {
  return { ...withSession(record, { ...session, node: null, changedAt: now }), seenAt: now };
}

/** Whether new entries are decided about by the sweep, not by a node that holds the session. */
export function isAway({ leaving, node }: SessionRecord): boolean {
  return node === null || leaving === true;
}

export function sessionOf(record: UserRecord, deviceId: string): SessionRecord | undefined {
  return record.sessions.find((session) => session.deviceId === deviceId);
}

/** The record with this session in place of the one of the same device, or added. */
export function withSession(record: UserRecord, session: SessionRecord): UserRecord {
  const { deviceId } = session;
  const index = record.sessions.findIndex((other) => other.deviceId === deviceId);
  return { ...record, sessions: index < 0 ? record.sessions.concat(session) : record.sessions.with(index, session) };
}

/** The record without these devices, and without what is known of how far they are. */
export function withoutDevices(record: UserRecord, gone: (session: SessionRecord) => boolean): UserRecord {
  const sessions = record.sessions.filter((session) => !gone(session));
  const ids = new Set(sessions.map(({ deviceId }) => deviceId));
  const progress = Object.fromEntries(Object.entries(record.positions.progress).filter(([deviceId]) => ids.has(deviceId)));
  return { ...record, sessions, positions: { ...record.positions, progress } };
}

/** How far a device is, by topic. */
export function progressIn({ positions }: UserRecord, deviceId: string): Readonly<Record<Topic, Progress>> {
  // A device may be called as what every object has.
  return Object.hasOwn(positions.progress, deviceId) ? positions.progress[deviceId]! : NO_PROGRESS;
}

/** The record with that of one device in its place. */
export function withProgress(record: UserRecord, deviceId: string, progress: Readonly<Record<Topic, Progress>>): UserRecord {
  const { positions } = record;
  return { ...record, positions: { ...positions, progress: { ...positions.progress, [deviceId]: progress } } };
}

export function withHandledIn(record: UserRecord, handled: Positions["handled"]): UserRecord {
  return handled === record.positions.handled ? record : { ...record, positions: { ...record.positions, handled } };
}

/**
 * The record with its positions to be written though nothing in them changes. Acks are written by what a node knows of the devices,
 * which another one may have changed: whoever changes what they depend on (which node holds a session, what is subscribed to, that a
 * device can be pushed to) moves the positions too, so that such a write is refused and made again by what is stored.
 */
export function withPositionsMoved(record: UserRecord): UserRecord {
  return { ...record, positions: { ...record.positions } };
}

const NO_PROGRESS: Readonly<Record<never, never>> = Object.freeze({});
const NOTHING_HANDLED: Positions["handled"] = Object.freeze({});
