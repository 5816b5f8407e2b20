import type { PushRequests } from "../delivery/push_requests.ts";
import type { OpenedEntry } from "../delivery/opened_entry.ts";
import { withProgressHere } from "../delivery/progress.ts";
import { sessionOf, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { Pushed, type PushProgress } from "../delivery/pushed.ts";
import type { LoggedRange, Reader, Session } from "../delivery/session.ts";
import { Turns } from "../delivery/turns.ts";
import type { Sending } from "../delivery/unseen.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Stepper } from "../session/step.ts";
import type { Decision } from "./decision.ts";
import type { PushQueue } from "./queue.ts";
import type { ReadPage } from "./read_page.ts";
import type { MadeRows, RowMaker } from "./row_maker.ts";

/** What deciding for sessions that this node holds works with. */
export interface AttachedPushesParts {
  records: UserRecords;
  roster: Roster;
  rows: RowMaker;
  queue: PushQueue;
  stepper: Stepper;
  clock: Clock;
  logger: Logger;
  read: ReadPage;
}

/** Users whose pushes are written, and logs that are read for it, at the same time. */
const WIDTH = 256;
/** Decisions of a user in one put at most: each makes a row per target. */
const DECISIONS_PER_PUT = 50;
/** Between two tries to write a push that is due now. */
const RETRY_MS = 1_000;

/** Queues pushes for sessions that are connected though a push must tell their person. What comes while a user's put is under way goes into the next one. */
export class AttachedPushes implements PushRequests {
  readonly #parts: AttachedPushesParts;
  readonly #writes: Turns;
  readonly #reads: Turns;
  /** What is to be written, by user. */
  readonly #gathered = new Map<string, Piece[]>();
  readonly #retries = new Set<Timer>();

  constructor(parts: AttachedPushesParts) {
    this.#parts = parts;
    const { clock, records } = parts;
    this.#reads = new Turns(WIDTH, clock);
    this.#writes = new Turns(WIDTH, clock, records.sections);
  }

  /** Sessions that are connected, though a push must tell their person. */
  pushNow(sessions: readonly Session[], sending: Sending): void {
    for (const session of sessions) this.#push(session, [sending]);
  }

  /** What was sent in time and not seen in time. Also what still waits in the log for a connection that may be dead. */
  pushOverdue(session: Session, overdue: readonly Sending[]): void {
    this.#push(session, overdue);
    // Without a push target reading what waits would change nothing.
    if (!this.#parts.stepper.describe(session.state).hasTarget) return;
    for (const reader of session.readers) {
      const [after, to] = [reader.undecidedAfter(), reader.feed.head.offset];
      if (!reader.behind || after >= to) continue;
      // What is overdue next goes on from here: nothing is read twice.
      reader.decidingTo = to;
      this.#pushLogged(session, reader, after, to);
    }
  }

  /** What was acked in the background before this connection, and was not decided about. */
  pushOwed(session: Session): void {
    for (const reader of session.readers) {
      const { owed } = reader;
      if (owed === 0) continue;
      this.#pushLogged(session, reader, reader.decided, owed, () => {
        reader.decided = Math.max(reader.decided, owed);
        reader.owed = 0;
      });
    }
  }

  #push(session: Session, sendings: readonly Sending[]): void {
    const { stepper } = this.#parts;
    const decisions: Decision[] = [];
    for (const sending of sendings) {
      const { event, topic, position: { offset } } = sending.entry;
      if (session.pushed?.get(topic, offset) !== undefined || session.reader(topic)?.isDecided(offset)) continue;
      const { route } = stepper.step(session.state, event);
      // What was sent while all was well and is overdue now has the route of a suspect connection by now.
      if (route!.push !== "now" && route!.push !== "coalesced") continue;
      (session.pushed ??= new Pushed()).set(topic, offset, "waits");
      decisions.push({ entry: sending.entry, route: route!, isNoted: true });
    }
    if (decisions.length > 0) void this.#gather(session, decisions);
  }

  /** Decides about the entries in (after, to] of a log as about what is sent now, and says when that is done. */
  #pushLogged(session: Session, reader: Reader, after: number, to: number, done?: () => void): void {
    const { logger } = this.#parts;
    this.#reads.run(session.userId, async () => {
      const written: Promise<void>[] = [];
      // Of a session whose connection is gone the rest is decided when it is away.
      for (let at = after; session.outlet !== undefined && reader.index >= 0 && at < to;) {
        const page = await this.#parts.read(reader.feed.topic, at);
        const decisions = this.#decide(session, page.entries.filter(({ position }) => position.offset <= to));
        if (page.through <= at) break;
        written.push(this.#gather(session, decisions, { reader, range: { after: at, to: Math.min(page.through, to) } }));
        at = page.through;
      }
      return written;
    }).then(async (written) => {
      await Promise.all(written);
      if (session.outlet !== undefined) done?.();
    }).catch((error: unknown) => {
      logger.error("a log could not be read to push from it, it is tried again", { topic: reader.feed.topic, error });
      this.#later(() => this.#pushLogged(session, reader, after, to, done));
    });
  }

  #decide(session: Session, entries: readonly OpenedEntry[]): Decision[] {
    const decisions: Decision[] = [];
    for (const entry of entries) {
      const { route } = this.#parts.stepper.step(session.state, entry.event);
      if (route!.push === "now" || route!.push === "coalesced") decisions.push({ entry, route: route! });
    }
    return decisions;
  }

  /** @returns resolves when all of them are written, however often that takes */
  async #gather(session: Session, decisions: readonly Decision[], logged?: Logged): Promise<void> {
    const pieces: Promise<void>[] = [];
    for (let at = 0; at === 0 || at < decisions.length; at += DECISIONS_PER_PUT) {
      const { promise, resolve } = Promise.withResolvers<void>();
      pieces.push(promise);
      const end = at + DECISIONS_PER_PUT;
      const piece = { session, decisions: decisions.slice(at, end), written: resolve };
      // With its last piece the whole range is decided.
      this.#add(session.userId, [end < decisions.length || logged === undefined ? piece : { ...piece, logged }]);
    }
    await Promise.all(pieces);
  }

  #add(userId: string, pieces: readonly Piece[]): void {
    const gathered = this.#gathered.get(userId);
    if (gathered !== undefined) return void gathered.push(...pieces);
    this.#gathered.set(userId, [...pieces]);
    void this.#writes.run(userId, () => this.#writeHeld(userId));
  }

  /** Inside the user's section: writes what was gathered until now, as far as it fits into a put. */
  async #writeHeld(userId: string): Promise<void> {
    const gathered = this.#gathered.get(userId)!;
    this.#gathered.delete(userId);
    const pieces: Piece[] = [];
    for (let room = DECISIONS_PER_PUT; gathered.length > 0 && gathered[0]!.decisions.length <= room;) {
      const piece = gathered.shift()!;
      room -= piece.decisions.length;
      pieces.push(piece);
    }
    // The rest has its turn behind what else waits for the user's section.
    if (gathered.length > 0) this.#add(userId, gathered);
    await this.#putHeld(userId, pieces);
  }

  async #putHeld(userId: string, pieces: readonly Piece[]): Promise<void> {
    const { records, rows, logger, queue, roster } = this.#parts;
    const decided = new Map<Session, Decision[]>();
    for (const { session, decisions } of pieces) decided.set(session, [...decided.get(session) ?? [], ...decisions]);
    const made = new Map<Session, MadeRows>();
    try {
      await records.updateHeld(userId, async (record) => {
        made.clear();
        // How far it is decided is stored with the rows.
        const here = asWritten(decided, pieces, () => withProgressHere(record, roster));
        for (const [session, decisions] of decided) {
          const who = sessionOf(record, session.deviceId);
          if (session.isStill(who)) made.set(session, await rows.make(who, here, decisions, "user"));
        }
        const all = [...made.values()].flatMap(({ rows }) => rows);
        return all.length === 0 ? undefined : { record: here, rows: all };
      });
    } catch (error) {
      logger.error("a push could not be queued, it is tried again", { error });
      queue.unsure();
      return this.#later(() => this.#add(userId, pieces));
    }
    for (const [session, rows] of made) {
      for (const { entry, isNoted } of decided.get(session)!) if (isNoted) session.reader(entry.topic)?.pushWritten(entry);
      queue.added(rows, session.deviceId);
    }
    for (const { logged, written } of pieces) {
      logged?.reader.decidedFromLog(logged.range);
      written();
    }
  }

  /** Tries something again a little later. */
  #later(task: () => void): void {
    const { clock } = this.#parts;
    const timer = clock.setTimeout(() => {
      this.#retries.delete(timer);
      task();
    }, RETRY_MS);
    this.#retries.add(timer);
  }

  /** Resolves when nothing is being written. What could not be written stays undecided in the store. */
  async close(): Promise<void> {
    await this.#reads.idle();
    await this.#writes.idle();
    for (const timer of this.#retries) this.#parts.clock.clearTimeout(timer);
    this.#retries.clear();
  }
}

/** Decisions for one session that are written in one put. */
interface Piece {
  readonly session: Session;
  readonly decisions: readonly Decision[];
  /** What is decided with it. Absent: what was sent. */
  readonly logged?: Logged;
  /** Called when they are written, or the session is another attachment's by now. */
  readonly written: () => void;
}

/** A part of a log that is decided about as a whole. */
interface Logged {
  readonly reader: Reader;
  readonly range: LoggedRange;
}

/** Runs `task` as if what waits to be written of these decisions were written. */
function asWritten<T>(decided: ReadonlyMap<Session, readonly Decision[]>, pieces: readonly Piece[], task: () => T): T {
  const before: { pushed: Pushed; entry: OpenedEntry; progress: PushProgress }[] = [];
  const readers = new Map<Reader, LoggedRange | undefined>();
  for (const [session, decisions] of decided) {
    for (const { entry, isNoted } of decisions) {
      if (!isNoted) continue;
      const { topic, position: { offset } } = entry;
      const progress = session.pushed?.get(topic, offset);
      const reader = session.reader(topic);
      if (progress !== undefined) {
        before.push({ pushed: session.pushed!, entry, progress });
        session.pushed!.set(topic, offset, "written");
      } else if (reader !== undefined) {
        if (!readers.has(reader)) readers.set(reader, reader.logged);
        reader.pushWritten(entry);
      }
    }
  }
  for (const { logged } of pieces) {
    if (logged === undefined) continue;
    const { range, reader } = logged;
    if (!readers.has(reader)) readers.set(reader, reader.logged);
    reader.decidedFromLog(range);
  }
  try {
    return task();
  } finally {
    for (const { pushed, entry, progress } of before) pushed.set(entry.topic, entry.position.offset, progress);
    for (const [reader, logged] of readers) reader.logged = logged;
  }
}
