/** How much of everything is measured. */
export interface Plan {
  /** Users whose records are written and read. */
  users: number;
  /** Things that are done one at a time. */
  alone: number;
  /** Reads and plain writes of which 64 are under way at a time: so many that every record has the most that it keeps of its writes. */
  together: number;
  /** Entries in the logs. */
  entries: number;
  /** People who come and go through an engine. */
  people: number;
  /** How long nothing happens, milliseconds. */
  quietMs: number;
  /** Entries and users that a server's memory is divided by. A single server writes few users a second. */
  kept: { entries: number; users: Record<Replicas, number> };
}

export const FULL: Plan = {
  users: 2_000,
  alone: 500,
  together: 40_000,
  entries: 50_000,
  people: 1_000,
  quietMs: 5_000,
  kept: { entries: 200_000, users: { 1: 10_000, 3: 50_000 } },
};

export const QUICK: Plan = {
  ...FULL,
  users: 400,
  alone: 100,
  together: 8_000,
  entries: 10_000,
  people: 200,
  quietMs: 1_000,
};

/** Servers, each of which keeps every stream. */
export type Replicas = 1 | 3;

export const PARTS = ["state", "logs", "people", "memory"] as const;
export type Part = (typeof PARTS)[number];

/** What was measured, on so many servers. */
export interface Figure {
  part: Part;
  measured: string;
  unit: string;
  replicas: Replicas;
  value: number;
}

/** Takes a figure. */
export type Report = (measured: string, unit: string, value: number) => void;
