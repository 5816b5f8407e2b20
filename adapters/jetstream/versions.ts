import type { AddedRow } from "../../src/ports/outbox.ts";
import type { Random } from "../../src/ports/random.ts";
import type { OutboxAdditions } from "./outbox_additions.ts";
import type { Draft } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { unanswered } from "./state_writer.ts";

/** Writes that a document remembers: more than others make while a node finds out what became of one. */
const REMEMBERED = 16;

/** A document that is replaced version by version, as far as the next one depends on it. */
export interface Versioned {
  /** 0: there is none. */
  readonly seq: number;
  /** The ids of the last writes, the newest last. A node that got no answer to a write finds out here what became of it. */
  readonly writes: readonly string[];
}

export function writesAfter({ writes }: Versioned, write: string): string[] {
  return [...writes.slice(1 - REMEMBERED), write];
}

/** What takes the place of a version. */
export interface NextVersion<Version extends Versioned> {
  readonly before: Version;
  /** Rows that are added in the same step. */
  readonly rows: readonly AddedRow[];
  /** The documents to write. The last one is the next version, and expects `before`. */
  draft(before: Version, write: string): Draft[] | Promise<Draft[]>;
  /** The version that is stored now. */
  read(): Promise<Version>;
  /** Whether what is expected of other documents is still as in `before`. Absent: of others nothing is. */
  holds?(before: Version, now: Version): boolean;
  /** Whether another version may be replaced as well as `before`. Absent: none may. */
  mayReplace?(now: Version): boolean;
}

/** A version that was written. */
export interface WrittenVersion {
  readonly seq: number;
  /** What its document remembers; undefined: its answer was lost, and others have written since. */
  readonly writes: readonly string[] | undefined;
}

/** Replaces versioned documents by compare-and-set, together with rows of the outbox. */
export class VersionWriter {
  readonly #stream: StateStream;
  readonly #random: Random;
  readonly #additions: OutboxAdditions;

  constructor(stream: StateStream, random: Random, additions: OutboxAdditions) {
    this.#stream = stream;
    this.#random = random;
    this.#additions = additions;
  }

  /**
   * @returns undefined when it was not that version any more, and nothing was changed
   * @throws {PeykError} `unavailable` when what became of the write can't be found out
   */
  async write<Version extends Versioned>(next: NextVersion<Version>): Promise<WrittenVersion | undefined> {
    const { rows } = next;
    let { before } = next;
    const write = this.#random.id();
    let fresh = await this.#additions.draft(rows, false);
    let unsure = false;
    let cause: unknown;
    const patience = this.#stream.api.patience();
    do {
      const drafts = [...fresh.drafts, ...await next.draft(before, write)];
      const outcome = await this.#stream.write(drafts);
      if (outcome.kind === "stored") {
        const { seq } = outcome;
        fresh.stored(seq - drafts.length + 1);
        return { seq, writes: writesAfter(before, write) };
      }
      if (outcome.kind === "unsure") {
        unsure = true;
        cause = outcome.cause;
      }
      const now = await next.read();
      const isThere = now.seq === before.seq;
      if (isThere && next.holds?.(before, now) !== false) {
        // Something else stood in the way: a row that is known or was taken, a node that is, or a write that is just going on.
        if (outcome.kind === "conflict") fresh = await this.#additions.draft(rows, true);
        continue;
      }
      const landed = unsure && !isThere ? hasLanded(write, before, now) : false;
      if (landed === undefined) break;
      if (landed) {
        await this.#additions.refresh(rows);
        // When others have written since, which version it was can't be told, nor is it of use: any former one is as good.
        return now.writes.at(-1) === write ? { seq: now.seq, writes: now.writes } : { seq: before.seq + 1, writes: undefined };
      }
      if (next.mayReplace?.(now) !== true) return undefined;
      before = now;
    } while (await patience.again());
    throw unanswered(cause);
  }
}

/** Whether a write that expected `before` became a version, as far as the one that is stored now knows. Undefined: that can't be told. */
function hasLanded(write: string, before: Versioned, now: Versioned): boolean | undefined {
  if (now.writes.includes(write)) return true;
  const base = before.writes.at(-1);
  const reachesBack = now.writes.length < REMEMBERED || (base !== undefined && now.writes.includes(base));
  return reachesBack ? false : undefined;
}
