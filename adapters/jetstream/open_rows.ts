import type { Clock } from "../../src/ports/clock.ts";
import type { CancelMatch } from "../../src/ports/outbox.ts";
import type { OutboxIndex } from "./outbox_index.ts";
import { matches, openFilter, type OpenRow, openSubject, readOpenDocument } from "./outbox_row.ts";
import type { StateStream } from "./state_stream.ts";

/** What the leader has under the subject of an open row. */
export interface Seen {
  /** Undefined: the row has ended, or there never was one. */
  readonly open: OpenRow | undefined;
  /** The id of the last write there, and its sequence; undefined: nothing is there. */
  readonly last: { readonly write: string; readonly seq: number } | undefined;
}

/** Reads open rows, and tells the index. */
export class OpenRows {
  readonly #stream: StateStream;
  readonly #index: OutboxIndex;
  readonly #clock: Clock;

  constructor(stream: StateStream, index: OutboxIndex, clock: Clock) {
    this.#clock = clock;
    this.#stream = stream;
    this.#index = index;
  }

  /** A row of which only the id is known. */
  async find(id: string): Promise<OpenRow | undefined> {
    const [subject] = await this.#stream.subjects(openFilter(this.#stream, { id }));
    return subject === undefined ? undefined : (await this.read(subject)).open;
  }

  /** What the leader has under a subject. */
  async read(subject: string): Promise<Seen> {
    const before = this.#index.seqOf(subject);
    const stored = await this.#stream.read(subject);
    if (stored === undefined) {
      this.#index.drop(subject, before);
      return { open: undefined, last: undefined };
    }
    const { seq } = stored;
    const { open, write } = readOpenDocument(subject, stored, this.#clock.now());
    if (open !== undefined) this.#index.set(open);
    else this.#index.end(subject, seq, false);
    return { open, last: { write, seq } };
  }

  /** The open rows that match, as the leader has them. */
  async matching(match: CancelMatch): Promise<OpenRow[]> {
    const { userId, ids } = match;
    const subjects = ids === undefined
      ? await this.#stream.subjects(openFilter(this.#stream, match))
      : [...new Set(ids)].map((id) => openSubject(this.#stream, { userId, id }));
    const seen = await Promise.all(subjects.map((subject) => this.read(subject)));
    return seen.flatMap(({ open }) => open !== undefined && matches(open.row, match) ? [open] : []);
  }
}
