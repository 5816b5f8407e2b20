import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import type { AddedRow, CancelMatch, Outbox, OutboxEnd, OutboxRow, Take, TopicDecision } from "../ports/outbox.ts";
import type { NamesPage, Page } from "../ports/page.ts";
import type { Topic } from "../protocol/names.ts";
import { Multimap } from "./multimap.ts";
import { SortedList } from "./sorted_list.ts";
import { TopicDecisions } from "./topic_decisions.ts";

/** Settled rows looked at per call for having expired: forgetting keeps pace with adding and never stalls. */
const FORGET_PER_CALL = 32;

/** Settled rows that are kept, and how many bytes they may take. Of more those are forgotten before their time that expire first. */
const MOST_SETTLED = 10_000;
const MOST_SETTLED_BYTES = 16 * 1024 * 1024;
/** What a settled row takes beside the text that is its own, bytes, about. */
const OVERHEAD = 700;

const NOTHING: readonly string[] = Object.freeze([]);

interface At {
  readonly at: number;
  readonly id: string;
}

/** The queue of pushes, as long as the process lives. */
export class MemoryOutbox implements Outbox {
  readonly #clock: Clock;
  readonly #rows = new Map<string, OutboxRow>();
  /** Pending rows by due time: all, those of each provider, those of each topic. */
  readonly #pending = new SortedList<At>(byTime);
  readonly #pendingOf = new Map<string, SortedList<At>>();
  /** Pending and sending rows. */
  readonly #openOfUser = new Multimap();
  readonly #pendingOfTarget = new Multimap();
  readonly #ofMessage = new Multimap();
  /** Settled rows by the time they may be forgotten. */
  readonly #settled = new SortedList<At>(byTime);
  #settledCount = 0;
  #settledBytes = 0;

  readonly #decisions: TopicDecisions;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#decisions = new TopicDecisions(random);
  }

  /** Adds those of `rows` that are new. Part of `Users.put` and `decide`. */
  add(rows: readonly AddedRow[]): void {
    this.#forget();
    for (const { replaces, ...row } of rows) {
      if (this.#rows.has(row.id)) continue;
      const replaced = replaces === undefined ? undefined : this.#rows.get(replaces);
      const isReplaced = replaced?.status === "pending" && replaced.attempts === 0;
      if (isReplaced) this.#remove(replaced);
      this.#ofMessage.add(row.messageId, row.id);
      this.#set({
        ...row,
        ...isReplaced ? { after: Math.min(afterOf(row), afterOf(replaced)) } : {},
        ...{ status: "pending", attempts: 0, note: undefined, covers: NOTHING, changedAt: this.#clock.now() },
      });
    }
  }

  due(now: number, limit: number, provider?: string): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }> {
    const rows: OutboxRow[] = [];
    const pending = provider === undefined ? this.#pending : this.#pendingOf.get(byProvider(provider));
    for (const { at, id } of pending?.after(undefined) ?? []) {
      if (at > now || rows.length >= limit) return Promise.resolve({ rows, nextDueAt: at });
      rows.push(this.#rows.get(id)!);
    }
    return Promise.resolve({ rows, nextDueAt: undefined });
  }

  waiting(targetIds: readonly string[], topic?: Topic): Promise<OutboxRow[]> {
    const ids = targetIds.flatMap((targetId) => this.#pendingOfTarget.get(targetId));
    return Promise.resolve(this.#get(ids).filter((row) => row.topic === (topic ?? row.topic)));
  }

  waitingIn(topic: Topic, dueBy: number, limit: number): Promise<number> {
    let count = 0;
    for (const { at } of this.#pendingOf.get(byTopic(topic))?.after(undefined) ?? []) {
      if (at > dueBy || count >= limit) break;
      count++;
    }
    return Promise.resolve(count);
  }

  take(ids: readonly string[]): Promise<string[]> {
    return Promise.resolve(ids.filter((id) => {
      const row = this.#rows.get(id);
      if (row?.status !== "pending") return false;
      this.#set({ ...row, status: "sending", attempts: row.attempts + 1, changedAt: this.#clock.now() });
      return true;
    }));
  }

  retry(takes: readonly Take[], dueAt: number, note: string): Promise<void> {
    for (const { id, attempts } of takes) {
      const row = this.#rows.get(id);
      if (row?.status !== "sending" || row.attempts !== attempts) continue;
      this.#set({ ...row, status: "pending", dueAt, note, changedAt: this.#clock.now() });
    }
    return Promise.resolve();
  }

  postpone(ids: readonly string[], dueAt: number, note: string): Promise<void> {
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (row?.status !== "pending") continue;
      const then = Math.min(dueAt, row.expiresAt);
      if (row.dueAt < then) this.#set({ ...row, dueAt: then, note: row.attempts === 0 ? note : row.note });
    }
    return Promise.resolve();
  }

  settle(ids: readonly string[], end: OutboxEnd, note: string, handle?: string): Promise<void> {
    this.#forget();
    const [, ...others] = ids;
    for (const [index, id] of ids.entries()) {
      const isFirst = index === 0;
      this.#end(this.#rows.get(id), end, note, end === "sent" && isFirst ? others : NOTHING, isFirst ? handle : undefined);
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

  ofMessage(messageId: string, ids?: readonly string[]): Promise<OutboxRow[]> {
    if (ids === undefined) return Promise.resolve(this.#get(this.#ofMessage.get(messageId)));
    const known = [...new Set(ids)].flatMap((id) => this.#rows.get(id) ?? []);
    return Promise.resolve(known.filter((row) => row.messageId === messageId));
  }

  decision(topic: Topic): Promise<TopicDecision | undefined> {
    return Promise.resolve(this.#decisions.get(topic));
  }

  decide(decision: TopicDecision, rows: readonly AddedRow[]): Promise<number | undefined> {
    const version = this.#decisions.put(decision);
    if (version !== undefined) this.add(rows);
    return Promise.resolve(version);
  }

  /** The topic has no log any more: a decision that leaves nothing open is not asked for. */
  topicEnded(topic: Topic): void {
    this.#decisions.forget(topic);
  }

  undecided(page: Page): Promise<NamesPage> {
    return Promise.resolve(this.#decisions.undecided(page));
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

  #end(
    row: OutboxRow | undefined,
    end: OutboxEnd,
    note: string,
    covers: readonly string[],
    handle?: string,
  ): OutboxRow | undefined {
    if (row === undefined || !isOpen(row)) return undefined;
    const given = handle === undefined ? {} : { handle };
    const ended: OutboxRow = { ...row, status: end, note, covers, ...given, changedAt: this.#clock.now() };
    this.#set(ended);
    this.#settled.add({ at: row.expiresAt, id: row.id });
    this.#settledCount++;
    this.#settledBytes += weightOf(ended);
    while (this.#settledCount > MOST_SETTLED || this.#settledBytes > MOST_SETTLED_BYTES) this.#forgetFirst();
    return ended;
  }

  /** Stores a row and keeps the indexes in step. */
  #set(row: OutboxRow): void {
    const before = this.#rows.get(row.id);
    if (before?.status === "pending") this.#unlist(before);
    if (row.status === "pending") {
      const at = { at: row.dueAt, id: row.id };
      this.#pending.add(at);
      for (const key of [byProvider(row.provider), byTopic(row.topic)]) {
        let list = this.#pendingOf.get(key);
        if (list === undefined) this.#pendingOf.set(key, list = new SortedList(byTime));
        list.add(at);
      }
      this.#pendingOfTarget.add(row.targetId, row.id);
    }
    if (isOpen(row)) this.#openOfUser.add(row.userId, row.id);
    else this.#openOfUser.delete(row.userId, row.id);
    this.#rows.set(row.id, row);
  }

  #unlist({ id, dueAt, provider, targetId, topic }: OutboxRow): void {
    const at = { at: dueAt, id };
    this.#pending.delete(at);
    for (const key of [byProvider(provider), byTopic(topic)]) {
      const list = this.#pendingOf.get(key);
      list?.delete(at);
      if (list?.isEmpty) this.#pendingOf.delete(key);
    }
    this.#pendingOfTarget.delete(targetId, id);
  }

  /** As if a pending row had never been there. */
  #remove(row: OutboxRow): void {
    this.#unlist(row);
    this.#openOfUser.delete(row.userId, row.id);
    this.#ofMessage.delete(row.messageId, row.id);
    this.#rows.delete(row.id);
  }

  #forget(): void {
    const now = this.#clock.now();
    for (let left = FORGET_PER_CALL; left > 0; left--) {
      const next = this.#settled.first;
      if (next === undefined || next.at > now) return;
      this.#forgetFirst();
    }
  }

  /** Of the settled rows. */
  #forgetFirst(): void {
    const first = this.#settled.first!;
    const row = this.#rows.get(first.id)!;
    this.#settled.delete(first);
    this.#settledCount--;
    this.#settledBytes -= weightOf(row);
    this.#ofMessage.delete(row.messageId, row.id);
    this.#rows.delete(row.id);
  }
}

function weightOf({ covers, deviceId, id, messageId, note = "", topic }: OutboxRow): number {
  const texts = [...covers, deviceId, id, messageId, note, topic];
  return texts.reduce((sum, { length }) => sum + length, OVERHEAD);
}

/** From where a row's entries are. */
function afterOf({ after, position }: Pick<OutboxRow, "after" | "position">): number {
  return after ?? position.offset - 1;
}

function byProvider(provider: string): string {
  return `p ${provider}`;
}

function byTopic(topic: Topic): string {
  return `t ${topic}`;
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
