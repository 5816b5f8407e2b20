import type { AwayDecisions } from "../delivery/leave.ts";
import type { PushRequests } from "../delivery/push_requests.ts";
import type { EntryName, Journal } from "../delivery/journal.ts";
import { type OpenedEntry, openEntry } from "../delivery/opened_entry.ts";
import type { AckListener } from "../delivery/progress.ts";
import { progressOf } from "../delivery/places.ts";
import { sessionOf, type UserRecords, withSession } from "../delivery/records.ts";
import { deviceName, type Reader, type Session } from "../delivery/session.ts";
import type { Sending } from "../delivery/unseen.ts";
import { isPublic, type Topic } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";
import type { History, HistoryPage } from "../ports/transport.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import type { Policy } from "../session/policy.ts";
import { type Route, SessionEvent, type StateId, type Stepper } from "../session/step.ts";
import type { Arbiter } from "./arbiter.ts";
import { Lanes } from "./lanes.ts";
import type { PendingPushes } from "./pending.ts";

/** What deciding works with. */
export interface DecideParts {
  records: UserRecords;
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
  readonly #lanes = new Lanes(WIDTH);
  readonly #retries = new Set<Timer>();
  /** The states of somebody who is away: without and with a push target. */
  readonly #away: { without: StateId; with: StateId };

  constructor(parts: DecideParts) {
    this.#parts = parts;
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
    for (const reader of session.readers) if (reader.behind) this.#lanes.add(() => this.#pushBacklog(session, reader));
  }

  /** Whether pushes wait that this ack makes needless; drops them. */
  acked(session: Session, reader: Reader): boolean {
    const { arbiter, pending, stepper } = this.#parts;
    if (!pending.has(session.userId)) return false;
    const upTo = { epoch: reader.epoch, offset: reader.acked };
    const { topic } = reader.feed;
    // In the background a handler's ack does not mean that anybody has seen it.
    if (stepper.describe(session.state).state !== "backgrounded") {
      pending.drop({ userId: session.userId, deviceId: session.deviceId, topic, upTo }, "acked by this device");
    }
    if (arbiter.isAttended(session)) this.#droppedFor(reader);
    return true;
  }

  async decideHeld(userId: string, deviceId: string): Promise<void> {
    const record = await this.#parts.records.store.get(userId);
    const session = record && sessionOf(record, deviceId);
    for (const topic of Object.keys(record?.subscriptions ?? {})) {
      if (session === undefined || !needsDecision(session, topic)) continue;
      // Up to the head that the log has now, not the one this node was told of: who swept what came since saw nobody away.
      await this.#decideDeviceHeld({ userId, deviceId, topic, head: Number.MAX_SAFE_INTEGER, read: this.read });
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
      await records.exclusively(userId, () => this.#decideDeviceHeld({ userId, deviceId, topic, head, read }, record));
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
  async #decidePageHeld({ userId, deviceId, topic, head, read }: Task, known?: UserRecord): Promise<boolean> {
    const { journal, records, stepper } = this.#parts;
    const decisions: Decision[] = [];
    let more = false;
    let who: SessionRecord | undefined;
    let rows: NewOutboxRow[] = [];
    await records.updateHeld(userId, async (record) => {
      decisions.length = 0;
      rows = [];
      more = false;
      who = sessionOf(record, deviceId);
      if (who === undefined || who.node !== null || record.subscriptions[topic] === undefined) return undefined;
      const progress = progressOf(record, who, topic);
      const page = await read(topic, progress.decided);
      const { epoch } = page.head;
      const decided = progress.epoch === epoch ? progress.decided : 0;
      if (progress.epoch === epoch && decided >= Math.min(head, page.head.offset)) return undefined;
      const state = who.targets.some(isEnabled) ? this.#away.with : this.#away.without;
      for (const raw of page.entries) {
        const entry = openEntry(raw);
        decisions.push({ entry, route: stepper.step(state, entry.event).route! });
      }
      rows = await this.#rows(who, record, decisions);
      more = page.through < page.head.offset && page.through > decided;
      const acked = progress.epoch === epoch ? progress.acked : 0;
      const moved = { ...who.progress, [topic]: { epoch, acked, decided: page.through } };
      return { record: withSession(record, { ...who, progress: moved }), rows };
    }, known);
    if (who === undefined) return false;
    const device = { userId, device: deviceName(deviceId) };
    for (const { entry, route } of decisions) {
      journal.accepted(entry);
      journal.routed(entry, device, "disconnected.away", route);
    }
    this.#queued(rows);
    return more;
  }

  #push(session: Session, sendings: readonly Sending[]): void {
    const fresh = sendings.filter((sending) => !session.pushed?.has(sending));
    if (fresh.length === 0) return;
    const { stepper } = this.#parts;
    const decisions: Decision[] = [];
    for (const sending of fresh) {
      const { route } = stepper.step(session.state, sending.entry.event);
      // What was sent while all was well and is overdue now has the route of a suspect connection by now.
      if (route!.push !== "now" && route!.push !== "coalesced") continue;
      (session.pushed ??= new Map()).set(sending, false);
      decisions.push({ entry: sending.entry, route: route!, sending });
    }
    if (decisions.length > 0) this.#lanes.add(() => this.#write(session, decisions));
  }

  async #pushBacklog(session: Session, reader: Reader): Promise<void> {
    try {
      await this.#pushWaiting(session, reader);
    } catch (error) {
      this.#parts.logger.error("a log could not be read to push from it", { topic: reader.feed.topic, error });
    }
  }

  async #pushWaiting(session: Session, reader: Reader): Promise<void> {
    const { stepper } = this.#parts;
    let after = Math.max(reader.sent, reader.decided);
    while (reader.index >= 0 && after < reader.feed.head.offset) {
      const page = await this.read(reader.feed.topic, after);
      const decisions: Decision[] = [];
      for (const raw of page.entries) {
        const entry = openEntry(raw);
        const { route } = stepper.step(session.state, entry.event);
        if (route!.push === "now") decisions.push({ entry, route: route! });
      }
      await this.#write(session, decisions);
      if (page.through <= after) return;
      after = page.through;
    }
  }

  async #write(session: Session, decisions: readonly Decision[]): Promise<void> {
    const { clock, records, logger } = this.#parts;
    let rows: NewOutboxRow[] = [];
    let who: SessionRecord | undefined;
    try {
      await records.update(session.userId, async (record) => {
        who = sessionOf(record, session.deviceId);
        rows = session.isStill(who) ? await this.#rows(who, record, decisions) : [];
        return rows.length === 0 ? undefined : { record, rows };
      });
      if (!session.isStill(who)) return;
      for (const { sending } of decisions) if (session.pushed?.has(sending!)) session.pushed.set(sending!, true);
      this.#queued(rows);
    } catch (error) {
      logger.error("a push could not be queued, it is tried again", { error });
      const timer = clock.setTimeout(() => {
        this.#retries.delete(timer);
        this.#lanes.add(() => this.#write(session, decisions));
      }, RETRY_MS);
      this.#retries.add(timer);
    }
  }

  async #rows(session: SessionRecord, record: UserRecord, decisions: readonly Decision[]): Promise<NewOutboxRow[]> {
    const { arbiter, clock, pending, policy } = this.#parts;
    const now = clock.now();
    const rows: NewOutboxRow[] = [];
    const device = deviceName(session.deviceId);
    // One question for all of them, and only when an answer can hold something back.
    let attended: Promise<boolean> | undefined;
    for (const { entry, route } of decisions) {
      const { topic, position } = entry;
      if (record.subscriptions[topic] === undefined || entry.expiresAt <= now) continue;
      const coalesced = route.push === "coalesced";
      if (route.push !== "now" && !coalesced) continue;
      const until = arbiter.holdsUntil(entry.sentAt);
      const held = until > now && await (attended ??= arbiter.attendedElsewhere(record, device));
      const dueAt = held ? until : now;
      for (const target of session.targets) {
        if (!isEnabled(target)) continue;
        const id = `${target.id}\n${topic}\n${position.epoch}.${position.offset}`;
        if (pending.knows(id)) continue;
        rows.push({
          id,
          userId: record.userId,
          deviceId: session.deviceId,
          targetId: target.id,
          topic,
          position,
          messageId: entry.id,
          urgency: entry.urgency,
          dueAt: coalesced ? Math.max(dueAt, now + policy.coalesceMs) : dueAt,
          expiresAt: entry.expiresAt,
          held,
          coalesced,
          rule: route.rule,
        });
      }
    }
    return rows;
  }

  #queued(rows: readonly NewOutboxRow[]): void {
    if (rows.length === 0) return;
    const { arbiter, journal, pending } = this.#parts;
    for (const row of rows) {
      const entry: EntryName = { id: row.messageId, topic: row.topic, position: row.position };
      const who = { userId: row.userId, device: deviceName(row.deviceId) };
      journal.note(entry, who, row.held ? "push-held" : "push-queued", row.rule);
    }
    pending.added(rows);
    // Whoever acked while the rows were being written did not find them yet.
    for (const row of rows) {
      const device = deviceName(row.deviceId);
      const elsewhere = row.held ? arbiter.attendedHere({ userId: row.userId, device })?.reader(row.topic) : undefined;
      if (elsewhere !== undefined && elsewhere.acked >= row.position.offset) this.#droppedFor(elsewhere);
    }
  }

  /** This attended device is done with its topic up to here: no other device needs to buzz for that. */
  #droppedFor({ session: { userId }, feed: { topic }, epoch, acked }: Reader): void {
    this.#parts.pending.drop({ userId, topic, upTo: { epoch, offset: acked }, held: true }, "acked on another device");
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
}

interface Decision {
  readonly entry: OpenedEntry;
  readonly route: Route;
  /** As it stands in the session's window, when it was sent already. */
  readonly sending?: Sending;
}

/** Whether entries of a topic are to be decided about for this session. */
function needsDecision({ node, targets }: SessionRecord, topic: Topic): boolean {
  // Of a public topic nothing is written for whoever can't be pushed to anyway.
  return node === null && (!isPublic(topic) || targets.some(isEnabled));
}

function isEnabled(target: { disabled?: unknown }): boolean {
  return target.disabled === undefined;
}
