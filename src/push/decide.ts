import type { AwayDecisions } from "../delivery/leave.ts";
import type { PushRequests } from "../delivery/push_requests.ts";
import type { EntryName, Journal } from "../delivery/journal.ts";
import { openEntry } from "../delivery/opened_entry.ts";
import { type AckListener, withProgressHere } from "../delivery/progress.ts";
import { progressOf } from "../delivery/places.ts";
import { isAway, sessionOf, type UserRecords, withoutNode, withSession } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName, type Reader, type Session } from "../delivery/session.ts";
import { isEnabled } from "../delivery/target.ts";
import type { Sending } from "../delivery/unseen.ts";
import { isPublic, type Topic } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";
import type { History, HistoryPage } from "../ports/transport.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import type { Policy } from "../session/policy.ts";
import { SessionEvent, type StateId, type Stepper } from "../session/step.ts";
import { howHandled, withHandledBy } from "../reading/handled.ts";
import type { Arbiter } from "./arbiter.ts";
import { Lanes } from "./lanes.ts";
import { type Done, queuedNote } from "./need.ts";
import type { PendingPushes } from "./pending.ts";
import { rowId } from "./row_id.ts";
import { type Decision, type MadeRows, RowMaker } from "./row_maker.ts";

/** What deciding works with. */
export interface DecideParts {
  records: UserRecords;
  roster: Roster;
  history: History | undefined;
  stepper: Stepper;
  policy: Policy;
  arbiter: Arbiter;
  pending: PendingPushes;
  journal: Journal;
  clock: Clock;
  logger: Logger;
}

/** Reads a page of a log; a sweep shares what it read among many users. */
export type ReadPage = (topic: Topic, after: number) => Promise<HistoryPage>;

const PAGE = 500;
/** Users whose pushes are written at the same time. */
const WIDTH = 32;
/** Between two tries to write a push that is due now. */
const RETRY_MS = 1_000;

/** Turns decisions into rows of the outbox, in one step with what was decided. */
export class PushDecisions implements PushRequests, AwayDecisions, AckListener {
  readonly #parts: DecideParts;
  readonly #rows: RowMaker;
  readonly #lanes = new Lanes(WIDTH);
  readonly #retries = new Set<Timer>();
  /** The states of somebody who is away: without and with a push target. */
  readonly #away: { without: StateId; with: StateId };

  constructor(parts: DecideParts) {
    this.#parts = parts;
    this.#rows = new RowMaker(parts);
    const { stepper } = parts;
    this.#away = { without: stepper.start, with: stepper.step(stepper.start, SessionEvent["target.some"]).next };
  }

  /** Sessions that are connected, though a push must tell their person. */
  pushNow(sessions: readonly Session[], sending: Sending): void {
    for (const session of sessions) this.#push(session, [sending]);
  }

  /** What was sent in time and not seen in time. Also what still waits in the log for a connection that may be dead. */
  pushOverdue(session: Session, overdue: readonly Sending[]): void {
    this.#push(session, overdue);
    for (const reader of session.readers) {
      if (!reader.behind) continue;
      this.#lanes.add(() => this.#pushLogged(session, reader, Math.max(reader.sent, reader.decided), reader.feed.head.offset));
    }
  }

  /** What was acked in the background before this connection, and was not decided about. */
  pushOwed(session: Session): void {
    for (const reader of session.readers) {
      const { owed } = reader;
      if (owed === 0) continue;
      const done = (): void => {
        reader.decided = Math.max(reader.decided, owed);
        reader.owed = 0;
      };
      this.#lanes.add(() => this.#pushLogged(session, reader, reader.decided, owed, done));
    }
  }

  waits(userId: string): boolean {
    return this.#parts.pending.has(userId);
  }

  /** Drops what waits and is not needed any more because of what was acked at a device. */
  dealtWith(session: Session): void {
    const { userId, deviceId } = session;
    // What each topic's reader knows is worked out once, however many rows wait.
    const known = new Map(session.readers.map((reader) => {
      return [reader.feed.topic, { reader, handled: withHandledBy(undefined, reader.progress(), reader.handled) }];
    }));
    const done = (row: NewOutboxRow): Done | undefined => {
      const { reader, handled } = known.get(row.topic) ?? {};
      if (reader?.epoch !== row.position.epoch) return undefined;
      if (row.deviceId === deviceId) return row.position.offset <= reader.shown ? "shown" : undefined;
      return howHandled(handled, row.position);
    };
    void this.#parts.pending.dropDone(userId, done, deviceId);
  }

  /** A device in front has these in time: what was decided before it came back is not needed. */
  seen({ userId, deviceId }: Session, sendings: readonly Sending[]): void {
    const seen = new Set(sendings.map(({ entry: { topic, position } }) => rowId("", topic, position)));
    const { pending } = this.#parts;
    const done = (row: NewOutboxRow): Done | undefined => {
      const { deviceId: to, topic, position } = row;
      const isMeant = to === deviceId && seen.has(rowId("", topic, position)) && !pending.wasAsked(row);
      return isMeant ? "seen" : undefined;
    };
    void pending.dropDone(userId, done, deviceId);
  }

  async decideHeld(userId: string, deviceId: string): Promise<void> {
    const record = await this.#parts.records.store.get(userId);
    const session = record && sessionOf(record, deviceId);
    const topics = Object.keys(record?.subscriptions ?? {}).filter((topic) => session && needsDecision(session, topic));
    for (const topic of topics) {
      // Up to the head that the log has now, not the one this node was told of: who swept what came since saw nobody away.
      const task = { userId, deviceId, topic, head: Number.MAX_SAFE_INTEGER, read: this.read };
      await this.#decideDeviceHeld({ ...task, isLast: topic === topics.at(-1) });
    }
  }

  /**
   * Decides about the entries of one topic up to `head` for the away devices of a user. May repeat: rows are unique, and what was
   * decided is stored with them.
   */
  async decideTopic(userId: string, topic: Topic, head: number, read: ReadPage): Promise<void> {
    const { records } = this.#parts;
    // Whoever goes away after this look reads the head after that, and decides for itself.
    const record = await records.store.get(userId);
    if (record?.subscriptions[topic] === undefined) return;
    for (const session of record.sessions) {
      if (!needsDecision(session, topic)) continue;
      const { deviceId } = session;
      const task = { userId, deviceId, topic, head, read, isLast: false };
      await records.exclusively(userId, () => this.#decideDeviceHeld(task, record));
    }
  }

  readonly read: ReadPage = async (topic, after) => {
    const { history } = this.#parts;
    if (history !== undefined) return await history.read(topic, after, PAGE);
    return { entries: [], through: 0, expired: 0, head: { epoch: 0, offset: 0 }, floor: 0 };
  };

  async #decideDeviceHeld(task: Task, known?: UserRecord): Promise<void> {
    let more = await this.#decidePageHeld(task, known);
    while (more) more = await this.#decidePageHeld(task);
  }

  /** @returns whether more is to be decided */
  async #decidePageHeld({ userId, deviceId, topic, head, read, isLast }: Task, known?: UserRecord): Promise<boolean> {
    const { clock, journal, pending, records, roster, stepper } = this.#parts;
    const decisions: Decision[] = [];
    let more = false;
    let who: SessionRecord | undefined;
    let made = NOTHING;
    await records.updateHeld(userId, async (record) => {
      decisions.length = 0;
      made = NOTHING;
      more = false;
      who = sessionOf(record, deviceId);
      if (who === undefined || !isAway(who) || record.subscriptions[topic] === undefined) return undefined;
      const progress = progressOf(record, who, topic);
      let page = await read(topic, progress.decided);
      const { epoch } = page.head;
      const decided = progress.epoch === epoch ? progress.decided : 0;
      // Nothing is decided in another life of the log, whatever was in the one before.
      if (decided < progress.decided) page = await read(topic, 0);
      if (progress.epoch === epoch && decided >= Math.min(head, page.head.offset)) return undefined;
      const state = who.targets.some(isEnabled) ? this.#away.with : this.#away.without;
      for (const raw of page.entries) {
        const entry = openEntry(raw);
        decisions.push({ entry, route: stepper.step(state, entry.event).route! });
      }
      made = await this.#rows.make(who, withProgressHere(record, roster), decisions);
      more = page.through < page.head.offset && page.through > decided;
      const before = progress.epoch === epoch ? progress : { epoch, from: 0, acked: 0, shown: 0 };
      const moved = { ...who.progress, [topic]: { ...before, decided: page.through } };
      const decidedFor = { ...who, progress: moved };
      const isGone = isLast && !more && who.leaving === true;
      return { record: withSession(record, isGone ? withoutNode(decidedFor, clock.now()) : decidedFor), rows: made.rows };
    }, known).catch((error: unknown) => {
      pending.unsure();
      throw error;
    });
    if (who === undefined) return false;
    const device = { userId, device: deviceName(deviceId) };
    for (const { entry, route } of decisions) {
      journal.accepted(entry);
      journal.routed(entry, device, "disconnected.away", route);
    }
    this.#queued(made, who);
    return more;
  }

  #push(session: Session, sendings: readonly Sending[]): void {
    const fresh = sendings.filter((sending) => {
      const { topic, position } = sending.entry;
      return !session.pushed?.has(sending) && position.offset > (session.reader(topic)?.decided ?? 0);
    });
    if (fresh.length === 0) return;
    const { stepper } = this.#parts;
    const decisions: Decision[] = [];
    for (const sending of fresh) {
      const { route } = stepper.step(session.state, sending.entry.event);
      // What was sent while all was well and is overdue now has the route of a suspect connection by now.
      if (route!.push !== "now" && route!.push !== "coalesced") continue;
      (session.pushed ??= new Map()).set(sending, "waits");
      decisions.push({ entry: sending.entry, route: route!, sending });
    }
    if (decisions.length > 0) this.#lanes.add(() => this.#write(session, decisions));
  }

  /** Decides about the entries in (after, to] of a log as about what is sent now, and says when that is done. */
  async #pushLogged(session: Session, reader: Reader, after: number, to: number, done?: () => void): Promise<void> {
    const { logger, stepper } = this.#parts;
    try {
      for (let at = after; reader.index >= 0 && at < to;) {
        const page = await this.read(reader.feed.topic, at);
        const decisions: Decision[] = [];
        for (const raw of page.entries) {
          if (raw.offset > to) continue;
          const entry = openEntry(raw);
          const { route } = stepper.step(session.state, entry.event);
          if (route!.push === "now" || route!.push === "coalesced") decisions.push({ entry, route: route! });
        }
        if (decisions.length > 0) await this.#write(session, decisions);
        if (page.through <= at) break;
        at = page.through;
      }
      done?.();
    } catch (error) {
      logger.error("a log could not be read to push from it, it is tried again", { topic: reader.feed.topic, error });
      this.#again(() => this.#pushLogged(session, reader, after, to, done));
    }
  }

  /** Tries something again a little later. */
  #again(task: () => Promise<void>): void {
    const { clock } = this.#parts;
    const timer = clock.setTimeout(() => {
      this.#retries.delete(timer);
      this.#lanes.add(task);
    }, RETRY_MS);
    this.#retries.add(timer);
  }

  async #write(session: Session, decisions: readonly Decision[]): Promise<void> {
    const { records, logger, pending, roster } = this.#parts;
    let made = NOTHING;
    let who: SessionRecord | undefined;
    try {
      await records.update(session.userId, async (record) => {
        who = sessionOf(record, session.deviceId);
        made = session.isStill(who) ? await this.#rows.make(who, withProgressHere(record, roster), decisions) : NOTHING;
        return made.rows.length === 0 ? undefined : { record, rows: made.rows };
      });
      if (!session.isStill(who)) return;
      for (const { sending } of decisions) {
        if (session.pushed?.get(sending!) === "waits") session.pushed.set(sending!, "written");
        else session.pushed?.delete(sending!);
      }
      this.#queued(made, who);
    } catch (error) {
      logger.error("a push could not be queued, it is tried again", { error });
      pending.unsure();
      this.#again(() => this.#write(session, decisions));
    }
  }

  #queued({ rows, spared }: MadeRows, { deviceId }: SessionRecord): void {
    const { clock, journal, pending, roster } = this.#parts;
    const now = clock.now();
    for (const row of rows) {
      const entry: EntryName = { id: row.messageId, topic: row.topic, position: row.position };
      const who = { userId: row.userId, device: deviceName(row.deviceId) };
      const { kind, detail } = queuedNote(row, now);
      journal.note(entry, who, kind, detail);
    }
    for (const { entry, userId, why } of spared) {
      journal.note(entry, { userId, device: deviceName(deviceId) }, "push-spared", why);
    }
    if (rows.length === 0) return;
    pending.added(rows);
    // What was acked while the rows were being written did not find them yet.
    for (const session of roster.of(rows[0]!.userId)) this.dealtWith(session);
  }

  /** Resolves when nothing is being written. What could not be written stays undecided in the store. */
  async close(): Promise<void> {
    await this.#lanes.idle();
    for (const timer of this.#retries) this.#parts.clock.clearTimeout(timer);
    this.#retries.clear();
  }
}

/** The entries of one topic up to `head`, for one device that is away. */
interface Task {
  readonly userId: string;
  readonly deviceId: string;
  readonly topic: Topic;
  readonly head: number;
  readonly read: ReadPage;
  /** Nothing else of the device is to be decided: a session that is leaving is away then. */
  readonly isLast: boolean;
}

/** Whether entries of a topic are to be decided about for this session. */
function needsDecision(session: SessionRecord, topic: Topic): boolean {
  // Of a public topic nothing is written for a device that can't be pushed to anyway.
  return isAway(session) && (!isPublic(topic) || session.targets.some(isEnabled));
}

const NOTHING: MadeRows = Object.freeze({ rows: Object.freeze([]), spared: Object.freeze([]) });
