import { SLACK_MS } from "./case.ts";
import type { Request } from "./requests.ts";

/** So many pushes to a target within this time leave as they come, then one at a time. */
export const BURST = 5;
const WITHIN_MS = 60_000;
const PACE_MS = 60_000;

export interface Interval {
  readonly begin: number;
  readonly end: number;
}

/**
 * When a target may be paced: no push of a normal or low urgency has to leave then.
 * @param requests those of a target that it may have been shown, in order
 * @param free the first moment from one on at which nothing else is in the way of a push
 */
export function pacedTimes(requests: readonly Request[], free: (at: number) => number): Interval[] {
  const paced: Interval[] = [];
  requests.forEach(({ at }, index) => {
    const first = requests[index - BURST + 1];
    const last = paced.at(-1);
    const isBurst = first !== undefined && first.at > at - WITHIN_MS - SLACK_MS;
    // One that waited for its turn begins the next.
    const isTurn = last !== undefined && at <= free(last.end) + 2 * SLACK_MS;
    if (isBurst || isTurn) paced.push({ begin: at, end: at + PACE_MS });
  });
  return paced;
}

/** The first of some requests of a target, in order, that left though so many others had left within a minute. */
export function hurried(requests: readonly Request[], isOneLife: (begin: number, end: number) => boolean): Request | undefined {
  return requests.find(({ at }, index) => {
    const first = requests[index - BURST];
    return first !== undefined && at - first.at < WITHIN_MS - SLACK_MS && isOneLife(first.at, at);
  });
}
