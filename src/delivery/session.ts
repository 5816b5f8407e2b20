import { PeykError } from "../protocol/errors.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import type { Timer } from "../ports/clock.ts";
import type { Progress, SessionRecord } from "../ports/users.ts";
import type { StateId } from "../session/step.ts";
import type { DeviceName } from "./journal.ts";
import type { Outlet } from "./outlet.ts";
import type { Pushed } from "./pushed.ts";
import type { Feed } from "./feed.ts";
import type { Group, Member } from "./group.ts";
import type { Lines } from "./lines.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import { type ChainPlace, Unseen } from "./unseen.ts";

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
  /** Of what was sent, or is to be: what is pushed, and how far that is. Absent most of the time. */
  pushed: Pushed | undefined = undefined;
  /** The person's last input at the device, as far as the client has told. Whole monotonic milliseconds. */
  inputAt = NO_INPUT;
  /** When the app went to the background. Whole monotonic milliseconds; long ago where it came in the background. */
  hiddenAt = NO_INPUT;
  readonly userId: string;
  readonly deviceId: string;
  readonly device: string;
  /** The node it is held by: this one. */
  readonly node: string;
  readonly generation: number;
  readonly isTemporary: boolean;
  /** One per subscribed topic. */
  readers: Reader[] = [];
  /** The device was signed out: what it asked for before, and is still under way, has no effect any more. */
  isSignedOut = false;
  graceTimer: Timer | undefined = undefined;
  /** The device's lines of requests; absent until there is one. */
  lines: Lines | undefined = undefined;

  constructor(userId: string, { deviceId, generation, node, temporary }: SessionRecord, state: StateId) {
    this.userId = userId;
    this.node = node!;
    this.deviceId = deviceId;
    this.device = deviceName(deviceId);
    this.generation = generation;
    this.isTemporary = temporary === true;
    this.state = state;
  }

  /** Whether so many more entries may be written now. */
  takes(count: number): boolean {
    return this.outlet !== undefined && !this.outlet.full && count <= this.unseen.room;
  }

  /** Whether so many more frames may be written now that do not wait for the app: they are in no log, or of a topic of which nothing waits. */
  takesPastWaiting(count: number): boolean {
    return this.outlet !== undefined && !this.outlet.full && count <= this.unseen.unseenRoom;
  }

  /** Whether the store still says that this attachment has the session: every write on its behalf asks. */
  isStill(stored: SessionRecord | undefined): stored is SessionRecord {
    return !this.isSignedOut && stored?.generation === this.generation && stored.node === this.node;
  }

  /** @throws {PeykError} `signed-out` once the device was */
  checkSignedIn(): void {
    if (this.isSignedOut) throw new PeykError("signed-out", "the device was signed out");
  }

  /**
   * Before a write that a request of the session asked for.
   * @throws {PeykError} `signed-out`; `replaced` when another attachment has the session: there the request is said again
   */
  checkStill(stored: SessionRecord | undefined): asserts stored is SessionRecord {
    this.checkSignedIn();
    if (!this.isStill(stored)) throw new PeykError("replaced", "another connection has the session", { retryable: true });
  }

  reader(topic: string): Reader | undefined {
    for (const reader of this.readers) if (reader.feed.topic === topic) return reader;
    return undefined;
  }
}

/** No input: before any that a client can tell of, and still a small whole number. */
export const NO_INPUT = -(2 ** 30);

/** What was acked at a device where the last input was a while ago. */
export interface UnsureAck {
  /** The entries up to here. */
  readonly to: number;
  /** Input before this time says that a person has dealt with them. Monotonic milliseconds. */
  readonly until: number;
  /** The same as milliseconds since 1970. */
  readonly untilTime: number;
}

/** Entries remembered on which the app's handler failed. */
const MOST_FAILED = 8;
/** Entries that may have failed or expired before one ack. A client that hands out in order has one that failed. */
const MOST_UNDELIVERED = 4_000;

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
  chained: ChainPlace | undefined = undefined;
  readonly feed: Feed<Reader>;
  epoch: number;
  /** Where this device's reading began. */
  from: number;
  /** The app's handler is done up to here. */
  acked: number;
  /** The device had it in front up to here. */
  shown: number;
  /** A person at this device has dealt with what it acked up to here; 0: with nothing. */
  handled = 0;
  /** Of what it acked it shows later whether a person was there. */
  unsure: UnsureAck | undefined = undefined;
  /** The last entries that the app's handler gave up on, rising. */
  failed: readonly number[];
  /** Those above `acked` that its ack does not deliver: all of these, and what expired. Absent most of the time. */
  #undelivered: Set<number> | undefined;
  /** How far a former subscription of this connection had been written: acks up to there may still come. */
  sentBefore = 0;
  /** What was decided before this connection: entries up to here are not pushed again. */
  decided: number;
  /** Entries after `decided` up to here were acked, and are not decided about yet; 0: there are none. */
  owed = 0;
  /** What was decided from the log, not as it was sent: entries after the first offset up to the second. */
  logged: LoggedRange | undefined = undefined;
  /** Entries up to here are decided from the log, or are being read for that; 0: none. */
  decidingTo = 0;
  /** Somebody is reading the log for it right now. */
  reading = false;

  constructor(session: Session, feed: Feed<Reader>, progress: Progress) {
    this.session = session;
    this.feed = feed;
    this.epoch = progress.epoch;
    this.#sent = progress.acked;
    this.from = progress.from;
    this.acked = progress.acked;
    this.shown = progress.shown;
    this.failed = progress.failed ?? NONE;
    const unacked = this.failed.filter((offset) => offset > this.acked);
    this.#undelivered = unacked.length > 0 ? new Set(unacked) : undefined;
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
    if (this.owed > 0) return this.#withLogged(this.decided);
    let decided = this.#withLogged(Math.max(this.decided, this.sent));
    for (const { entry } of session.unseen) {
      const { offset } = entry.position;
      if (entry.topic !== feed.topic || this.isDecided(offset)) continue;
      if (session.pushed?.get(feed.topic, offset) === "written") continue;
      decided = Math.max(this.decided, Math.min(decided, entry.previous));
      break;
    }
    // A push that waits to be written is lost when the node ends, and dropped when the session goes away: then it is decided again.
    for (const [offset, progress] of session.pushed?.of(feed.topic) ?? []) {
      if (progress === "written" || this.isDecided(offset)) continue;
      decided = Math.max(this.decided, Math.min(decided, offset - 1));
    }
    return decided;
  }

  /** Whether nothing is to be decided about an entry, though it is sent only now. */
  isDecided(offset: number): boolean {
    const { decided, logged } = this;
    return offset <= decided || (logged !== undefined && logged.after < offset && offset <= logged.to);
  }

  /** The entries in (after, to] were decided about from the log. */
  decidedFromLog({ after, to }: LoggedRange): void {
    const { logged } = this;
    const goesOn = logged !== undefined && logged.after <= after && after <= logged.to;
    this.logged = goesOn ? { after: logged.after, to: Math.max(logged.to, to) } : { after, to };
  }

  /**
   * The push of an entry is written down. Of one that waits in the log, or was sent over a connection that is gone, a range remembers
   * that, where it goes on.
   */
  pushWritten({ position: { epoch, offset }, previous }: Pick<OpenedEntry, "position" | "previous">): void {
    if (epoch !== this.epoch) return;
    const { logged, session: { pushed }, feed: { topic } } = this;
    const goesOn = logged === undefined || (logged.after <= previous && previous <= logged.to);
    const isHere = offset <= this.sent && pushed?.get(topic, offset) !== undefined;
    if (isHere || !goesOn) return pushed?.written(topic, offset);
    this.decidedFromLog({ after: previous, to: offset });
    pushed?.delete(topic, offset);
  }

  /** From where on nothing is decided of what waits in the log. */
  undecidedAfter(): number {
    return Math.max(this.decidingTo, this.#withLogged(Math.max(this.sent, this.decided)));
  }

  #withLogged(decided: number): number {
    const { logged } = this;
    return logged !== undefined && logged.after <= decided ? Math.max(decided, logged.to) : decided;
  }

  /** The client has everything up to here on this connection. */
  seenUpTo(): number {
    for (const { entry } of this.session.unseen) {
      if (entry.topic === this.feed.topic && entry.position.offset !== 0) return Math.min(this.sent, entry.previous);
    }
    return this.sent;
  }

  /**
   * The app's handler gave up on an entry that is not acked. Of too many the lowest is where reading begins: what was before is not known.
   * @returns whether that is new
   * @throws {PeykError} `too-many`
   */
  fail(offset: number): boolean {
    const { size = 0 } = this.#undelivered ?? {};
    if (size >= MOST_UNDELIVERED && !this.#undelivered!.has(offset)) {
      throw new PeykError("too-many", "too many entries that failed and are not acked", { retryable: true });
    }
    if (!this.pass(offset)) return false;
    const failed = [...this.failed, offset].sort((a, b) => a - b);
    if (failed.length > MOST_FAILED) this.from = Math.max(this.from, failed.shift()!);
    this.failed = failed;
    return true;
  }

  /**
   * An entry above `acked` is passed over: an ack beyond it does not deliver it.
   * @returns whether that is new
   */
  pass(offset: number): boolean {
    const undelivered = this.#undelivered ??= new Set();
    if (undelivered.has(offset) || undelivered.size >= MOST_UNDELIVERED) return false;
    undelivered.add(offset);
    return true;
  }

  /** The entries up to `acked` that were not delivered though they are acked, since the last time, rising. */
  takeUndelivered(): readonly number[] {
    if (this.#undelivered === undefined) return NONE;
    const all = [...this.#undelivered].sort((a, b) => a - b);
    const open = all.filter((offset) => offset > this.acked);
    this.#undelivered = open.length > 0 ? new Set(open) : undefined;
    return all.slice(0, all.length - open.length);
  }

  /** What the store should know. */
  progress(): Progress {
    const { epoch, from, acked, shown, failed } = this;
    const decided = this.decidedUpTo();
    return failed.length === 0 ? { epoch, from, acked, shown, decided } : { epoch, from, acked, shown, decided, failed };
  }

  /** Goes on in another life of the log, or after a hole. */
  restart(epoch: number, offset: number): void {
    this.epoch = epoch;
    this.sent =
      this.from =
      this.acked =
      this.shown =
      this.decided =
        offset;
    this.handled = this.owed = this.decidingTo = 0;
    this.logged = undefined;
    this.session.pushed?.forget(this.feed.topic);
    this.unsure = undefined;
    this.failed = NONE;
    this.#undelivered = undefined;
  }
}

/** Entries of a log after one offset up to another. */
export interface LoggedRange {
  readonly after: number;
  readonly to: number;
}

const NONE: readonly number[] = Object.freeze([]);

/** The short name that stands for a device wherever somebody might read along: a deviceId is a secret. */
export function deviceName(deviceId: string): string {
  return fingerprint(deviceId);
}
