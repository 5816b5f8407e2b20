import type { Journal } from "../delivery/journal.ts";
import { type OpenedEntry, openEntry } from "../delivery/opened_entry.ts";
import { progressOf } from "../delivery/places.ts";
import { withProgressHere } from "../delivery/progress.ts";
import { isAway, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { deviceName } from "../delivery/session.ts";
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
export interface PassEntries {
  readonly topic: Topic;
  readonly epoch: number;
  readonly decisions: readonly Decision[];
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
      for (const raw of page.entries) {
        if (raw.offset > to) break;
        const entry = light(openEntry(raw));
        journal.accepted(entry);
        decisions.push({ entry, route: stepper.step(state, entry.event).route! });
      }
      if (page.through <= after) break;
      after = page.through;
    }
    return { topic, epoch, decisions };
  }

  async rowsFor(names: readonly string[], entries: PassEntries): Promise<MembersRows> {
    const { journal, queue } = this.#parts;
    const made: { userId: string; deviceId: string; decisions: readonly Decision[]; rows: MadeRows }[] = [];
    if (entries.decisions.length > 0) {
      const records = await Promise.all(names.map((userId) => this.#read(userId)));
      for (const record of records) {
        if (record?.subscriptions[entries.topic] === undefined) continue;
        for (const session of record.sessions) {
          if (!isAway(session) || !session.targets.some(isEnabled)) continue;
          const decisions = openFor(session, record, entries);
          if (decisions.length === 0) continue;
          const rows = await this.#parts.rows.make(session, record, decisions);
          made.push({ userId: record.userId, deviceId: session.deviceId, decisions, rows });
        }
      }
    }
    return {
      rows: made.flatMap(({ rows }) => rows.rows),
      tell() {
        for (const { userId, deviceId, decisions, rows } of made) {
          const device = { userId, device: deviceName(deviceId) };
          for (const { entry, route } of decisions) journal.routed(entry, device, "disconnected.away", route);
          queue.added(rows, deviceId);
        }
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
function openFor(session: SessionRecord, record: UserRecord, { topic, epoch, decisions }: PassEntries): readonly Decision[] {
  const { decided, epoch: own } = progressOf(record, session, topic);
  // In another life of the log nothing was decided.
  if (own !== epoch) return decisions;
  const first = decisions.findIndex(({ entry }) => entry.position.offset > decided);
  return first < 0 ? [] : first === 0 ? decisions : decisions.slice(first);
}

/** Without its bytes: a pass holds many entries, and for long. */
function light(entry: OpenedEntry): OpenedEntry {
  const { id, topic, position, previous, from, sentAt, expiresAt, urgency, event, silent, collapseKey, device } = entry;
  const nothing = new Uint8Array();
  return {
    ...{ id, topic, position, previous, from, sentAt, expiresAt, urgency, event, silent, collapseKey, device },
    ...{ bytes: nothing, frame: nothing, account: undefined },
  };
}
