import { type LoadName, LOADS } from "./load.ts";

/** What may happen, and how often in how many. */
const WEIGHTS = {
  "server publishes": 40,
  "client publishes": 14,
  wait: 60,
  "opens in front": 14,
  "opens in the background": 5,
  "background wake": 6,
  leaves: 10,
  drops: 8,
  "reloads its page": 5,
  hides: 10,
  shows: 12,
  input: 22,
  "goes mute": 4,
  "wakes up": 5,
  "slow handler": 4,
  "hanging handler": 2,
  "failing handler": 4,
  "good handler": 10,
  reads: 7,
  dismisses: 5,
  "marks nonsense": 3,
  "new token": 4,
  "registers again": 3,
  "drops its token": 1,
  unsubscribes: 2,
  subscribes: 4,
  "subscribes again": 1,
  "logs out": 2,
  revoke: 1,
  "provider fails": 5,
  "provider is well": 8,
  "store fails": 4,
  "store is well": 4,
  restart: 3,
  kill: 2,
  "kill soon": 2,
} as const;

/** What happens besides where there is load, while all that happens without it happens twice as often: one load in some 120 events. */
const LOAD_WEIGHTS = {
  ...Object.fromEntries(LOADS.map((name) => [name, 1])) as Record<LoadName, number>,
  "idle user signs in": 6,
  "idle user is sent a message": 6,
} as const;

export type EventName = keyof typeof WEIGHTS | keyof typeof LOAD_WEIGHTS;

const EVENTS: readonly EventName[] = namesOf(WEIGHTS);
const LOAD_EVENTS: readonly EventName[] = namesOf(LOAD_WEIGHTS);

function namesOf(weights: Partial<Record<EventName, number>>): readonly EventName[] {
  return Object.entries(weights).flatMap(([name, weight]) => Array.from({ length: weight }, () => name as EventName));
}

/** Devices come and go as new ones all the time, while pushes wait for others: one of five walks is like that. */
const SIGN_INS: readonly EventName[] = [
  ...EVENTS,
  ...["logs out", "opens in front", "server publishes", "provider fails"].flatMap((name) =>
    Array.from({ length: 14 }, () => name as EventName)
  ),
];

/** What a walk is like. */
export interface Way {
  /** Accounts make load, and an idle user's operations are measured. */
  readonly load: boolean;
}

/** Without a word a walk is like this. */
export const USUAL: Way = { load: false };

/** What may happen on a walk. */
export function eventsOf(seed: number, { load }: Way = USUAL): readonly EventName[] {
  const events = seed % 5 === 4 ? SIGN_INS : EVENTS;
  return load ? [...events, ...events, ...LOAD_EVENTS] : events;
}
