import type { OutboxRow } from "../ports/outbox.ts";

/**
 * Rows that were due when the outbox was last read, by the queues in which they leave one after the other. What did not leave at
 * once need not be read again as long as it is known here.
 */
export class DueRows {
  #queues = new Map<string, OutboxRow[]>();

  /** Instead of all that was known. */
  replace(rows: readonly OutboxRow[]): void {
    // Of what waited for one target together, the coalesced ones come last.
    const inOrder = rows.toSorted((a, b) => a.dueAt - b.dueAt || Number(a.coalesced) - Number(b.coalesced));
    this.#queues = Map.groupBy(inOrder, queueOf);
    for (const rows of this.#queues.values()) if (!rows[0]!.coalesced) rows.sort((a, b) => a.position.offset - b.position.offset);
  }

  /** The row that stands first in each queue, those first that have been due the longest. The queue may be changed meanwhile. */
  *firsts(): Generator<[queue: string, first: OutboxRow]> {
    for (const [queue, [first]] of this.#queues) yield [queue, first!];
  }

  first(queue: string): OutboxRow | undefined {
    return this.#queues.get(queue)?.[0];
  }

  /** Takes the first row out of a queue. A coalesced one takes the others along. */
  shift(queue: string): void {
    const rows = this.#queues.get(queue);
    const first = rows?.shift();
    if (rows?.length === 0 || first?.coalesced) this.#queues.delete(queue);
  }

  /** A row that was taken out is the first one of its queue again. */
  putBack(row: OutboxRow): void {
    const queue = queueOf(row);
    const rows = this.#queues.get(queue);
    if (rows === undefined) this.#queues.set(queue, [row]);
    else rows.unshift(row);
  }

  /** Nothing of this queue is known any more. @returns what was */
  drop(queue: string): readonly OutboxRow[] {
    const rows = this.#queues.get(queue) ?? NONE;
    this.#queues.delete(queue);
    return rows;
  }
}

const NONE: readonly OutboxRow[] = Object.freeze([]);

/** In which rows leave one after the other. Of a target's coalesced ones one takes all others along. */
export function queueOf({ coalesced, targetId, topic }: Pick<OutboxRow, "coalesced" | "targetId" | "topic">): string {
  return coalesced ? targetId : `${targetId}\n${topic}`;
}
