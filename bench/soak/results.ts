import type { Memory } from "./engine_child.ts";
import { SETTLING_MS, SETTLING_SHARE } from "./plan.ts";
import { type Line, lineThrough } from "./slope.ts";

/** What was measured at a moment. */
export interface Point extends Memory {
  /** Since the load began. */
  seconds: number;
  /** In the file; undefined for a storage without one. */
  rows: Readonly<Record<string, number>> | undefined;
}

/** Bytes of a point. */
export type Of = (point: Point) => number;

/** What the engine has in caches, as it tells: each is bounded in bytes, and full after a while. */
export const cachedOf: Of = ({ counters }) => Object.values(counters.bytes).reduce((sum, bytes) => sum + bytes, 0);

/** What the engine holds beside its caches: objects, and the bytes of buffers. */
export const heldOf: Of = (point) => point.heap + point.external - cachedOf(point);

/** The points after everything that fills has been filled. */
export function settledOf(points: readonly Point[]): Point[] {
  const from = Math.min(SETTLING_MS / 1_000, (points.at(-1)?.seconds ?? 0) * SETTLING_SHARE);
  return points.filter(({ seconds }) => seconds >= from);
}

/** KB against minutes. */
export function lineOf(points: readonly Point[], of: Of): Line {
  return lineThrough(points.map((point) => ({ x: point.seconds / 60, y: of(point) / 1_024 })));
}
