import { median } from "../fan_out/statistics.ts";
import { heldOf, lineOf, type Of, type Point, settledOf } from "./results.ts";

/** A slope below this is none, KB a minute: 60 B for each guest, or 3 B for each message. What is kept of one takes more than that. */
export const NO_SLOPE = 20;
/**
 * What memory may have grown by at the end, against the first points that count, KB. In two minutes it grows by 700 to 900 KB, most of it
 * compiled code. Where topics that were left are kept it is 2,000, with connections that were closed 2,400, with 1 KB for each request
 * of a client 4,500.
 */
export const MAY_GROW = 1_536;
/** Points of which the one in the middle counts, at either end. */
const AT_EACH_END = 8;

/** What a line says: "none" is below {@link NO_SLOPE} even at the upper end of twice its error. */
export type Growth = "none" | "grows" | "unclear";

export function growthOf({ error, slope }: { slope: number; error: number }): Growth {
  if (slope + 2 * error < NO_SLOPE) return "none";
  return slope - 2 * error > 0 && slope >= NO_SLOPE ? "grows" : "unclear";
}

/** KB. */
export function grownBy(points: readonly Point[]): number {
  const held = settledOf(points).map((point) => heldOf(point) / 1_024);
  return median(held.slice(-AT_EACH_END))! - median(held.slice(0, AT_EACH_END))!;
}

/** A line of the report. */
export function said(title: string, points: readonly Point[], of: Of): string {
  const line = lineOf(settledOf(points), of);
  return `${title}: ${line.slope.toFixed(1)} ± ${line.error.toFixed(1)} KB a minute: ${growthOf(line)}`;
}
