import type { Load } from "../fan_out/plan.ts";

/** Ways to bring what one process publishes to subscribers that are connected to another one. */
export const PEERS = ["peyk-nats", "peyk-jetstream", "peyk-single", "socket.io-redis", "nats-bare"] as const;
export type PeerName = (typeof PEERS)[number];

/** How long and how hard everything is measured. */
export interface Plan {
  rounds: number;
  subscribers: number;
  loads: Load[];
  /** Published before the first load: lets the just-in-time compilers settle. */
  warmUpMs: number;
  /** Published before each counted part: its deliveries are verified, and not in the figures. 0: none. */
  leadInMs: number;
  /** The part in which one burst is under way at a time: what does a delivery cost? */
  pacedMs: number;
  /** The part in which everybody goes as fast as they can: how many get through? */
  freeMs: number;
  /** Bursts that each of these parts has at least, however long they take. */
  burstsAtLeast: number;
  /** The part at a fixed rate, for latency. */
  steadyMs: number;
  /** Messages a second in the part at a fixed rate, whatever the burst. */
  steadyRate: number;
  /** How often each way to publish durably is measured, and for how long. */
  durableRounds: number;
  durableMs: number;
  /** Publishes under way at a time. */
  windows: number[];
  /** Entries that a node tails though nobody on it wants them. */
  tailed: number;
}

export const FULL: Plan = {
  rounds: 5,
  subscribers: 1_000,
  loads: [
    { payloadBytes: 64, burst: 1 },
    { payloadBytes: 64, burst: 16 },
    { payloadBytes: 1024, burst: 1 },
    { payloadBytes: 1024, burst: 16 },
  ],
  warmUpMs: 1_500,
  leadInMs: 200,
  pacedMs: 1_000,
  freeMs: 500,
  burstsAtLeast: 8,
  steadyMs: 1_200,
  steadyRate: 40,
  durableRounds: 5,
  durableMs: 2_000,
  windows: [64, 1_024],
  tailed: 50_000,
};

export const QUICK: Plan = {
  ...FULL,
  rounds: 3,
  loads: FULL.loads.filter((load) => load.payloadBytes === 64),
  warmUpMs: 100,
  leadInMs: 0,
  pacedMs: 250,
  freeMs: 100,
  burstsAtLeast: 4,
  steadyMs: 150,
  durableRounds: 1,
  durableMs: 300,
  windows: [64],
  tailed: 5_000,
};
