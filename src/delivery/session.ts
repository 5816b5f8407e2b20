import { fingerprint } from "../protocol/fingerprint.ts";
import type { Timer } from "../ports/clock.ts";
import type { Progress, SessionRecord } from "../ports/users.ts";
import type { StateId } from "../session/step.ts";
import type { DeviceName } from "./journal.ts";
import type { Outlet } from "./outlet.ts";
import type { Feed } from "./feed.ts";
import type { Group, Member } from "./group.ts";
import { type Chained, type Sending, Unseen } from "./unseen.ts";

/** A session that this node holds: connected, backgrounded or recent. Away sessions are records in the store only. */
export class Session implements DeviceName {
  // What the fan-out touches stands first: it shares a line of the cache.
  state: StateId;
  /** The connection, while there is one. */
  outlet: Outlet | undefined = undefined;
  unseen: Unseen = new Unseen();
  overdueTimer: Timer | undefined = undefined;
  /** When that one fires. Whole monotonic milliseconds: whole numbers need no box. */
  overdueAt = 0;
  /** Of what is unseen: what is pushed, and whether that is written down by now. Absent most of the time. */
  pushed: Map<Sending, boolean> | undefined = undefined;
  readonly userId: string;
  readonly deviceId: string;
  readonly device: string;
  /** The node it is held by: this one. */
  readonly node: string;
  readonly generation: number;
  /** One per subscribed topic. */
  readers: Reader[] = [];
  graceTimer: Timer | undefined = undefined;

  constructor(userId: string, { deviceId, node, generation }: SessionRecord, state: StateId) {
    this.userId = userId;
    this.node = node!;
    this.deviceId = deviceId;
    this.device = deviceName(deviceId);
    this.generation = generation;
    this.state = state;
  }

  /** Whether so many more entries may be written now. */
  takes(count: number): boolean {
    return this.outlet !== undefined && !this.outlet.full && count <= this.unseen.room;
  }

  /** Whether the store still says that this attachment has the session: every write on its behalf asks. */
  isStill(stored: SessionRecord | undefined): stored is SessionRecord {
    return stored !== undefined && stored.generation === this.generation && stored.node === this.node;
  }

  reader(topic: string): Reader | undefined {
    for (const reader of this.readers) if (reader.feed.topic === topic) return reader;
    return undefined;
  }
}

/** One session's place in one topic. */
export class Reader implements Member<Reader> {
  // As above.
  readonly session: Session;
  /** The log's head when this connection joined: entries after it were routed as they came. */
  attachedAt = 0;
  #sent: number;
  /** Entries come from the log, not from the live feed: catching up, or the connection is slow. */
  behind = true;
  /** Its place in the feed's list. */
  index = -1;
  group: Group<Reader> | undefined = undefined;
  chained: Chained | undefined = undefined;
  readonly feed: Feed<Reader>;
  epoch: number;
  /** The app's handler is done up to here. */
  acked: number;
  /** How far a former subscription of this connection had been written: acks up to there may still come. */
  sentBefore = 0;
  /** The last entry that the app's handler gave up on. */
  failed = 0;
  /** What was decided before this connection: entries up to here are not pushed again. */
  decided: number;
  /** Somebody is reading the log for it right now. */
  reading = false;

  constructor(session: Session, feed: Feed<Reader>, progress: Progress) {
    this.session = session;
    this.feed = feed;
    this.epoch = progress.epoch;
    this.#sent = progress.acked;
    this.acked = progress.acked;
    this.decided = progress.decided;
  }

  /** Written to the current connection up to here. */
  get sent(): number {
    return this.group?.sent ?? this.#sent;
  }

  /** Of one who is passed alone. */
  set sent(offset: number) {
    this.#sent = offset;
  }

  /** Up to where nothing about pushing is open, given what is still unseen. */
  decidedUpTo(): number {
    const { session, feed } = this;
    let decided = Math.max(this.decided, this.sent);
    for (const sending of session.unseen) {
      const { entry } = sending;
      if (entry.topic !== feed.topic || entry.position.offset <= this.decided) continue;
      // A push that waits to be written is dropped when the session goes away first: it is then decided about again.
      if (session.pushed?.get(sending)) continue;
      decided = Math.max(this.decided, Math.min(decided, entry.previous));
      break;
    }
    return decided;
  }

  /** What the store should know. */
  progress(): Progress {
    return { epoch: this.epoch, acked: this.acked, decided: Math.max(this.acked, this.decidedUpTo()) };
  }

  /** Goes on in another life of the log, or after a hole. */
  restart(epoch: number, offset: number): void {
    this.epoch = epoch;
    this.sent = this.acked = this.decided = offset;
  }
}

/** The short name that stands for a device wherever somebody might read along: a deviceId is a secret. */
export function deviceName(deviceId: string): string {
  return fingerprint(deviceId);
}
