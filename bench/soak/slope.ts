export interface Place {
  x: number;
  y: number;
}

/** The line of least squares through places. */
export interface Line {
  slope: number;
  /** At x = 0. */
  start: number;
  /** The standard error of the slope. What lies above the line is often followed by more that does: the error allows for that. */
  error: number;
}

/** @param places 3 at least, evenly spaced */
export function lineThrough(places: readonly Place[]): Line {
  const { length } = places;
  const [meanX, meanY] = [mean(places.map(({ x }) => x)), mean(places.map(({ y }) => y))];
  const spread = sum(places.map(({ x }) => (x - meanX) ** 2));
  const slope = sum(places.map(({ x, y }) => (x - meanX) * (y - meanY))) / spread;
  const start = meanY - slope * meanX;
  const rests = places.map(({ x, y }) => y - start - slope * x);
  const squares = sum(rests.map((rest) => rest ** 2));
  const error = Math.sqrt(squares / (length - 2) / spread);
  // Of n places that depend on the one before by r, as much is known as of n (1 - r) / (1 + r) that don't.
  const alike = squares === 0 ? 0 : sum(rests.slice(1).map((rest, index) => rest * rests[index]!)) / squares;
  const r = Math.min(Math.max(alike, 0), 0.95);
  return { slope, start, error: error * Math.sqrt((1 + r) / (1 - r)) };
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
