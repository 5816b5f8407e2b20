import type { Clock } from "../ports/clock.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import { type Backlog, wasPutOff } from "./backlog.ts";
import type { Pace } from "./pace.ts";

/** What it is found out with. */
export interface TogetherParts {
  backlog: Backlog;
  pace: Pace;
  outbox: Outbox;
  clock: Clock;
}

/** Which rows of a target leave in one push. */
export class Together {
  readonly #parts: TogetherParts;

  constructor(parts: TogetherParts) {
    this.#parts = parts;
  }

  /** Whether the push of this row stands for all that may be part of one: its target is paced, or has waited for its service. */
  takesAll(row: OutboxRow): boolean {
    const { backlog, pace } = this.#parts;
    return mayMerge(row) && (pace.isPaced(row.targetId) || backlog.serviceOf(row.targetId) !== undefined);
  }

  /**
   * What leaves with a row: the other coalesced rows of the target; all that is due where it takes all, and all that was put off
   * where the target has waited for its service. Where nothing is left for another turn, the target does not wait any more.
   * @param isInHand whether a row is on its way already
   */
  async others(row: OutboxRow, isInHand: (id: string) => boolean): Promise<OutboxRow[]> {
    const { backlog, clock, outbox } = this.#parts;
    const { coalesced, targetId } = row;
    const takesAll = this.takesAll(row);
    if (!coalesced && !takesAll) return [];
    const now = clock.now();
    const hasWaited = backlog.serviceOf(targetId) !== undefined;
    const mayLeave = (other: OutboxRow): boolean => other.dueAt <= now || (hasWaited && wasPutOff(other));
    const rows = (await outbox.waiting([targetId])).filter(({ id }) => id !== row.id && !isInHand(id));
    const others = rows.filter((other) => mayMerge(other) && ((coalesced && other.coalesced) || (takesAll && mayLeave(other))));
    if (hasWaited && rows.every((other) => others.includes(other) || !mayLeave(other))) backlog.done(targetId);
    return others;
  }
}

/** Whether a row may be part of a push that stands for several. */
function mayMerge({ collapseKey, silent, urgency }: OutboxRow): boolean {
  return silent !== true && collapseKey === undefined && urgency !== "high";
}
