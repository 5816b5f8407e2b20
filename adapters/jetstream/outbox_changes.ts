import type { OutboxRow } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { OpenRows, Seen } from "./open_rows.ts";
import type { OutboxIndex } from "./outbox_index.ts";
import { asOf, draftEnd, draftOpen, endedSubject, type OpenRow } from "./outbox_row.ts";
import { type Draft, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { unanswered } from "./state_writer.ts";

/** How much longer than it is needed something stays at the server: clocks differ. */
const MARGIN_SECONDS = 60;
/** The most that a server reckons with. */
const MAX_SECONDS = 100 * 365 * 24 * 3600;

/** What a change makes of a row; undefined: it stays. */
export type Change = (row: OutboxRow, by: string | undefined) => { row: OutboxRow; by?: string } | undefined;

/** Changed rows of one step, under one id: where that is found, all of them were stored. */
interface Step {
  readonly write: string;
  readonly rows: readonly OpenRow[];
  readonly drafts: readonly Draft[];
  /** Of each row, how far before the last document of the step its own stands. */
  readonly places: readonly number[];
}

/** Changes open rows by compare-and-set at the stream's leader, many of them in one step. */
export class OutboxChanges {
  readonly #stream: StateStream;
  readonly #context: StorageContext;
  readonly #index: OutboxIndex;
  readonly #rows: OpenRows;

  constructor(stream: StateStream, context: StorageContext, index: OutboxIndex, rows: OpenRows) {
    this.#stream = stream;
    this.#context = context;
    this.#index = index;
    this.#rows = rows;
  }

  /**
   * Changes rows, `together` of them in one step, computing the change again for all of a step when another node changed one.
   * @returns of each step the rows that it changed, as they are now
   */
  async inSteps(
    which: readonly (string | OpenRow)[],
    change: Change,
    together: number,
  ): Promise<PromiseSettledResult<OutboxRow[]>[]> {
    const found = await Promise.all(
      [...new Set(which)].map((each) => typeof each === "string" ? this.#index.find(each) ?? this.#rows.find(each) : each),
    );
    const open = found.filter((row) => row !== undefined);
    const steps: Promise<OutboxRow[]>[] = [];
    for (let at = 0; at < open.length; at += together) steps.push(this.#inOneStep(open.slice(at, at + together), change));
    return await Promise.allSettled(steps);
  }

  /** @throws {PeykError} `unavailable`, when a step failed */
  async all(which: readonly (string | OpenRow)[], change: Change, together: number): Promise<OutboxRow[]> {
    const steps = await this.inSteps(which, change, together);
    return steps.flatMap((step) => {
      if (step.status === "rejected") throw step.reason;
      return step.value;
    });
  }

  async #inOneStep(open: readonly OpenRow[], change: Change): Promise<OutboxRow[]> {
    const done: OutboxRow[] = [];
    const unsure = new Set<Step>();
    let cause: unknown;
    let step = await this.#next(open, change);
    const patience = this.#stream.api.patience();
    if (step.rows.length === 0) return done;
    do {
      const outcome = await this.#stream.write(step.drafts);
      if (outcome.kind === "stored") {
        step.rows.forEach((row, index) => this.#note(row, outcome.seq - step.places[index]!));
        return [...done, ...step.rows.map(({ row }) => row)];
      }
      if (outcome.kind === "unsure") {
        // The same again: at most one of the two can be stored.
        unsure.add(step);
        cause = outcome.cause;
        continue;
      }
      const seen = await this.#read(open);
      const landed = [...unsure].find(({ write }) => [...seen.values()].some(({ last }) => last?.write === write));
      if (landed !== undefined) {
        unsure.delete(landed);
        done.push(...landed.rows.map(({ row }) => row));
        for (const { subject } of landed.rows) seen.delete(subject);
      }
      open = [...seen.values()].flatMap(({ open }) => open ?? []);
      step = this.#step(open, change);
      if (step.rows.length === 0) return done;
    } while (await patience.again());
    throw unanswered(cause);
  }

  /** What is to be written, by what this node knows. That may be old: rows that it would leave are looked at again. */
  async #next(open: readonly OpenRow[], change: Change): Promise<Step> {
    const step = this.#step(open, change);
    if (step.rows.length === open.length) return step;
    const changed = new Set(step.rows.map(({ subject }) => subject));
    const seen = await this.#read(open.filter(({ subject }) => !changed.has(subject)));
    return this.#step(
      open.flatMap((row) => {
        const again = seen.get(row.subject);
        return again === undefined ? [row] : again.open ?? [];
      }),
      change,
    );
  }

  #step(open: readonly OpenRow[], change: Change): Step {
    const write = this.#context.random.id();
    const rows: OpenRow[] = [];
    const drafts: Draft[] = [];
    const ends: number[] = [];
    for (const before of open) {
      const now = this.#asOfNow(before.row);
      const changed = change(now, before.by);
      if (changed === undefined) continue;
      const { status } = changed.row;
      const stays = status === now.status && status === before.row.status;
      const row: OutboxRow = stays ? changed.row : { ...changed.row, changedAt: this.#context.clock.now() };
      const after: OpenRow = { ...before, row, by: changed.by, write };
      rows.push(after);
      drafts.push(...this.#drafts(after, before));
      ends.push(drafts.length);
    }
    return { write, rows, drafts, places: ends.map((end) => drafts.length - end) };
  }

  /** The row's documents. That of an open row's subject comes last. */
  #drafts(after: OpenRow, before: OpenRow): Draft[] {
    const { row, write } = after;
    if (isOpen(row)) return [draftOpen(after, before.seq, this.#context.clock.now())];
    const left = (row.expiresAt - this.#context.clock.now()) / 1000 + MARGIN_SECONDS;
    const ttl = Math.min(Math.max(Math.ceil(left), MARGIN_SECONDS), MAX_SECONDS);
    return [{ subject: endedSubject(this.#stream, row), bytes: toBytes(row), ttl }, draftEnd(write, before)];
  }

  async #read(open: readonly OpenRow[]): Promise<Map<string, Seen>> {
    return new Map(await Promise.all(open.map(async ({ subject }) => [subject, await this.#rows.read(subject)] as const)));
  }

  #note(after: OpenRow, seq: number): void {
    if (isOpen(after.row)) this.#index.set({ ...after, seq });
    else this.#index.end(after.subject, seq, false);
  }

  #asOfNow(row: OutboxRow): OutboxRow {
    return asOf(this.#context.clock.now(), row);
  }
}

function isOpen({ status }: OutboxRow): boolean {
  return status === "pending" || status === "sending";
}
