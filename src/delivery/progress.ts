import { PeykError } from "../protocol/errors.ts";
import type { AckFrame, Cursor, FailedFrame } from "../protocol/frames.ts";
import { isPublic } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { History } from "../ports/transport.ts";
import type { Progress, UserRecord } from "../ports/users.ts";
import type { SessionActor } from "./actor.ts";
import type { CatchUp } from "./catch_up.ts";
import type { Journal } from "./journal.ts";
import { openEntry } from "./opened_entry.ts";
import type { Receipts } from "./receipts.ts";
import { sessionOf, type UserRecords, withSession } from "./records.ts";
import type { Reader, Session } from "./session.ts";

/** Who wants to know that a device is done with a topic up to a position. */
export interface AckListener {
  /** @returns whether a push that was held for another device is dropped because of it */
  acked(session: Session, reader: Reader): boolean;
}

/** What acks are taken in with. */
export interface ProgressParts {
  actor: SessionActor;
  catchUp: CatchUp;
  records: UserRecords;
  receipts: Receipts;
  pushes: AckListener;
  history: History | undefined;
  journal: Journal;
  /** The store says that one of this user's sessions is another attachment's, or nobody's. */
  strayed(userId: string): void;
  /** Whether the store survives a crash. */
  durable: boolean;
  clock: Clock;
  logger: Logger;
}

/** The longest that the store may lag behind what was acked. */
const WRITE_BEHIND_MS = 1_000;

/** Entries of one ack that are named from the log. */
const MOST_NAMED = 1_000;

/** Takes in what clients confirm, and writes it behind. */
export class ProgressKeeper {
  readonly #parts: ProgressParts;
  #dirty = new Set<Session>();
  #timer: Timer | undefined;

  constructor(parts: ProgressParts) {
    this.#parts = parts;
  }

  /** @throws {PeykError} `bad-order` when the client confirms what it was never sent */
  ack(session: Session, frame: AckFrame): void {
    const { actor, catchUp, clock, journal } = this.#parts;
    const seen = session.unseen.confirm(frame.seen, clock.elapsed(), (run, begin, end) => {
      const listed = !isPublic(run[begin]!.entry.topic);
      if (!listed && session.pushed === undefined) return;
      for (const sending of run.slice(begin, end)) {
        session.pushed?.delete(sending);
        if (listed) journal.note(sending.entry, session, "seen");
      }
    });
    if (seen === undefined) throw new PeykError("bad-order", "an ack of frames that were never sent");
    if (session.pushed?.size === 0) session.pushed = undefined;
    // The answer to a ping is proof of life, but no progress.
    if (seen > 0) actor.confirmed(session);
    for (const cursor of frame.cursors) this.#move(session, cursor);
    if (seen > 0) catchUp.resume(session);
  }

  /** The app gave up on one entry: the cursor passes it, the books say so. */
  failed(session: Session, frame: FailedFrame): void {
    const reader = session.reader(frame.topic);
    if (reader === undefined || reader.epoch !== frame.epoch || frame.offset <= reader.acked) return;
    if (frame.offset > reader.sent) {
      if (frame.offset <= reader.sentBefore) return;
      throw new PeykError("bad-order", "a report on an entry that was never sent");
    }
    this.#report(reader, frame.offset - 1, frame.offset, (entry) => this.#parts.receipts.failed(entry, session, frame.reason));
    reader.failed = frame.offset;
  }

  #move(session: Session, { topic, epoch, offset }: Cursor): void {
    const reader = session.reader(topic);
    if (reader === undefined || reader.epoch !== epoch || offset <= reader.acked) return;
    if (offset > reader.sent) {
      if (offset <= reader.sentBefore) return;
      throw new PeykError("bad-order", "an ack of an entry that was never sent");
    }
    const from = reader.acked;
    reader.acked = offset;
    this.#delivered(reader, from, offset);
    if (this.#parts.pushes.acked(session, reader)) return void this.save(session);
    // What no crash survives needs no writing behind: leaving writes it down.
    if (!this.#parts.durable) return;
    this.#later(session);
  }

  #later(session: Session): void {
    this.#dirty.add(session);
    this.#timer ??= this.#parts.clock.setTimeout(() => void this.flush(), WRITE_BEHIND_MS);
  }

  /** The handler is done with the entries in (from, to], except for the one it gave up on. */
  #delivered(reader: Reader, from: number, to: number): void {
    const { receipts } = this.#parts;
    const { feed, failed, session } = reader;
    if (!receipts.named(feed.topic)) {
      const skips = failed > from && failed <= to;
      receipts.counted(skips ? feed.count(from, failed - 1) + feed.count(failed, to) : feed.count(from, to));
    } else {
      this.#report(reader, from, to, (entry) => {
        if (entry.position.offset !== failed) receipts.delivered(entry, session);
      });
    }
  }

  /** Names the entries in (from, to]: most are remembered, the others are read from the log. */
  #report(reader: Reader, from: number, to: number, each: (entry: ReturnType<typeof openEntry>) => void): void {
    const { history, logger } = this.#parts;
    const { feed } = reader;
    const whole = feed.between(from, to, each);
    if (whole || history === undefined || isPublic(feed.topic)) return;
    history.read(feed.topic, from, MOST_NAMED).then((page) => {
      for (const raw of page.entries) {
        if (raw.offset <= to && feed.recall(raw.offset) === undefined) each(openEntry(raw));
      }
    }).catch((error: unknown) => logger.warn("receipts could not be named", { topic: feed.topic, error }));
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
      await records.updateRecent(userId, (record) => {
        still = sessions.every((session) => session.isStill(sessionOf(record, session.deviceId)));
        const next = sessions.reduce(withProgressOf, record);
        return next === record ? undefined : { record: next };
      });
    } catch (error) {
      logger.warn("progress could not be saved, it is tried again", { error });
      for (const session of sessions) this.#later(session);
    }
    if (!still) strayed(userId);
  }
}

/** The record with this session's progress, unless it is another attachment's by now. */
export function withProgressOf(record: UserRecord, session: Session): UserRecord {
  const stored = sessionOf(record, session.deviceId);
  if (!session.isStill(stored)) return record;
  const progress: Record<string, Progress> = { ...stored.progress };
  for (const reader of session.readers) {
    if (record.subscriptions[reader.feed.topic] !== undefined) progress[reader.feed.topic] = reader.progress();
  }
  return withSession(record, { ...stored, progress });
}
