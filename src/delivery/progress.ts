import { PeykError } from "../protocol/errors.ts";
import type { AckFrame, Cursor, FailedFrame, IdleMs, StateFrame } from "../protocol/frames.ts";
import { isPublic, splitTopic, type Topic } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { History } from "../ports/transport.ts";
import type { Handled, Progress, UserRecord } from "../ports/users.ts";
import { withHandledBy, withUnsure } from "../reading/handled.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import type { Attention } from "./attention.ts";
import type { CatchUp } from "./catch_up.ts";
import type { Journal } from "./journal.ts";
import { openEntry } from "./opened_entry.ts";
import type { ReceiptEntry, Receipts } from "./receipts.ts";
import type { Roster } from "./roster.ts";
import { isEnabled } from "./target.ts";
import { progressIn, sessionOf, type UserRecords, withHandledIn, withProgress } from "./records.ts";
import type { Reader, Session } from "./session.ts";
import { Turns } from "./turns.ts";
import type { Sending } from "./unseen.ts";

/** Drops pushes that acks make needless. */
export interface AckListener {
  /** Whether pushes of this user wait, as far as this node knows: what is acked then is stored at once. */
  waits(userId: string): boolean;
  /** The device showed something, or a person dealt with something there. */
  dealtWith(session: Session): void;
  /** The client has these entries in time, and the app is in front. */
  seen(session: Session, sendings: readonly Sending[]): void;
}

/** What acks are taken in with. */
export interface ProgressParts {
  actor: SessionActor;
  attention: Attention;
  catchUp: CatchUp;
  records: UserRecords;
  receipts: Receipts;
  pushes: AckListener;
  history: History | undefined;
  journal: Journal;
  /** Channels in which an ack says nothing of a person: only a mark does. */
  handledByMark: ReadonlySet<string>;
  ackTimeoutMs: number;
  /** The store says that one of this user's sessions is another attachment's, or nobody's. */
  strayed(userId: string): void;
  /** Whether the store survives a crash. */
  durable: boolean;
  clock: Clock;
  logger: Logger;
}

/** The longest that the store may lag behind what was acked. */
const WRITE_BEHIND_MS = 1_000;

/** Users whose progress is written at the same time. */
const WIDTH = 256;

/** What is read from the log at a time, to name its entries: how many, and the bytes of all of them. */
const NAMED_AT_ONCE = 1_000;
const NAMED_BYTES = 256 * 1024;

/** Entries of one life of a log that were acked at once. */
interface Acked {
  readonly topic: Topic;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
}

/** Takes in what clients confirm, and writes it behind. */
export class ProgressKeeper {
  readonly #parts: ProgressParts;
  readonly #turns: Turns;
  #dirty = new Set<Session>();
  #timer: Timer | undefined;

  constructor(parts: ProgressParts) {
    this.#parts = parts;
    const { clock, records } = parts;
    this.#turns = new Turns(WIDTH, clock, records.sections);
  }

  /** @throws {PeykError} `bad-order` when the client confirms what it was never sent */
  ack(session: Session, frame: AckFrame): void {
    const { actor, attention, catchUp, clock, journal, pushes } = this.#parts;
    if (frame.waiting > frame.seen) throw new PeykError("bad-order", "more entries wait for the app than were seen");
    this.input(session, frame.idleMs);
    const waits = pushes.waits(session.userId);
    const inTime: Sending[] = [];
    const overdueBefore = clock.elapsed() - this.#parts.ackTimeoutMs;
    const seen = session.unseen.confirm(frame.seen, clock.elapsed(), (run, begin, end) => {
      const listed = !isPublic(run[begin]!.entry.topic);
      if (!listed && !waits && session.pushed === undefined) return;
      for (const sending of run.slice(begin, end)) {
        session.pushed?.seen(sending.entry.topic, sending.entry.position.offset);
        if (listed) journal.note(sending.entry, session, "seen");
        if (waits && sending.at > overdueBefore) inTime.push(sending);
      }
    });
    if (seen === undefined) throw new PeykError("bad-order", "an ack of frames that were never sent");
    if (session.pushed?.isEmpty) session.pushed = undefined;
    const { unseen } = session;
    unseen.waiting = frame.waiting;
    unseen.askedAt = -1;
    // The answer to a ping is proof of life, but no progress in what is unseen.
    if (seen > 0 || unseen.count === 0) actor.confirmed(session);
    let moved = false;
    for (const cursor of frame.cursors) moved = this.#move(session, cursor) || moved;
    if (moved) this.#moved(session);
    if (inTime.length > 0 && attention.isInFront(session)) pushes.seen(session, inTime);
    catchUp.resume(session);
  }

  /** What the client says of the app and the person. What it acked before that was acked as things stood then. */
  state(session: Session, { visible, idleMs }: StateFrame): void {
    const { actor, attention, clock } = this.#parts;
    if (!visible && attention.isInFront(session)) session.hiddenAt = Math.floor(clock.elapsed());
    actor.raise(session, visible ? SessionEvent.foreground : SessionEvent.background);
    this.input(session, idleMs);
    if (visible) this.cameToFront(session);
  }

  /** What the app acked in the background is in front of a person now. */
  cameToFront(session: Session): void {
    let shown = false;
    for (const reader of session.readers) {
      shown ||= reader.shown < reader.acked;
      reader.shown = reader.acked;
    }
    if (shown) this.#moved(session);
  }

  /** How long ago the last input was. Input that comes in time says that a person has dealt with what was acked without it. */
  input(session: Session, idleMs: IdleMs): void {
    const { attention } = this.#parts;
    if (!attention.takeInput(session, idleMs)) return;
    let handled = false;
    for (const reader of session.readers) {
      const { unsure } = reader;
      if (unsure === undefined || !attention.isLater(session, unsure.until)) continue;
      reader.unsure = undefined;
      if (session.inputAt >= unsure.until) continue;
      reader.handled = Math.max(reader.handled, unsure.to);
      handled = true;
    }
    if (handled) this.#moved(session);
  }

  /** The app gave up on one entry: the cursor passes it, the books say so. */
  failed(session: Session, frame: FailedFrame): void {
    const reader = session.reader(frame.topic);
    if (reader === undefined || reader.epoch !== frame.epoch || frame.offset <= reader.acked) return;
    if (frame.offset > reader.sent) {
      if (frame.offset <= reader.sentBefore) return;
      throw new PeykError("bad-order", "a report on an entry that was never sent");
    }
    // It may be said again with a new connection.
    if (!reader.fail(frame.offset)) return;
    this.#report(reader, frame.offset - 1, frame.offset, (entry) => this.#parts.receipts.failed(entry, session, frame.reason));
  }

  /** @returns whether the cursor moved */
  #move(session: Session, { topic, epoch, offset }: Cursor): boolean {
    const reader = session.reader(topic);
    if (reader === undefined || reader.epoch !== epoch || offset <= reader.acked) return false;
    if (offset > reader.sent) {
      if (offset <= reader.sentBefore) return false;
      throw new PeykError("bad-order", "an ack of an entry that was never sent");
    }
    const from = reader.acked;
    reader.acked = offset;
    if (this.#parts.attention.isInFront(session)) this.#inFront(session, reader);
    this.#delivered(reader, from, offset);
    reader.feed.prune();
    return true;
  }

  /** An ack of an app in front: the device has shown it, and a person may have dealt with it. */
  #inFront(session: Session, reader: Reader): void {
    const { attention, clock, handledByMark } = this.#parts;
    reader.shown = reader.acked;
    if (handledByMark.size > 0 && handledByMark.has(splitTopic(reader.feed.topic).channel)) return;
    const verdict = attention.judge(session);
    if (verdict === "handled") {
      reader.handled = reader.acked;
      reader.unsure = undefined;
    } else if (verdict !== undefined) {
      const { until } = verdict;
      reader.unsure = { to: reader.acked, until, untilTime: clock.now() + until - clock.elapsed() };
    }
  }

  /** Acks moved something: at once for pushes that wait, else with the next write. */
  #moved(session: Session): void {
    const { durable, pushes } = this.#parts;
    if (pushes.waits(session.userId)) {
      pushes.dealtWith(session);
      return void this.save(session);
    }
    // What no crash survives needs no writing behind: leaving writes it down.
    if (durable) this.#later(session);
  }

  #later(session: Session): void {
    this.#dirty.add(session);
    this.#timer ??= this.#parts.clock.setTimeout(() => void this.flush(), WRITE_BEHIND_MS);
  }

  /** The handler is done with the entries in (from, to], except for those it gave up on and those that expired before it had them. */
  #delivered(reader: Reader, from: number, to: number): void {
    const { receipts } = this.#parts;
    const { feed, session } = reader;
    const undelivered = reader.takeUndelivered();
    if (receipts.named(feed.topic)) {
      return this.#report(reader, from, to, (entry) => {
        if (!undelivered.includes(entry.position.offset)) receipts.delivered(entry, session);
      });
    }
    let after = from;
    for (const offset of undelivered) {
      if (offset <= after || offset > to) continue;
      receipts.counted(feed.count(after, offset - 1));
      after = offset;
    }
    receipts.counted(feed.count(after, to));
  }

  /** Names the entries in (from, to], each once: most are remembered, the others are read from the log. */
  #report(reader: Reader, from: number, to: number, each: (entry: ReceiptEntry) => void): void {
    const { history, logger } = this.#parts;
    const { epoch, feed: { topic } } = reader;
    // By the time the log is read others may be remembered.
    const named = new Set<number>();
    const whole = reader.feed.between(from, to, (entry) => {
      named.add(entry.position.offset);
      each(entry);
    });
    if (whole || history === undefined || isPublic(topic)) return;
    this.#nameRest(history, { topic, epoch, from, to }, (entry) => void (named.has(entry.position.offset) || each(entry)))
      .catch((error: unknown) => logger.warn("receipts could not be named", { topic, error }));
  }

  async #nameRest(history: History, { topic, epoch, from, to }: Acked, each: (entry: ReceiptEntry) => void): Promise<void> {
    for (let after = from; after < to;) {
      const { entries, head, through } = await history.read(topic, after, Math.min(NAMED_AT_ONCE, to - after), NAMED_BYTES);
      if (head.epoch !== epoch) return;
      for (const raw of entries) if (raw.offset <= to) each(openEntry(raw));
      if (through <= after) return;
      after = through;
    }
  }

  /** Writes down what every session has acked since the last time. */
  async flush(): Promise<void> {
    this.stop();
    const byUser = Map.groupBy(this.#dirty, (session) => session.userId);
    this.#dirty = new Set();
    await Promise.all([...byUser.values()].map((sessions) => this.#write(sessions)));
  }

  /** Writes down how far this session is, now. */
  async save(session: Session): Promise<void> {
    this.#dirty.delete(session);
    await this.#write([session]);
  }

  /** Ends the timer. */
  stop(): void {
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #write(sessions: readonly Session[]): Promise<void> {
    const { records, logger, strayed } = this.#parts;
    const { userId } = sessions[0]!;
    let still = true;
    try {
      await this.#turns.run(userId, () =>
        records.updateRecentHeld(userId, (record) => {
          still = sessions.every((session) => session.isStill(sessionOf(record, session.deviceId)));
          const next = sessions.reduce(withProgressOf, record);
          return next === record ? undefined : { record: next };
        }));
    } catch (error) {
      logger.warn("progress could not be saved, it is tried again", { error });
      for (const session of sessions) this.#later(session);
    }
    if (!still) strayed(userId);
  }
}

/**
 * The record with this session's progress, and what a person dealt with there, unless it is another attachment's by now.
 * The object that was given when that is nothing new.
 */
export function withProgressOf(record: UserRecord, session: Session): UserRecord {
  if (!session.isStill(sessionOf(record, session.deviceId))) return record;
  const before = progressIn(record, session.deviceId);
  let progress = before;
  const tells = isPushedElsewhere(record, session.deviceId);
  let { handled } = record.positions;
  for (const reader of session.readers) {
    const { topic } = reader.feed;
    if (record.subscriptions[topic] === undefined) continue;
    const own = reader.progress();
    if (!isSame(progress[topic], own)) progress = { ...progress, [topic]: own };
    if (!tells || (reader.handled === 0 && reader.unsure === undefined)) continue;
    const known = handled[topic];
    const after = handledAt(reader, known);
    if (after !== known) handled = { ...handled, [topic]: after };
  }
  const moved = progress === before ? record : withProgress(record, session.deviceId, progress);
  return withHandledIn(moved, handled);
}

export function isSame(a: Progress | undefined, b: Progress): boolean {
  return a?.epoch === b.epoch && a.from === b.from && a.acked === b.acked && a.shown === b.shown && a.decided === b.decided &&
    a.passedOver === b.passedOver && (a.failed === b.failed || a.failed?.join() === b.failed?.join());
}

/** The record with what all sessions on this node have acked since the store was last told. */
export function withProgressHere(record: UserRecord, roster: Roster): UserRecord {
  return roster.of(record.userId).reduce(withProgressOf, record);
}

/** Whether what a person does at one device can spare another one a push. */
function isPushedElsewhere({ sessions }: UserRecord, deviceId: string): boolean {
  return sessions.some((other) => other.deviceId !== deviceId && other.targets.some(isEnabled));
}

/** What is handled in a topic, with what was dealt with at one device. The object that was given when that is nothing new. */
function handledAt(reader: Reader, before: Handled | undefined): Handled {
  const handled = withHandledBy(before, reader.progress(), reader.handled);
  const { unsure, from: after, session: { device } } = reader;
  return withUnsure(handled, device, unsure && { device, after, to: unsure.to, until: unsure.untilTime });
}
