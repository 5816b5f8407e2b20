import type { Journal } from "../delivery/journal.ts";
import { progressOf } from "../delivery/places.ts";
import { withProgressHere } from "../delivery/progress.ts";
import { isAway, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { isEnabled } from "../delivery/target.ts";
import type { AddedRow, TopicDecision } from "../ports/outbox.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import type { Topic } from "../protocol/names.ts";
import { SessionEvent, type Stepper } from "../session/step.ts";
import type { Decision } from "./decision.ts";
import type { PushQueue } from "./queue.ts";
import type { ReadPage } from "./read_page.ts";
import type { MadeRows, RowMaker } from "./row_maker.ts";

/** What making rows for members works with. */
export interface MemberRowsParts {
  records: UserRecords;
  roster: Roster;
  rows: RowMaker;
  queue: PushQueue;
  stepper: Stepper;
  journal: Journal;
  read: ReadPage;
}

/** The entries of a pass, and what each is to a device that is away and has a target. */
export class PassEntries {
  readonly topic: Topic;
  readonly epoch: number;
  readonly all: readonly Decision[];
  /** By the index of the first. Members share them, and what is planned from them. */
  readonly #tails = new Map<number, readonly Decision[]>();

  constructor(topic: Topic, epoch: number, all: readonly Decision[]) {
    this.topic = topic;
    this.epoch = epoch;
    this.all = all;
  }

  /** Those behind an offset. */
  after(offset: number): readonly Decision[] {
    const found = this.all.findIndex(({ entry }) => entry.position.offset > offset);
    const first = found < 0 ? this.all.length : found;
    let tail = first === 0 ? this.all : this.#tails.get(first);
    if (tail === undefined) this.#tails.set(first, tail = this.all.slice(first));
    return tail;
  }
}

/** Rows for a page of members, and what is to be told once they are stored. */
export interface MembersRows {
  readonly rows: readonly AddedRow[];
  tell(): void;
}

/** Turns the entries of a pass into rows for members' devices that are away. */
export class MemberRows {
  readonly #parts: MemberRowsParts;

  constructor(parts: MemberRowsParts) {
    this.#parts = parts;
  }

  /** Reads the entries of a pass. */
  async open(topic: Topic, { decided, epoch }: TopicDecision, to: number): Promise<PassEntries> {
    const { journal, read, stepper } = this.#parts;
    const state = stepper.step(stepper.start, SessionEvent["target.some"]).next;
    const decisions: Decision[] = [];
    for (let after = decided; after < to;) {
      const page = await read(topic, after);
      if (page.head.epoch !== epoch) break;
      for (const entry of page.entries) {
        if (entry.position.offset > to) break;
        journal.accepted(entry);
        decisions.push({ entry, route: stepper.step(state, entry.event).route! });
      }
      if (page.through <= after) break;
      after = page.through;
    }
    return new PassEntries(topic, epoch, decisions);
  }

  async rowsFor(names: readonly string[], entries: PassEntries): Promise<MembersRows> {
    const { journal, queue } = this.#parts;
    const made: { deviceId: string; decisions: readonly Decision[]; rows: MadeRows }[] = [];
    if (entries.all.length > 0) {
      const records = await Promise.all(names.map((userId) => this.#read(userId)));
      for (const record of records) {
        if (record?.subscriptions[entries.topic] === undefined) continue;
        for (const session of record.sessions) {
          if (!isAway(session) || !session.targets.some(isEnabled)) continue;
          const decisions = openFor(session, record, entries);
          if (decisions.length === 0) continue;
          const rows = await this.#parts.rows.make(session, record, decisions, "topic");
          made.push({ deviceId: session.deviceId, decisions, rows });
        }
      }
    }
    return {
      rows: made.flatMap(({ rows }) => rows.rows),
      tell() {
        // A pass may have many entries, and most members' devices share them.
        for (const [decisions, { length }] of Map.groupBy(made, ({ decisions }) => decisions)) {
          for (const { entry, route } of decisions) journal.counted(entry, route, length);
        }
        for (const { deviceId, rows } of made) queue.added(rows, deviceId);
      },
    };
  }

  /** With a device that is leaving the node that it leaves decides at the same time: on this node its section is waited for. */
  async #read(userId: string): Promise<UserRecord | undefined> {
    const { records, roster } = this.#parts;
    let record = await records.store.get(userId);
    if (record?.sessions.some(({ leaving }) => leaving)) {
      record = await records.exclusively(userId, () => records.store.get(userId));
    }
    return record && withProgressHere(record, roster);
  }
}

/** What of a pass is not decided for a device: it may have left in the middle of the entries, or have been subscribed then. */
function openFor(session: SessionRecord, record: UserRecord, entries: PassEntries): readonly Decision[] {
  const { decided, epoch } = progressOf(record, session, entries.topic);
  // In another life of the log nothing was decided.
  return epoch === entries.epoch ? entries.after(decided) : entries.all;
}
