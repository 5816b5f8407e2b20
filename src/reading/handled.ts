import type { Handled, Progress, Unsure } from "../ports/users.ts";
import type { Position } from "../protocol/message.ts";

/** Ranges kept per topic. Of a ninth the lowest is forgotten: in doubt a message is pushed. */
const MOST_RANGES = 8;
/** Devices kept per topic of which something is unsure. Of a ninth the oldest is forgotten: its entries are pushed. */
const MOST_UNSURE = 8;

type Range = Handled["ranges"][number];

/** Whether a person has dealt with an entry, and how. */
export function howHandled(handled: Handled | undefined, { epoch, offset }: Position): "read" | "handled" | undefined {
  if (handled?.epoch !== epoch) return undefined;
  if (offset <= handled.read) return "read";
  return handled.ranges.some(([after, to]) => offset > after && offset <= to) ? "handled" : undefined;
}

/** The same with everything up to an offset read. The object that was given when nothing changes. */
export function withRead(handled: Handled | undefined, epoch: number, offset: number): Handled {
  const before = of(handled, epoch);
  if (offset <= before.read) return before;
  return { ...before, read: offset, ranges: above(offset, before.ranges) };
}

/**
 * The same with the entries in (after, to] handled. Said twice it changes nothing, so that a write can be repeated.
 * The object that was given when nothing changes.
 */
export function withHandled(handled: Handled | undefined, epoch: number, after: number, to: number): Handled {
  const before = of(handled, epoch);
  const from = Math.max(after, before.read);
  if (to <= from || before.ranges.some((range) => range[0] <= from && range[1] >= to)) return before;
  const apart: Range[] = [];
  let merged: Range = [from, to];
  for (const range of before.ranges) {
    if (range[1] < merged[0] || range[0] > merged[1]) apart.push(range);
    else merged = [Math.min(range[0], merged[0]), Math.max(range[1], merged[1])];
  }
  const ranges = [...apart, merged].sort((a, b) => a[0] - b[0]).slice(-MOST_RANGES);
  return { ...before, ranges };
}

/** The same with what a device has dealt with up to `to`: from where its reading began, less what its handler failed on. */
export function withHandledBy(handled: Handled | undefined, { epoch, from, failed }: Progress, to: number): Handled {
  let result = of(handled, epoch);
  let after = from;
  for (const offset of failed ?? []) {
    if (offset <= after || offset > to) continue;
    result = withHandled(result, epoch, after, offset - 1);
    after = offset;
  }
  return withHandled(result, epoch, after, to);
}

/** The same with what is unsure of a device; undefined: nothing is. The object that was given when nothing changes. */
export function withUnsure(handled: Handled, device: string, unsure: Unsure | undefined): Handled {
  const { unsure: all = [], ...sure } = handled;
  const before = all.find((other) => other.device === device);
  if (before === undefined ? unsure === undefined : isSame(before, unsure)) return handled;
  const others = all.filter((other) => other !== before);
  const after = unsure === undefined ? others : [...others.slice(1 - MOST_UNSURE), unsure];
  return after.length === 0 ? sure : { ...sure, unsure: after };
}

function isSame(a: Unsure, b: Unsure | undefined): boolean {
  return a.after === b?.after && a.to === b.to && a.until === b.until;
}

/** What is known of one epoch: of another one, nothing. */
function of(handled: Handled | undefined, epoch: number): Handled {
  return handled?.epoch === epoch ? handled : { epoch, read: 0, ranges: [] };
}

function above(offset: number, ranges: readonly Range[]): Range[] {
  return ranges.flatMap(([after, to]): Range[] => to <= offset ? [] : [[Math.max(after, offset), to]]);
}
