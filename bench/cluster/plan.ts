import { type FanOutPlan, FULL_FAN_OUT, QUICK_FAN_OUT } from "../fan_out/plan.ts";

/** Ways to bring what one process publishes to subscribers that are connected to another one. */
export const PEERS = ["peyk-nats", "peyk-jetstream", "peyk-single", "socket.io-redis", "nats-bare"] as const;
export type PeerName = (typeof PEERS)[number];

/** What many nodes are measured by. */
export interface Plan extends FanOutPlan {
  /** The part in which one burst is under way at a time: what does a delivery cost? */
  pacedMs: number;
  /** The part in which everybody goes as fast as they can: how many get through? */
  freeMs: number;
  /** How often each way to publish durably is measured, and for how long. */
  durableRounds: number;
  durableMs: number;
  /** Before each: what it takes until the just-in-time compilers have settled. */
  durableWarmUpMs: number;
  /** Publishes under way at a time. */
  windows: number[];
  /** Entries that a node tails though nobody on it wants them. */
  tailed: number;
}

export const FULL: Plan = {
  ...FULL_FAN_OUT,
  rounds: 5,
  pacedMs: 1_000,
  freeMs: 500,
  durableRounds: 5,
  durableMs: 2_000,
  durableWarmUpMs: 1_500,
  windows: [64, 1_024],
  tailed: 50_000,
};

export const QUICK: Plan = {
  ...QUICK_FAN_OUT,
  leadInMs: 0,
  steadyMs: 150,
  pacedMs: 250,
  freeMs: 100,
  durableRounds: 3,
  durableMs: 500,
  durableWarmUpMs: 1_500,
  windows: [64],
  tailed: 5_000,
};
