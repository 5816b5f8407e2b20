import type { AwayDecisions } from "../delivery/leave.ts";
import type { Journal } from "../delivery/journal.ts";
import { withProgressHere } from "../delivery/progress.ts";
import { progressOf } from "../delivery/places.ts";
import { isAway, progressIn, sessionOf, type UserRecords, withProgress, withSessionAway } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName } from "../delivery/session.ts";
import { isEnabled } from "../delivery/target.ts";
import { isForgotten } from "../delivery/temporary.ts";
import { Turns } from "../delivery/turns.ts";
import type { Clock } from "../ports/clock.ts";
import type { Progress, SessionRecord, UserRecord } from "../ports/users.ts";
import { isPublic, type Topic } from "../protocol/names.ts";
import { SessionEvent, type StateId, type Stepper } from "../session/step.ts";
import type { Decision } from "./decision.ts";
import type { PushQueue } from "./queue.ts";
import type { ReadPage } from "./read_page.ts";
import type { MadeRows, RowMaker } from "./row_maker.ts";

/** What deciding for devices that are away works with. */
export interface AwayPushesParts {
  records: UserRecords;
  roster: Roster;
  rows: RowMaker;
  queue: PushQueue;
  stepper: Stepper;
  journal: Journal;
  clock: Clock;
  read: ReadPage;
}

/** Users who are decided for at the same time. */
const WIDTH = 256;
/** Rows in one put at most: a storage takes a bounded number of documents in one step. */
const ROWS_PER_PUT = 200;
/** Topics of which it is remembered how far their untargeted devices were told of. */
const TOLD = 1_000;

/**
 * Decides about pushes for devices that are away: what is open in their topics becomes rows of the outbox, in one step with how far
 * it is decided. All devices of a user share a step. For a device without a target nothing is written: what it gets begins with the
 * target's registration.
 */
export class AwayPushes implements AwayDecisions {
  readonly #parts: AwayPushesParts;
  readonly #turns: Turns;
  /** The states of a session that is away: without and with a push target. */
  readonly #away: { without: StateId; with: StateId };
  readonly #told = new Map<Topic, number>();

  constructor(parts: AwayPushesParts) {
    this.#parts = parts;
    const { clock, records, stepper } = parts;
    this.#turns = new Turns(WIDTH, clock, records.sections);
    this.#away = { without: stepper.start, with: stepper.step(stepper.start, SessionEvent["target.some"]).next };
  }

  async leaveHeld(userId: string, deviceId: string): Promise<void> {
    // Up to the head that the log has now, not the one this node was told of: later entries were swept while the session was not away.
    await this.#decideHeld({
      userId,
      leaving: deviceId,
      topic: undefined,
      head: Number.MAX_SAFE_INTEGER,
      read: this.#parts.read,
    });
  }

  async decideBegun(userId: string, topic: Topic): Promise<void> {
    await this.decideTopic(userId, topic, Number.MAX_SAFE_INTEGER, this.#parts.read);
  }

  /**
   * Decides about the entries of a topic up to `head` for its owner's devices that are away. May repeat: rows are unique, and how
   * far it is decided is stored with them.
   */
  async decideTopic(userId: string, topic: Topic, head: number, read: ReadPage): Promise<void> {
    const { records } = this.#parts;
    // A session that goes away after this look reads the head after that, and decides for itself.
    const record = await records.store.get(userId);
    if (record?.subscriptions[topic] === undefined) return;
    if (!isPublic(topic)) await this.#tellUntargeted(record, topic, head, read);
    if (!record.sessions.some(isPushedTo)) return;
    const task: Task = { userId, leaving: undefined, topic, head, read };
    await this.#turns.run(userId, () => this.#decideHeld(task, record));
  }

  /** For `explain()`: a message in a private topic, and a device that can't be pushed to. */
  async #tellUntargeted(record: UserRecord, topic: Topic, head: number, read: ReadPage): Promise<void> {
    const { clock, journal, stepper } = this.#parts;
    const now = clock.now();
    const untargeted = record.sessions.filter((session) => {
      return isAway(session) && !session.targets.some(isEnabled) && !isForgotten(session, now);
    });
    if (untargeted.length === 0) return;
    const page = await read(topic, this.#told.get(topic) ?? head - 1);
    this.#told.delete(topic);
    this.#told.set(topic, head);
    if (this.#told.size > TOLD) this.#told.delete(this.#told.keys().next().value!);
    for (const entry of page.entries) {
      if (entry.position.offset > head) break;
      const route = stepper.step(this.#away.without, entry.event).route!;
      journal.accepted(entry);
      for (const { deviceId } of untargeted) {
        journal.routed(entry, { userId: record.userId, device: deviceName(deviceId) }, "disconnected.away", route);
      }
    }
  }

  /** Inside the user's section. */
  async #decideHeld(task: Task, known?: UserRecord): Promise<void> {
    let more = await this.#stepHeld(task, known);
    while (more) more = await this.#stepHeld(task);
  }

  /** @returns whether more is to be decided */
  async #stepHeld(task: Task, known?: UserRecord): Promise<boolean> {
    const { clock, queue, records, roster } = this.#parts;
    const { userId, leaving } = task;
    let steps: DeviceStep[] = [];
    let more = false;
    await records.updateHeld(userId, async (stored) => {
      steps = [];
      more = false;
      let record = stored;
      let room = ROWS_PER_PUT;
      const here = withProgressHere(stored, roster);
      for (const session of stored.sessions) {
        if (!isPushedTo(session) || (leaving !== undefined && session.deviceId !== leaving)) continue;
        const step = await this.#decideDevice(session, here, task, room);
        more ||= step.more;
        room -= step.made.rows.length;
        if (step.progress === progressIn(here, session.deviceId)) continue;
        steps.push(step);
        record = withProgress(record, session.deviceId, step.progress);
      }
      const left = leaving === undefined || more ? undefined : sessionOf(record, leaving);
      if (left?.leaving === true) record = withSessionAway(record, left, clock.now());
      return record === stored ? undefined : { record, rows: steps.flatMap(({ made }) => made.rows) };
    }, known).catch((error: unknown) => {
      queue.unsure();
      throw error;
    });
    for (const step of steps) this.#tell(userId, step);
    return more;
  }

  /** What is open for one device, as far as its rows fit into the put. */
  async #decideDevice(session: SessionRecord, record: UserRecord, task: Task, most: number): Promise<DeviceStep> {
    const { rows } = this.#parts;
    const all: DeviceStep = {
      ...{ deviceId: session.deviceId, progress: progressIn(record, session.deviceId), decisions: [], more: false },
      made: { rows: [], spared: [], superseded: [] },
    };
    for (const topic of task.topic === undefined ? Object.keys(record.subscriptions) : [task.topic]) {
      const open = await this.#open(session, record, topic, task);
      if (open === undefined) continue;
      // As many entries as have room for their rows; the others are decided about by the next put.
      let { decisions, through } = open;
      let made = await rows.make(session, record, decisions, "user");
      const room = most - all.made.rows.length;
      while (made.rows.length > room && decisions.length > 1) {
        decisions = decisions.slice(0, decisions.length >> 1);
        through = decisions.at(-1)!.entry.position.offset;
        made = await rows.make(session, record, decisions, "user");
      }
      if (made.rows.length > room) return { ...all, more: true };
      all.made.rows.push(...made.rows);
      all.made.superseded.push(...made.superseded);
      all.made.spared.push(...made.spared);
      all.decisions.push(...decisions);
      all.progress = { ...all.progress, [topic]: { ...open.progress, decided: through } };
      all.more ||= open.more || through < open.through;
    }
    return all;
  }

  /** A page of the entries of a topic that are not decided about; undefined: there are none. */
  async #open(session: SessionRecord, record: UserRecord, topic: Topic, { head, read }: Task): Promise<Open | undefined> {
    const { stepper } = this.#parts;
    if (record.subscriptions[topic] === undefined) return undefined;
    const known = progressOf(record, session, topic);
    let page = await read(topic, known.decided);
    const { epoch } = page.head;
    const isSame = known.epoch === epoch;
    const decided = isSame ? known.decided : 0;
    // Nothing is decided in another life of the log, whatever was in the one before.
    if (decided < known.decided) page = await read(topic, 0);
    if (isSame && decided >= Math.min(head, page.head.offset)) return undefined;
    return {
      progress: isSame ? known : { epoch, from: 0, acked: 0, shown: 0 },
      decided,
      decisions: page.entries.map((entry) => ({ entry, route: stepper.step(this.#away.with, entry.event).route! })),
      through: page.through,
      more: page.through < page.head.offset && page.through > decided,
    };
  }

  #tell(userId: string, { deviceId, decisions, made }: DeviceStep): void {
    const { journal, queue } = this.#parts;
    const device = { userId, device: deviceName(deviceId) };
    for (const { entry, route } of decisions) {
      journal.accepted(entry);
      journal.routed(entry, device, "disconnected.away", route);
    }
    queue.added(made, deviceId);
  }

  /** Resolves when nothing is being decided. */
  async close(): Promise<void> {
    await this.#turns.idle();
  }
}

/** What is to be decided for a user. */
interface Task {
  readonly userId: string;
  /** Only for this device, which is away with the last of it. Undefined: for all that are away. */
  readonly leaving: string | undefined;
  /** Undefined: all that the user is subscribed to. */
  readonly topic: Topic | undefined;
  readonly head: number;
  readonly read: ReadPage;
}

/** What one put decides for one device. */
interface DeviceStep {
  readonly deviceId: string;
  progress: Readonly<Record<Topic, Progress>>;
  readonly decisions: Decision[];
  readonly made: { rows: MadeRows["rows"][number][]; spared: MadeRows["spared"][number][]; superseded: string[] };
  more: boolean;
}

/** A page of a topic's entries that a device is not decided about. */
interface Open {
  readonly progress: Omit<Progress, "decided">;
  readonly decided: number;
  readonly decisions: Decision[];
  readonly through: number;
  readonly more: boolean;
}

function isPushedTo(session: SessionRecord): boolean {
  return isAway(session) && session.targets.some(isEnabled);
}
