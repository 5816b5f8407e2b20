import { digits } from "../core/figures.ts";
import { cachedOf, heldOf, type Point } from "./results.ts";
import { type Results, waitingOf } from "./soak.ts";
import { grownBy, MAY_GROW, NO_SLOPE, said } from "./verdict.ts";

/** Faults that are written out. */
const MOST = 20;

/** What is printed, and what is clearly wrong. */
export function report(results: Results, storage: string): { lines: string[]; faults: string[] } {
  const { end, points, warnings } = results;
  const last = points.at(-1)!;
  const { counters, seconds } = last;
  const rate = (count: number): string => digits(count / seconds);
  const grown = grownBy(points);
  const lines = [
    said("memory after a collection, without what is in caches", points, heldOf),
    said("caches, which are full after a while", points, cachedOf),
    said("resident memory of the process", points, ({ rss }) => rss),
    `at its end against its first settled points: ${grown.toFixed(0)} KB (may be ${MAY_GROW} KB)`,
    `a second: ${rate(counters.accepted)} messages, ${rate(counters.delivered)} deliveries, ${
      rate(counters.attached)
    } sign-ins, ` +
    `${rate(counters.pushesQueued)} pushes, of which ${rate(counters.pushesSent)} are sent; ${counters.connections} connections`,
    `at the end: ${megabytes(last)}; caches ${JSON.stringify(counters.bytes)}; rows ${JSON.stringify(last.rows ?? {})}`,
    `${storage}, ${
      digits(seconds / 60)
    } minutes. None: below ${NO_SLOPE} KB a minute with twice the error. ${warnings.length} warnings in the log.`,
  ];
  const faults = results.faults.slice(0, MOST);
  if (results.faults.length > MOST) faults.push(`… and ${results.faults.length - MOST} more`);
  // What is stored in memory is to grow.
  if (storage !== "memory" && grown > MAY_GROW) faults.push(`memory grew by ${grown.toFixed(0)} KB`);
  const waiting = waitingOf(end);
  if (waiting > 0) faults.push(`${waiting} pushes have no end`);
  if (waiting < 0) faults.push(`${-waiting} pushes more have ended than were queued`);
  return { lines, faults };
}

function megabytes(point: Point): string {
  return `${(heldOf(point) / 2 ** 20).toFixed(1)} MB held, ${(point.rss / 2 ** 20).toFixed(0)} MB resident`;
}
