import type { AddedRow, OutboxRow } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { OpenRows } from "./open_rows.ts";
import type { OutboxIndex } from "./outbox_index.ts";
import { asOf, draftEnd, draftOpen, endedSubject, newRow, type OpenRow, openSubject } from "./outbox_row.ts";
import type { Draft } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";

/** New rows, to be written in one step with how far it is decided. */
export interface NewRows {
  readonly drafts: readonly Draft[];
  /** @param first the sequence of the first of them */
  stored(first: number): void;
}

/** Rows that are to be written, by their subjects, and those that make room for them. */
interface Plan {
  readonly added: Map<string, OutboxRow>;
  readonly replaced: Map<string, OpenRow>;
}

/**
 * What is to be written so that rows are in the outbox. A row that is open meanwhile, or a replaced one that was changed, makes the
 * write a conflict.
 */
export class OutboxAdditions {
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
   * Drafts those of `rows` that the outbox does not know.
   * @param thorough asks the leader for all rows that are meant, also for those that this node thinks it knows: after a conflict
   */
  async draft(rows: readonly AddedRow[], thorough: boolean): Promise<NewRows> {
    if (rows.length === 0) return { drafts: [], stored() {} };
    const [places, pending] = await Promise.all([this.#places(rows, thorough), this.#pendingOf(rows, thorough)]);
    const { added, replaced } = this.#plan(rows, places, pending);
    const write = this.#context.random.id();
    const opened = [...added].map(([subject, row]) => ({ row, by: undefined, write, subject }));
    const ended = [...replaced.values()];
    const now = this.#context.clock.now();
    return {
      drafts: [
        ...opened.map((row) => draftOpen(row, places.get(row.subject)!, now)),
        ...ended.map((row) => draftEnd(write, row)),
      ],
      stored: (first) => {
        opened.forEach((row, index) => this.#index.set({ ...row, seq: first + index }));
        ended.forEach(({ subject }, index) => this.#index.end(subject, first + opened.length + index, false));
      },
    };
  }

  /** Reads again what was written without an answer. */
  async refresh(rows: readonly AddedRow[]): Promise<void> {
    const subjects = new Set(rows.flatMap((row) => [openSubject(this.#stream, row), ...this.#replacedBy(row)]));
    await Promise.all([...subjects].map((subject) => this.#rows.read(subject)));
  }

  #plan(rows: readonly AddedRow[], places: ReadonlyMap<string, number>, pending: ReadonlyMap<string, OpenRow>): Plan {
    const added = new Map<string, OutboxRow>();
    const replaced = new Map<string, OpenRow>();
    for (const fields of rows) {
      const row = newRow(fields, this.#context.clock.now());
      const subject = openSubject(this.#stream, row);
      if (!places.has(subject) || added.has(subject) || replaced.has(subject)) continue;
      const [old] = this.#replacedBy(fields);
      // The row that it takes the place of may have come with it.
      const mate = added.get(old ?? "");
      const stored = old === undefined || replaced.has(old) ? undefined : pending.get(old);
      const before = mate ?? stored?.row;
      if (mate !== undefined) added.delete(old!);
      else if (stored !== undefined) replaced.set(old!, stored);
      added.set(subject, before === undefined ? row : { ...row, after: Math.min(startOf(row), startOf(before)) });
    }
    return { added, replaced };
  }

  /**
   * Where rows that the outbox does not know go, with the sequence that is to be there. That a row is open need not be found out:
   * then its write is a conflict.
   */
  async #places(rows: readonly AddedRow[], thorough: boolean): Promise<Map<string, number>> {
    const places = await Promise.all(rows.map(async (row) => {
      const subject = openSubject(this.#stream, row);
      if (!thorough && this.#index.find(row.id) !== undefined) return [];
      // Before the end: a row that ends in between is found there.
      const seen = thorough ? await this.#rows.read(subject) : undefined;
      if (seen?.open !== undefined || await this.#stream.read(endedSubject(this.#stream, row)) !== undefined) return [];
      // Without an end there, another row took the place of what has left something here.
      return [[subject, seen?.last?.seq ?? 0] as const];
    }));
    return new Map(places.flat());
  }

  /** Those rows, by subject, that are pending and may be replaced. */
  async #pendingOf(rows: readonly AddedRow[], thorough: boolean): Promise<Map<string, OpenRow>> {
    const subjects = new Set(rows.flatMap((row) => this.#replacedBy(row)));
    const found = await Promise.all([...subjects].map(async (subject) => {
      const known = thorough ? undefined : this.#index.at(subject);
      // That it is pending the write itself makes sure of, but not that it is something else.
      const open = known !== undefined && this.#isPending(known) ? known : (await this.#rows.read(subject)).open;
      return open !== undefined && this.#isPending(open) ? [[subject, open] as const] : [];
    }));
    return new Map(found.flat());
  }

  /** The subject of the row that a new one takes the place of, if it names one. Both go to the same user. */
  #replacedBy({ userId, replaces }: AddedRow): string[] {
    return replaces === undefined ? [] : [openSubject(this.#stream, { userId, id: replaces })];
  }

  #isPending({ row }: OpenRow): boolean {
    return row.attempts === 0 && asOf(this.#context.clock.now(), row).status === "pending";
  }
}

/** The entries that a row stands for come after this offset. */
function startOf({ after, position }: OutboxRow): number {
  return after ?? position.offset - 1;
}
