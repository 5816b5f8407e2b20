/** How much of everything is measured. */
export interface Plan {
  rounds: number;
  /** Pushes that are measured, and those before. */
  pushes: number;
  warmUp: number;
  /** Away users who are pushed something in the middle of GOAWAYs, and pushes between two of these. */
  goaway: { users: number; every: number };
  /** Away users with a message each, of which so many are published at a time. */
  decision: { users: number; apart: number };
  /** How long either may take, milliseconds. */
  limitMs: number;
}

export const FULL: Plan = {
  rounds: 5,
  pushes: 20_000,
  warmUp: 10_000,
  goaway: { users: 20_000, every: 2_000 },
  decision: { users: 20_000, apart: 200 },
  limitMs: 180_000,
};

export const QUICK: Plan = {
  rounds: 2,
  pushes: 4_000,
  warmUp: 2_000,
  goaway: { users: 2_000, every: 300 },
  decision: { users: 2_000, apart: 200 },
  limitMs: 30_000,
};

export const SERVICES = ["apns", "fcm", "web-push"] as const;
export const SCENARIOS = [...SERVICES, "goaway", "decision", "million"] as const;
export type Service = (typeof SERVICES)[number];
export type Scenario = (typeof SCENARIOS)[number];
export type Runtime = "node" | "deno";

/** Where the packages are that Peyk is compared with. */
export const PEERS_FOLDER = new URL("peers/", import.meta.url);

/** The package that sends to a service otherwise. */
export const PEER: Readonly<Record<Service, string>> = {
  apns: "@parse/node-apn",
  fcm: "firebase-admin",
  "web-push": "web-push",
};

/** Who sends to what, and on which runtime. */
export interface Entry {
  service: Service;
  contender: string;
  runtime: Runtime;
}

/** What a push costs. */
export interface Cost {
  cpuUs: number;
  perSecond: number;
}

/** A cost for each round. */
export interface Result {
  entry: Entry;
  costs: Cost[];
}

export function entriesOf(service: Service): Entry[] {
  return [
    { service, contender: "peyk", runtime: "node" },
    { service, contender: "peyk", runtime: "deno" },
    { service, contender: "bare", runtime: "node" },
    { service, contender: "bare", runtime: "deno" },
    { service, contender: PEER[service], runtime: "node" },
  ];
}
