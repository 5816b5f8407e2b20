import type { Counters } from "../delivery/counters.ts";
import type { Journal } from "../delivery/journal.ts";
import type { Logger } from "../ports/logger.ts";
import type { Clock } from "../ports/clock.ts";
import type { AddedRow, CancelMatch, NewOutboxRow, Outbox, OutboxRow } from "../ports/outbox.ts";
import { type Done, dropWords } from "./need.ts";
import { tell } from "./tell.ts";

/** What the note of a row begins with that was taken, and of which no provider was asked. */
export const NOT_ASKED = "not asked: ";

/** How many rows are remembered as queued, so that a repeated decision is not told twice. The outbox's unique ids do the real work. */
const REMEMBERED = 10_000;

/** What this node knows to be on its way out: an ack then needs to ask the outbox only when something waits. */
export class PendingPushes {
  readonly #outbox: Outbox;
  readonly #journal: Journal;
  readonly #counters: Counters;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #shared: boolean;
  readonly #byUser = new Map<string, Map<string, NewOutboxRow>>();
  /** Rows of which a provider was asked: whether it took them may be unknown. */
  readonly #asked = new Set<string>();
  /** All that waits is known, if no other node queues pushes. */
  #isWhole = true;
  /** Rows that are not needed any more though they were taken already, and why. */
  readonly #spared = new Map<string, string>();
  /** Ids of the last rows, in two halves: when the newer one is full it becomes the older one. */
  #known = new Set<string>();
  #knownBefore = new Set<string>();
  #wake: () => void = () => {};

  /** @param shared other nodes queue pushes too, of which this one does not know */
  constructor(outbox: Outbox, journal: Journal, counters: Counters, clock: Clock, logger: Logger, shared: boolean) {
    this.#shared = shared;
    this.#outbox = outbox;
    this.#journal = journal;
    this.#counters = counters;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Says who is to be woken when rows were added. */
  connect(wake: () => void): void {
    this.#wake = wake;
  }

  has(userId: string): boolean {
    return this.#byUser.has(userId);
  }

  /** A provider is asked to bring this one. */
  asked({ id }: NewOutboxRow): void {
    this.#asked.add(id);
  }

  /** Why this one is not needed any more, where that came about after it was taken. */
  whySpared({ id }: NewOutboxRow): string | undefined {
    return this.#spared.get(id);
  }

  wasAsked({ id }: NewOutboxRow): boolean {
    return this.#asked.has(id);
  }

  knows(id: string): boolean {
    return this.#known.has(id) || this.#knownBefore.has(id);
  }

  /** These rows are in the outbox now. */
  added(rows: readonly AddedRow[]): void {
    this.#counters.pushesQueued += rows.length;
    for (const { replaces, userId } of rows) {
      // One that has ended meanwhile was counted then.
      if (replaces !== undefined && this.settled({ id: replaces, userId })) this.#counters.pushesMerged++;
    }
    this.#found(rows);
    this.#wake();
  }

  /** Rows may be in the outbox: the write that adds them had no answer. */
  unsure(): void {
    this.#wake();
  }

  /** Whether rows of this user may wait, as far as this node can know. */
  mayHave(userId: string): boolean {
    return this.#shared || !this.#isWhole || this.#byUser.has(userId);
  }

  /**
   * These rows were in the outbox before this node began.
   * @param isWhole there are no others
   */
  restored(rows: readonly OutboxRow[], isWhole: boolean): void {
    this.#isWhole = isWhole;
    this.#found(rows);
    // Of one that was taken and nothing was said of, nobody knows: what a device sees in time calls it back.
    for (const row of rows) if (row.attempts > 0 && row.note?.startsWith(NOT_ASKED) === false) this.asked(row);
  }

  #found(rows: readonly NewOutboxRow[]): void {
    for (const row of rows) {
      const { id, userId } = row;
      let known = this.#byUser.get(userId);
      if (known === undefined) this.#byUser.set(userId, known = new Map());
      known.set(id, row);
      this.#known.add(id);
      if (this.#known.size < REMEMBERED / 2) continue;
      this.#knownBefore = this.#known;
      this.#known = new Set();
    }
  }

  /**
   * A row ended.
   * @returns whether it was known to wait
   */
  settled({ id, userId }: Pick<NewOutboxRow, "id" | "userId">): boolean {
    this.#asked.delete(id);
    this.#spared.delete(id);
    const known = this.#byUser.get(userId);
    const wasKnown = known?.delete(id) === true;
    if (known?.size === 0) this.#byUser.delete(userId);
    return wasKnown;
  }

  /**
   * Drops those of a user's rows that are not needed any more and have not left yet. What is not known here, or can't be dropped
   * now, is dropped by the last look before it leaves.
   *
   * @param done why a row is not needed; undefined: it is
   * @param by the device where that came about
   */
  async dropDone(userId: string, done: (row: NewOutboxRow) => Done | undefined, by: string): Promise<void> {
    const byNote = new Map<string, string[]>();
    for (const row of this.#byUser.get(userId)?.values() ?? []) {
      const why = done(row);
      // Of a row that stands for several only what holds up to its last entry is known: the last look counts what is left.
      if (why === undefined || (row.after !== undefined && why !== "shown")) continue;
      const note = dropWords(why, row, by, this.#clock.now());
      this.#spared.set(row.id, note);
      const ids = byNote.get(note);
      if (ids === undefined) byNote.set(note, [row.id]);
      else ids.push(row.id);
    }
    try {
      for (const [note, ids] of byNote) await this.#cancel({ userId, ids }, note);
    } catch (error) {
      this.#logger.warn("a needless push could not be dropped, it is looked at again before it leaves", { error });
    }
  }

  /**
   * Drops those of a user's rows that match. What a provider is being asked can't be dropped, but does not leave again.
   * @returns whether another node may be about to ask a provider for one of them
   */
  async dropNow(match: CancelMatch, note: string): Promise<boolean> {
    for (const row of this.#byUser.get(match.userId)?.values() ?? []) if (matches(row, match)) this.#spared.set(row.id, note);
    try {
      await this.#cancel(match, note);
    } catch (error) {
      this.#logger.warn("pushes could not be dropped, they are looked at again before they leave", { error });
    }
    return this.#shared && await this.#outbox.underWay(match);
  }

  async #cancel(match: CancelMatch, note: string): Promise<void> {
    for (const row of await this.#outbox.cancel(match, note)) this.dropped(row, note);
  }

  dropped(row: OutboxRow, note: string): void {
    this.#counters.pushesDropped++;
    this.settled(row);
    tell(this.#journal, row, "push-dropped", note);
  }
}

function matches({ id, deviceId, targetId, topic }: NewOutboxRow, match: CancelMatch): boolean {
  return (match.deviceId ?? deviceId) === deviceId && (match.targetId ?? targetId) === targetId &&
    (match.topic ?? topic) === topic && (match.ids?.includes(id) ?? true);
}
