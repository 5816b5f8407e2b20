import { median } from "./statistics.ts";

/** Columns as wide as they need to be: the first to the left, figures to the right. */
export function layOut(lines: readonly string[][]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ").trimEnd()
  ).join("\n");
}

export function middle(values: readonly number[], digits: number): string {
  const value = median(values);
  return value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
}

export function spread(values: readonly number[], digits: number): string {
  return values.length === 0 ? "" : `(${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`;
}

export function whole(value: number | undefined): string {
  return value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

/** In how many of the rounds the receiver was the bottleneck. */
export function voids(samples: readonly { void: boolean }[]): string {
  const count = samples.filter((sample) => sample.void).length;
  return count === 0 ? "" : `${count} of ${samples.length}`;
}
