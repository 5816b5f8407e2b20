import type { CacheBytes } from "../delivery/cache_bytes.ts";
import type { Counters } from "../delivery/counters.ts";
import type { Journal } from "../delivery/journal.ts";
import type { Logger } from "../ports/logger.ts";
import type { Clock } from "../ports/clock.ts";
import { type AddedRow, type CancelMatch, type NewOutboxRow, type Outbox, type OutboxRow, SENDING_MS } from "../ports/outbox.ts";
import { type Done, dropWords } from "./need.ts";
import { QueuedIds } from "./queued_ids.ts";
import { rowId } from "./row_id.ts";
import { tell } from "./tell.ts";
import { type WaitingRow, WaitingRows } from "./waiting_rows.ts";

/** What the note of a row begins with that was taken, and of which no provider was asked. */
export const NOT_ASKED = "not asked: ";

/** How often it is looked whether rows wait that are known: longer than one can be taken without being settled or waiting again. */
export const LOOK_MS = SENDING_MS + 10_000;
/** Rows that are looked at in one question. */
const ROWS_AT_ONCE = 200;
/** When so few wait that one question tells of all, they are known again. */
const FEW = 2_000;

/** What this node knows to be on its way out: an ack then needs to ask the outbox only when something waits. */
export class PendingPushes {
  readonly #outbox: Outbox;
  readonly #journal: Journal;
  readonly #counters: Counters;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #shared: boolean;
  readonly #rows: WaitingRows;
  /** Rows of which a provider was asked: whether it took them may be unknown. */
  readonly #asked = new Set<string>();
  /** Rows that were taken, or are being taken by now: another one may be too late to take their place. */
  readonly #inHand = new Set<string>();
  /** Of these those in whose place another one was written, unless they were taken first. */
  readonly #overtaken = new Set<string>();
  /** All that waits is known, if no other node queues pushes. Else each decision asks the outbox. */
  #isWhole = true;
  /** How often a row had to be forgotten that may wait. */
  #forgotten = 0;
  /** Rows that are not needed any more though they were taken already, and why. */
  readonly #spared = new Map<string, string>();
  /** So that a repeated decision is not told twice. The outbox's unique ids do the real work. */
  readonly #known: QueuedIds;
  /** Rows that did not wait any more, or not just then, when it was looked last. */
  #missing = new Set<string>();
  #wake: () => void = () => {};

  /** @param shared other nodes queue pushes too, of which this one does not know */
  constructor(
    outbox: Outbox,
    journal: Journal,
    counters: Counters,
    clock: Clock,
    logger: Logger,
    shared: boolean,
    held: CacheBytes,
  ) {
    this.#rows = new WaitingRows(held);
    this.#known = new QueuedIds(held);
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
    return this.#rows.has(userId);
  }

  /** A provider is asked to bring this one, which another node may have queued, and may settle. */
  asked(row: NewOutboxRow): void {
    this.#found([row]);
    this.#asked.add(row.id);
  }

  /** Why this one is not needed any more, where that came about after it was taken. */
  whySpared({ id }: Pick<NewOutboxRow, "id">): string | undefined {
    return this.#spared.get(id);
  }

  wasAsked({ id }: Pick<NewOutboxRow, "id">): boolean {
    return this.#asked.has(id);
  }

  knows(id: string): boolean {
    return this.#known.has(id);
  }

  /** These rows are in the outbox now. */
  added(rows: readonly AddedRow[]): void {
    this.#counters.pushesQueued += rows.length;
    for (const { replaces, userId } of rows) {
      if (replaces === undefined) continue;
      if (this.#inHand.has(replaces)) this.#overtaken.add(replaces);
      else this.#merged({ id: replaces, userId });
    }
    this.#found(rows);
    this.#wake();
  }

  /** Another row is there in its place. One that has ended meanwhile was counted then. */
  #merged(row: Pick<NewOutboxRow, "id" | "userId">): void {
    if (this.settled(row)) this.#counters.pushesMerged++;
  }

  /** These are about to be taken: while they are under way the outbox does not say that they wait, and they may wait again. */
  taking(rows: readonly NewOutboxRow[]): void {
    this.#found(rows);
    for (const { id } of rows) this.#inHand.add(id);
  }

  /** Which of them were: a row that was taken stays, whatever was written in its place. */
  taken(rows: readonly NewOutboxRow[], ids: ReadonlySet<string>): void {
    for (const row of rows) {
      const isOvertaken = this.#overtaken.delete(row.id);
      if (ids.has(row.id)) continue;
      this.#inHand.delete(row.id);
      if (isOvertaken) this.#merged(row);
    }
  }

  /** Rows may be in the outbox: the write that adds them had no answer. */
  unsure(): void {
    this.#wake();
  }

  /** Whether rows of this user may wait, as far as this node can know. */
  mayHave(userId: string): boolean {
    return this.#shared || !this.#isWhole || this.#rows.has(userId);
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
      if (this.#rows.knows(row)) continue;
      for (const forgotten of this.#rows.add(row)) this.#forget(forgotten);
      this.#known.add(row.id);
      // The last entry of those that it stands for needs no row of its own.
      if (row.after !== undefined) this.#known.add(rowId(row.targetId, row.topic, row.position));
    }
  }

  /**
   * A row ended.
   * @returns whether it was known to wait
   */
  settled({ id, userId }: Pick<NewOutboxRow, "id" | "userId">): boolean {
    this.#asked.delete(id);
    this.#inHand.delete(id);
    this.#overtaken.delete(id);
    this.#spared.delete(id);
    return this.#rows.delete({ id, userId });
  }

  /**
   * Forgets rows that ended without this node: another one sent or dropped them, or the outbox had them before. One that is being sent
   * does not wait either, but not for {@link LOOK_MS}: so it is looked twice. And finds those that had to be forgotten.
   */
  async look(): Promise<void> {
    const missing = new Set<string>();
    let some: WaitingRow[] = [];
    const compare = async (): Promise<void> => {
      const waiting = new Set(
        (await this.#outbox.waiting([...new Set(some.map(({ targetId }) => targetId))])).map(({ id }) => id),
      );
      for (const row of some) {
        if (waiting.has(row.id)) continue;
        if (this.#missing.has(row.id)) this.settled(row);
        else missing.add(row.id);
      }
      some = [];
    };
    for (const row of [...this.#rows.all()]) if (some.push(row) === ROWS_AT_ONCE) await compare();
    await compare();
    this.#missing = missing;
    if (!this.#isWhole && !this.#shared && !this.#rows.isHalfFull) await this.#findAll();
  }

  async #findAll(): Promise<void> {
    const forgotten = this.#forgotten;
    const { rows, nextDueAt } = await this.#outbox.due(Number.MAX_SAFE_INTEGER, FEW);
    if (nextDueAt === undefined && forgotten === this.#forgotten) this.restored(rows, true);
  }

  /** A row that may still wait is not remembered any more: the last look finds out whether it is needed. */
  #forget(row: WaitingRow): void {
    this.settled(row);
    this.#isWhole = false;
    this.#forgotten++;
  }

  /**
   * Drops those of a user's rows that are not needed any more and have not left yet. What is not known here, or can't be dropped
   * now, is dropped by the last look before it leaves.
   *
   * @param done why a row is not needed; undefined: it is
   * @param by the device where that came about
   */
  async dropDone(userId: string, done: (row: WaitingRow) => Done | undefined, by: string): Promise<void> {
    const byNote = new Map<string, string[]>();
    for (const row of this.#rows.of(userId)) {
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
    for (const row of this.#rows.of(match.userId)) if (matches(row, match)) this.#spared.set(row.id, note);
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

function matches({ id, deviceId, targetId, topic }: WaitingRow, match: CancelMatch): boolean {
  return (match.deviceId ?? deviceId) === deviceId && (match.targetId ?? targetId) === targetId &&
    (match.topic ?? topic) === topic && (match.ids?.includes(id) ?? true);
}
