import type { StorageContext } from "../../src/ports/storage.ts";
import type { CancelMatch, NewOutboxRow, Outbox, OutboxEnd, OutboxRow } from "../../src/ports/outbox.ts";
import type { OutboxIndex } from "./outbox_index.ts";
import {
  asOf,
  endedPrefix,
  endedSubject,
  matches,
  newRow,
  openFilter,
  type OpenRow,
  openSubject,
  readOpenRow,
} from "./outbox_row.ts";
import { type Draft, fromBytes, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { unanswered } from "./state_writer.ts";

/** How much longer than it is needed something stays at the server: clocks differ. */
const MARGIN_SECONDS = 60;
/** How long it shows that a row has ended: longer than anybody asks what became of a write. */
const END_SECONDS = 30;
/** The most that a server reckons with. */
const MAX_SECONDS = 100 * 365 * 24 * 3600;

/** New rows, to be written with their user. */
export interface NewRows {
  readonly drafts: readonly Draft[];
  /** @param first the sequence of the first of them */
  stored(first: number): void;
}

/** What a change makes of a row; undefined: it stays. */
type Change = (row: OutboxRow, by: string | undefined) => { row: OutboxRow; by?: string } | undefined;

/** Pushes as documents of the state stream. Each change is a compare-and-set at the stream's leader. */
export class JetStreamOutbox implements Outbox {
  readonly #stream: StateStream;
  readonly #context: StorageContext;
  readonly #index: OutboxIndex;
  /** This node, as long as it runs. */
  readonly #self: string;

  constructor(stream: StateStream, context: StorageContext, index: OutboxIndex) {
    this.#stream = stream;
    this.#context = context;
    this.#index = index;
    this.#self = context.random.id();
  }

  /**
   * What is to be written for those of `rows`, all of one user, that are new.
   * @param thorough also leaves out those that have ended, which else make the write a conflict
   */
  async draft(rows: readonly NewOutboxRow[], thorough: boolean): Promise<NewRows> {
    if (rows.length === 0) return { drafts: [], stored() {} };
    const write = this.#context.random.id();
    const [open, ended] = await Promise.all([
      this.#stream.subjects(openFilter(this.#stream, rows[0]!)),
      thorough ? this.#ended(rows) : [],
    ]);
    const known = new Set([...open, ...ended]);
    const drafts = new Map<string, { row: OutboxRow; draft: Draft }>();
    for (const fields of rows) {
      const row = newRow(fields, this.#context.clock.now());
      const subject = openSubject(this.#stream, row);
      const end = endedSubject(this.#stream, row);
      if (known.has(subject) || known.has(end)) continue;
      drafts.set(subject, { row, draft: { subject, bytes: toBytes({ row, write }), expected: 0, expectedOf: end } });
    }
    const all = [...drafts.values()];
    return {
      drafts: all.map(({ draft }) => draft),
      stored: (first) =>
        all.forEach(({ row, draft: { subject } }, index) => {
          this.#index.set({ row, by: undefined, write, subject, seq: first + index });
        }),
    };
  }

  /** Reads again what was written without an answer. */
  async refresh(drafts: readonly Draft[]): Promise<void> {
    await Promise.all(drafts.map(({ subject }) => this.#read(subject)));
  }

  due(now: number, limit: number): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }> {
    return Promise.resolve(this.#index.due(now, this.#context.clock.now(), limit));
  }

  coalescedOf(targetId: string): Promise<OutboxRow[]> {
    const rows = this.#index.ofTarget(targetId).map(({ row }) => this.#asOfNow(row));
    return Promise.resolve(rows.filter(({ coalesced, status }) => coalesced && status === "pending"));
  }

  async take(id: string): Promise<boolean> {
    const taken = await this.#change(id, (row) => {
      if (row.status !== "pending") return undefined;
      return { row: { ...row, status: "sending", attempts: row.attempts + 1 }, by: this.#self };
    });
    return taken !== undefined;
  }

  async retry(id: string, dueAt: number, note: string, attempt?: number): Promise<void> {
    await this.#change(id, (row, by) => {
      // Once it is pending again by itself, another node may have it.
      if (row.status !== "sending" || by !== this.#self || row.attempts !== (attempt ?? row.attempts)) return undefined;
      return { row: { ...row, status: "pending", dueAt, note } };
    });
  }

  async settle(ids: readonly string[], end: OutboxEnd, note: string): Promise<void> {
    const [first, ...others] = ids;
    if (first === undefined) return;
    const one = async (id: string, covers: readonly string[]): Promise<void> => {
      await this.#change(id, (row) => ({ row: { ...row, status: end, note, covers } }));
    };
    const all = Promise.all(others.map((id) => one(id, [])));
    if (end !== "sent") return void await Promise.all([one(first, []), all]);
    // The first stays open until then: when the node dies in between, the push is asked again under the same id.
    await all;
    await one(first, others);
  }

  async cancel(match: CancelMatch, note: string): Promise<OutboxRow[]> {
    const dropped = await Promise.all((await this.#open(match)).map((open) => {
      return this.#change(open, (row) => row.status === "pending" ? { row: { ...row, status: "dropped", note } } : undefined);
    }));
    return dropped.filter((row) => row !== undefined);
  }

  async underWay(match: CancelMatch): Promise<boolean> {
    return (await this.#open(match)).some(({ row }) => this.#asOfNow(row).status === "sending");
  }

  async ofMessage(messageId: string): Promise<OutboxRow[]> {
    // First those that are open: one that ends meanwhile is then found among those that ended.
    const open = this.#index.ofMessage(messageId);
    const subjects = await this.#stream.subjects(`${endedPrefix(this.#stream, messageId)}.*`);
    const stored = await Promise.all(subjects.map((subject) => this.#stream.read(subject)));
    const ended = stored.filter((document) => document !== undefined)
      .map(({ bytes }) => fromBytes(bytes) as OutboxRow);
    const ids = new Set(ended.map(({ id }) => id));
    return [...ended, ...open.map(({ row }) => this.#asOfNow(row)).filter(({ id }) => !ids.has(id))];
  }

  /** The open rows that match, as the leader has them. */
  async #open(match: CancelMatch): Promise<OpenRow[]> {
    const { userId, ids } = match;
    const subjects = ids === undefined
      ? await this.#stream.subjects(openFilter(this.#stream, match))
      : [...new Set(ids)].map((id) => openSubject(this.#stream, { userId, id }));
    const rows = await Promise.all(subjects.map((subject) => this.#read(subject)));
    return rows.flatMap((open) => open !== undefined && matches(open.row, match) ? [open] : []);
  }

  /** The subjects of those rows that have ended. */
  async #ended(rows: readonly NewOutboxRow[]): Promise<string[]> {
    const subjects = rows.map((row) => endedSubject(this.#stream, row));
    const stored = await Promise.all(subjects.map((subject) => this.#stream.read(subject)));
    return subjects.filter((_, index) => stored[index] !== undefined);
  }

  /**
   * Changes an open row by compare-and-set, computing the change again when somebody else was faster.
   * @returns the changed row, or undefined when nothing was to change
   */
  async #change(which: string | OpenRow, change: Change): Promise<OutboxRow | undefined> {
    const write = this.#context.random.id();
    let open = typeof which === "string" ? this.#index.find(which) ?? await this.#find(which) : which;
    let unsure: OutboxRow | undefined;
    let cause: unknown;
    const patience = this.#stream.api.patience();
    do {
      let changed = open && change(this.#asOfNow(open.row), open.by);
      if (open !== undefined && changed === undefined) {
        // What this node knows may be old.
        open = await this.#read(open.subject);
        if (open?.write === write) return open.row;
        changed = open && change(this.#asOfNow(open.row), open.by);
      }
      if (open === undefined || changed === undefined) return undefined;
      const row: OutboxRow = { ...changed.row, changedAt: this.#context.clock.now() };
      const after: OpenRow = { ...open, row, by: changed.by, write };
      const outcome = await this.#stream.write(this.#drafts(after, open.seq));
      if (outcome.kind === "stored") {
        this.#note(after, outcome.seq);
        return row;
      }
      if (outcome.kind === "unsure") {
        unsure = row;
        cause = outcome.cause;
        continue;
      }
      const { subject } = open;
      const stored = await this.#stream.read(subject);
      // An end leaves the id of its write there for a while.
      if (unsure !== undefined && stored !== undefined && (fromBytes(stored.bytes) as { write: string }).write === write) {
        this.#note({ ...after, row: unsure }, stored.seq);
        return unsure;
      }
      open = await this.#read(subject);
    } while (await patience.again());
    throw unanswered(cause);
  }

  #drafts({ row, by, write, subject }: OpenRow, expected: number): Draft[] {
    if (row.status === "pending" || row.status === "sending") return [{ subject, bytes: toBytes({ row, by, write }), expected }];
    const left = (row.expiresAt - this.#context.clock.now()) / 1000 + MARGIN_SECONDS;
    const ttl = Math.min(Math.max(Math.ceil(left), MARGIN_SECONDS), MAX_SECONDS);
    return [
      { subject: endedSubject(this.#stream, row), bytes: toBytes(row), ttl },
      { subject, bytes: toBytes({ write }), expected, ttl: END_SECONDS },
    ];
  }

  #note(open: OpenRow, seq: number): void {
    const { status } = open.row;
    if (status === "pending" || status === "sending") this.#index.set({ ...open, seq });
    else this.#index.end(open.subject, seq, false);
  }

  /** An open row whosever it is; only where the index does not have it (yet). */
  async #find(id: string): Promise<OpenRow | undefined> {
    const [subject] = await this.#stream.subjects(openFilter(this.#stream, { id }));
    return subject === undefined ? undefined : await this.#read(subject);
  }

  /** A row as the leader has it. */
  async #read(subject: string): Promise<OpenRow | undefined> {
    const before = this.#index.seqOf(subject);
    const stored = await this.#stream.read(subject);
    const open = stored && readOpenRow(subject, stored);
    if (open !== undefined) this.#index.set(open);
    else if (stored !== undefined) this.#index.end(subject, stored.seq, false);
    else this.#index.drop(subject, before);
    return open;
  }

  #asOfNow(row: OutboxRow): OutboxRow {
    return asOf(this.#context.clock.now(), row);
  }
}
