import type { Clock } from "../ports/clock.ts";
import type { CancelMatch, NewOutboxRow, Outbox, OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import { Multimap } from "./multimap.ts";
import { SortedList } from "./sorted_list.ts";

/** Settled rows looked at per call for having expired: forgetting keeps pace with adding and never stalls. */
const FORGET_PER_CALL = 32;

const NOTHING: readonly string[] = Object.freeze([]);

interface At {
  readonly at: number;
  readonly id: string;
}

/** The queue of pushes, as long as the process lives. */
export class MemoryOutbox implements Outbox {
  readonly #clock: Clock;
  readonly #rows = new Map<string, OutboxRow>();
  /** Pending rows by due time. */
  readonly #pending = new SortedList<At>(byTime);
  /** Pending and sending rows. */
  readonly #openOfUser = new Multimap();
  readonly #pendingOfTarget = new Multimap();
  readonly #ofMessage = new Multimap();
  /** Settled rows by the time they may be forgotten. */
  readonly #settled = new SortedList<At>(byTime);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds those of `rows` that are new. Part of `Users.put`. */
  add(rows: readonly NewOutboxRow[]): void {
    this.#forget();
    for (const row of rows) {
      if (this.#rows.has(row.id)) continue;
      this.#ofMessage.add(row.messageId, row.id);
      this.#set({ ...row, status: "pending", attempts: 0, note: undefined, covers: NOTHING, changedAt: this.#clock.now() });
    }
  }

  due(now: number, limit: number): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }> {
    const rows: OutboxRow[] = [];
    for (const { at, id } of this.#pending.after(undefined)) {
      if (at > now || rows.length >= limit) return Promise.resolve({ rows, nextDueAt: at });
      rows.push(this.#rows.get(id)!);
    }
    return Promise.resolve({ rows, nextDueAt: undefined });
  }

  coalescedOf(targetId: string): Promise<OutboxRow[]> {
    return Promise.resolve(this.#get(this.#pendingOfTarget.get(targetId)).filter((row) => row.coalesced));
  }

  take(id: string): Promise<boolean> {
    const row = this.#rows.get(id);
    if (row?.status !== "pending") return Promise.resolve(false);
    this.#set({ ...row, status: "sending", attempts: row.attempts + 1, changedAt: this.#clock.now() });
    return Promise.resolve(true);
  }

  retry(id: string, dueAt: number, note: string, attempt?: number): Promise<void> {
    const row = this.#rows.get(id);
    if (row?.status === "sending" && row.attempts === (attempt ?? row.attempts)) {
      this.#set({ ...row, status: "pending", dueAt, note, changedAt: this.#clock.now() });
    }
    return Promise.resolve();
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string): Promise<void> {
    this.#forget();
    const [, ...others] = ids;
    for (const [index, id] of ids.entries()) {
      this.#end(this.#rows.get(id), end, note, end === "sent" && index === 0 ? others : NOTHING);
    }
    return Promise.resolve();
  }

  cancel(match: CancelMatch, note: string): Promise<OutboxRow[]> {
    const dropped = this.#open(match)
      .filter((row) => row.status === "pending")
      .map((row) => this.#end(row, "dropped", note, NOTHING)!);
    return Promise.resolve(dropped);
  }

  underWay(match: CancelMatch): Promise<boolean> {
    return Promise.resolve(this.#open(match).some((row) => row.status === "sending"));
  }

  ofMessage(messageId: string): Promise<OutboxRow[]> {
    return Promise.resolve(this.#get(this.#ofMessage.get(messageId)));
  }

  /** The pending and sending rows that match. */
  #open(match: CancelMatch): OutboxRow[] {
    const { userId, ids } = match;
    const named = ids === undefined ? this.#openOfUser.get(userId) : [...new Set(ids)].filter((id) => this.#rows.has(id));
    return this.#get(named).filter((row) => isOpen(row) && matches(row, match));
  }

  #get(ids: Iterable<string>): OutboxRow[] {
    return [...ids].map((id) => this.#rows.get(id)!);
  }

  #end(row: OutboxRow | undefined, end: OutboxEnd, note: string, covers: readonly string[]): OutboxRow | undefined {
    if (row === undefined || !isOpen(row)) return undefined;
    const ended: OutboxRow = { ...row, status: end, note, covers, changedAt: this.#clock.now() };
    this.#set(ended);
    this.#settled.add({ at: row.expiresAt, id: row.id });
    return ended;
  }

  /** Stores a row and keeps the indexes in step. */
  #set(row: OutboxRow): void {
    const before = this.#rows.get(row.id);
    if (before?.status === "pending") {
      this.#pending.delete({ at: before.dueAt, id: row.id });
      this.#pendingOfTarget.delete(row.targetId, row.id);
    }
    if (row.status === "pending") {
      this.#pending.add({ at: row.dueAt, id: row.id });
      this.#pendingOfTarget.add(row.targetId, row.id);
    }
    if (isOpen(row)) this.#openOfUser.add(row.userId, row.id);
    else this.#openOfUser.delete(row.userId, row.id);
    this.#rows.set(row.id, row);
  }

  #forget(): void {
    const now = this.#clock.now();
    for (let left = FORGET_PER_CALL; left > 0; left--) {
      const next = this.#settled.first;
      if (next === undefined || next.at > now) return;
      this.#settled.delete(next);
      this.#ofMessage.delete(this.#rows.get(next.id)!.messageId, next.id);
      this.#rows.delete(next.id);
    }
  }
}

function byTime(a: At, b: At): number {
  return a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function isOpen({ status }: OutboxRow): boolean {
  return status === "pending" || status === "sending";
}

/** But for the ids, by which they were found. */
function matches(row: OutboxRow, { userId, deviceId, targetId, topic }: CancelMatch): boolean {
  return row.userId === userId &&
    (deviceId === undefined || row.deviceId === deviceId) &&
    (targetId === undefined || row.targetId === targetId) &&
    (topic === undefined || row.topic === topic);
}
