import { PeykError } from "../protocol/errors.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";
import type { SessionRecord, UserRecord, Users } from "../ports/users.ts";
import { Exclusive } from "./exclusive.ts";
import type { Sections } from "./turns.ts";

/** What an update makes of a record. Undefined: nothing is to change. */
export type Change = { record: UserRecord; rows?: readonly NewOutboxRow[] } | undefined;

/** Faster ones in a row after which an update gives up. */
const MAX_RACES = 50;

/**
 * Reads and changes user records. Changes of one user are made one after the other on this node; against other nodes the
 * store's compare-and-set decides, and the change is computed again.
 */
export class UserRecords {
  readonly store: Users;
  readonly #exclusive = new Exclusive();

  constructor(store: Users) {
    this.store = store;
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
      const record = (race === 0 ? known : undefined) ?? await this.store.get(userId) ?? newUser(userId);
      const changed = await change(record);
      if (changed === undefined) return record;
      const version = await this.store.put(changed.record, changed.rows);
      if (version !== undefined) return { ...changed.record, version };
    }
    throw new PeykError("unavailable", "a user's record changes too fast", { retryable: true });
  }

  /**
   * The same, beginning with the record as this node wrote it last: for what follows from the record, and shows nothing to be
   * changed only when another node has it.
   */
  updateRecentHeld(userId: string, change: (record: UserRecord) => Change): Promise<UserRecord> {
    return this.updateHeld(userId, change, this.store.recent?.(userId));
  }

  /** Resolves when no update is under way. */
  idle(): Promise<void> {
    return this.#exclusive.idle();
  }
}

/** A user nobody has signed in as yet. */
export function newUser(userId: string): UserRecord {
  return { userId, version: 0, seenAt: 0, subscriptions: {}, handled: {}, sessions: [] };
}

/** The session with no node that holds it: it is away. */
export function withoutNode({ leaving: _, ...session }: SessionRecord, now: number): SessionRecord {
  return { ...session, node: null, changedAt: now };
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
  return { ...record, sessions: index < 0 ? [...record.sessions, session] : record.sessions.with(index, session) };
}
