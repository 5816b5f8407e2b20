/** A line of the table. All of it was measured in this run, but for `before` and `target`. */
export interface Figure {
  scenario: string;
  measured: string;
  value: string;
  /** The same while nobody misbehaves. */
  calm?: string;
  /** What it was before the core was changed for this, as measured then. */
  before?: string;
  target?: string;
  /** What the plot draws of it, milliseconds. */
  bar?: { panel: string; name: string; calm: number; value: number };
}

/** Takes a figure of the scenario that runs. */
export type Report = (measured: string, value: string, rest?: Omit<Figure, "scenario" | "measured" | "value">) => void;

/** A number as it stands in the table. */
export function digits(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return Number.isInteger(value) ? String(value) : value.toFixed(value >= 10 ? 1 : 2);
}

/** `undefined`: it did not come about within the limit. */
export function within(value: number | undefined, limit: number): string {
  return value === undefined ? `not within ${digits(limit)}` : digits(value);
}
