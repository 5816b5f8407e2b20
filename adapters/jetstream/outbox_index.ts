import type { OutboxRow } from "../../src/ports/outbox.ts";
import { asOf, type OpenRow, pendingAgainAt } from "./outbox_row.ts";
import { Timelines } from "./timeline.ts";

/** Ended rows that are remembered until the server tells of their end too. */
const REMEMBERED = 10_000;
/** What an open row takes beside the text in it, and what a remembered subject does, bytes, about. */
const ROW_BYTES = 2_000;
const SUBJECT_BYTES = 100;

/** The open rows as this node knows them: its own changes at once, those of others when the server tells. A copy: what is decided is decided at the server. */
export class OutboxIndex {
  readonly #rows = new Map<string, OpenRow>();
  readonly #subjects = new Map<string, string>();
  readonly #byTarget = new Groups();
  readonly #byMessage = new Groups();
  /** Of each provider: pending rows by due time, taken ones by the time at which they are pending again. */
  readonly #byProvider = new Timelines();
  /** Of each topic: rows that are stored as pending, by due time. */
  readonly #pendingIn = new Timelines();
  readonly #takenIn = new Groups();
  readonly #ended = new Map<string, number>();
  /** While a consumer tells of all that stands: which those are. */
  #standing: Set<string> | undefined;
  #bytes = 0;

  /** What it takes in memory, about. It grows with the rows that are open. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A version of a row. Older ones than is known of change nothing. */
  set(row: OpenRow): void {
    const { subject, seq } = row;
    if ((this.#ended.get(subject) ?? 0) >= seq || this.seqOf(subject) >= seq) return;
    this.#remove(subject);
    this.#bytes += bytesOf(row);
    this.#rows.set(subject, row);
    this.#subjects.set(row.row.id, subject);
    this.#byTarget.add(row.row.targetId, subject);
    this.#byMessage.add(row.row.messageId, subject);
    this.#byProvider.add(row.row.provider, dueOf(row.row), subject);
    if (row.row.status === "pending") this.#pendingIn.add(row.row.topic, row.row.dueAt, subject);
    else this.#takenIn.add(row.row.topic, subject);
  }

  /**
   * A row is gone.
   * @param told the server said so: no older version comes any more
   */
  end(subject: string, seq: number, told: boolean): void {
    if (this.seqOf(subject) <= seq) this.#remove(subject);
    if (told) return this.#forgetEnd(subject);
    if (!this.#ended.has(subject)) this.#bytes += SUBJECT_BYTES + subject.length;
    this.#ended.set(subject, seq);
    if (this.#ended.size > REMEMBERED) this.#forgetEnd(this.#ended.keys().next().value!);
  }

  #forgetEnd(subject: string): void {
    if (this.#ended.delete(subject)) this.#bytes -= SUBJECT_BYTES + subject.length;
  }

  /**
   * A row is gone without a trace: its end is long ago.
   * @param seq of what was known when the server was asked: a row that has come since stays
   */
  drop(subject: string, seq: number): void {
    if (this.seqOf(subject) === seq) this.#remove(subject);
  }

  /** Which version of a row is known; 0: none. */
  seqOf(subject: string): number {
    return this.#rows.get(subject)?.seq ?? 0;
  }

  /** From here on it is told of all that stands. */
  begin(): void {
    this.#forgetStanding();
    this.#standing = new Set();
  }

  /** Something stands at this subject, if only that a row has ended. */
  stands(subject: string): void {
    if (this.#standing === undefined || this.#standing.has(subject)) return;
    this.#standing.add(subject);
    this.#bytes += SUBJECT_BYTES + subject.length;
  }

  /** Everything written before `seq` that still stands was told of. */
  retain(before: number): void {
    const standing = this.#standing;
    if (standing === undefined) return;
    this.#forgetStanding();
    for (const { subject, seq } of this.#rows.values()) if (seq < before && !standing.has(subject)) this.#remove(subject);
  }

  #forgetStanding(): void {
    for (const subject of this.#standing ?? []) this.#bytes -= SUBJECT_BYTES + subject.length;
    this.#standing = undefined;
  }

  find(id: string): OpenRow | undefined {
    return this.#rows.get(this.#subjects.get(id) ?? "");
  }

  at(subject: string): OpenRow | undefined {
    return this.#rows.get(subject);
  }

  /** @param provider whose rows alone are looked at; undefined: all */
  due(due: number, now: number, limit: number, provider?: string): { rows: OutboxRow[]; nextDueAt: number | undefined } {
    const rows: OutboxRow[] = [];
    let nextDueAt: number | undefined;
    const times = provider === undefined ? this.#byProvider.all() : this.#byProvider.get(provider)?.all() ?? [];
    for (const { at, name } of times) {
      const row = asOf(now, this.#rows.get(name)!.row);
      // One that was taken waits by its own clock, whatever `due` asks for.
      if (row.status === "pending" && at <= due && rows.length < limit) rows.push(row);
      else {
        nextDueAt ??= at;
        if (row.status === "pending") break;
      }
    }
    return { rows, nextDueAt };
  }

  /** How many rows of a topic are pending at that time, and due by `dueBy`. */
  waitingIn(topic: string, dueBy: number, now: number): number {
    const pendingAgain = this.#takenIn.get(topic).filter((subject) => {
      const row = asOf(now, this.#rows.get(subject)!.row);
      return row.status === "pending" && row.dueAt <= dueBy;
    });
    return pendingAgain.length + (this.#pendingIn.get(topic)?.count(dueBy) ?? 0);
  }

  ofTarget(targetId: string): OpenRow[] {
    return this.#byTarget.get(targetId).map((subject) => this.#rows.get(subject)!);
  }

  ofMessage(messageId: string): OpenRow[] {
    return this.#byMessage.get(messageId).map((subject) => this.#rows.get(subject)!);
  }

  #remove(subject: string): void {
    const held = this.#rows.get(subject);
    if (held === undefined) return;
    const { row } = held;
    this.#bytes -= bytesOf(held);
    this.#rows.delete(subject);
    this.#subjects.delete(row.id);
    this.#byTarget.delete(row.targetId, subject);
    this.#byMessage.delete(row.messageId, subject);
    this.#byProvider.delete(row.provider, dueOf(row), subject);
    this.#pendingIn.delete(row.topic, row.dueAt, subject);
    this.#takenIn.delete(row.topic, subject);
  }
}

function bytesOf({ row, subject, write, by }: OpenRow): number {
  const { id, userId, deviceId, targetId, topic, messageId, rule, note = "", collapseKey = "" } = row;
  const texts = [id, userId, deviceId, targetId, topic, messageId, rule, note, collapseKey, subject, write, by ?? ""];
  return ROW_BYTES + texts.reduce((sum, { length }) => sum + length, 0);
}

function dueOf(row: OutboxRow): number {
  return row.status === "sending" ? pendingAgainAt(row) : row.dueAt;
}

/** Names, in groups. */
class Groups {
  readonly #groups = new Map<string, Set<string>>();

  add(group: string, name: string): void {
    const names = this.#groups.get(group);
    if (names === undefined) this.#groups.set(group, new Set([name]));
    else names.add(name);
  }

  delete(group: string, name: string): void {
    const names = this.#groups.get(group);
    if (names?.delete(name) && names.size === 0) this.#groups.delete(group);
  }

  get(group: string): string[] {
    return [...this.#groups.get(group) ?? []];
  }
}
