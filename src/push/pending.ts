import type { Counters } from "../delivery/counters.ts";
import type { EntryName, Journal } from "../delivery/journal.ts";
import { deviceName } from "../delivery/session.ts";
import type { Logger } from "../ports/logger.ts";
import type { CancelMatch, NewOutboxRow, Outbox, OutboxRow } from "../ports/outbox.ts";

/** How many rows are remembered as queued, so that a repeated decision is not told twice. The outbox's unique ids do the real work. */
const REMEMBERED = 10_000;

/** What this node knows to be on its way out: an ack then needs to ask the outbox only when something waits. */
export class PendingPushes {
  readonly #outbox: Outbox;
  readonly #journal: Journal;
  readonly #counters: Counters;
  readonly #logger: Logger;
  readonly #shared: boolean;
  readonly #byUser = new Map<string, Set<string>>();
  readonly #known = new Set<string>();
  #wake: () => void = () => {};

  /** @param shared other nodes queue pushes too, of which this one does not know */
  constructor(outbox: Outbox, journal: Journal, counters: Counters, logger: Logger, shared: boolean) {
    this.#shared = shared;
    this.#outbox = outbox;
    this.#journal = journal;
    this.#counters = counters;
    this.#logger = logger;
  }

  /** Says who is to be woken when rows were added. */
  connect(wake: () => void): void {
    this.#wake = wake;
  }

  has(userId: string): boolean {
    return this.#byUser.has(userId);
  }

  knows(id: string): boolean {
    return this.#known.has(id);
  }

  /** These rows are in the outbox now. */
  added(rows: readonly NewOutboxRow[]): void {
    this.#counters.pushesQueued += rows.length;
    this.found(rows);
    this.#wake();
  }

  /** These rows were in the outbox before this node began. */
  found(rows: readonly NewOutboxRow[]): void {
    for (const { id, userId } of rows) {
      let ids = this.#byUser.get(userId);
      if (ids === undefined) this.#byUser.set(userId, ids = new Set());
      ids.add(id);
      this.#known.add(id);
      if (this.#known.size > REMEMBERED) {
        for (const oldest of this.#known) {
          this.#known.delete(oldest);
          break;
        }
      }
    }
  }

  /** A row ended. */
  settled({ id, userId }: NewOutboxRow): void {
    const ids = this.#byUser.get(userId);
    if (ids?.delete(id) && ids.size === 0) this.#byUser.delete(userId);
  }

  /** Drops what is not needed any more, if it has not left yet. */
  drop(match: CancelMatch, note: string): void {
    this.#cancel(match, note).catch((error: unknown) => this.#logger.warn("a needless push could not be dropped", { error }));
  }

  async dropNow(match: CancelMatch, note: string): Promise<boolean> {
    await this.#cancel(match, note);
    return this.#shared && await this.#outbox.underWay(match);
  }

  async #cancel(match: CancelMatch, note: string): Promise<void> {
    for (const row of await this.#outbox.cancel(match, note)) this.dropped(row, note);
  }

  /** Drops what waits of one message, whichever device it is for. */
  async dropMessage(userId: string, { id, topic, position }: EntryName, note: string): Promise<void> {
    if (!this.#shared && !this.has(userId)) return;
    const rows = (await this.#outbox.ofMessage(id)).filter((row) =>
      row.status === "pending" && row.userId === userId && row.topic === topic && row.position.offset === position.offset
    );
    if (rows.length === 0) return;
    await this.#outbox.settle(rows.map((row) => row.id), "dropped", note);
    for (const row of rows) this.dropped(row, note);
  }

  dropped(row: OutboxRow, note: string): void {
    this.#counters.pushesDropped++;
    this.settled(row);
    const entry = { id: row.messageId, topic: row.topic, position: row.position };
    this.#journal.note(entry, { userId: row.userId, device: deviceName(row.deviceId) }, "push-dropped", note);
  }
}
