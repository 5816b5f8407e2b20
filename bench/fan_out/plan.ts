/** Who competes under which runtime. */
export interface Contender {
  peer: PeerName;
  runtime: Runtime;
  /** The second run of the same peer: what differs between the two is noise. */
  again: boolean;
}

export const PEERS = ["peyk", "ws", "ws-batched", "bare", "socket.io"] as const;
export type PeerName = (typeof PEERS)[number];
export type Runtime = "node" | "deno";

/** How a contender is named. */
export function nameOf({ peer, runtime, again }: Contender): string {
  return `${peer}${runtime === "deno" ? " (Deno)" : ""}${again ? ", again" : ""}`;
}

/** One size of payload in one size of burst. */
export interface Load {
  payloadBytes: number;
  /** Messages published in one tick. */
  burst: number;
}

/** How long and how hard a fan-out is measured, here and across nodes. */
export interface FanOutPlan {
  rounds: number;
  subscribers: number;
  loads: Load[];
  /** Published before the first load: lets the just-in-time compilers settle. */
  warmUpMs: number;
  /** Published first in each part that is counted: its deliveries are verified, and not in the figures. 0: none. */
  leadInMs: number;
  /** Bursts that a part which goes as fast as it can has at least, however long they take. */
  burstsAtLeast: number;
  /** The part at a fixed rate, for latency. */
  steadyMs: number;
  /** Messages a second in the part at a fixed rate, whatever the burst. */
  steadyRate: number;
}

export const FULL_FAN_OUT: FanOutPlan = {
  rounds: 7,
  subscribers: 1_000,
  loads: [
    { payloadBytes: 64, burst: 1 },
    { payloadBytes: 64, burst: 16 },
    { payloadBytes: 1024, burst: 1 },
    { payloadBytes: 1024, burst: 16 },
  ],
  warmUpMs: 1_500,
  leadInMs: 200,
  burstsAtLeast: 8,
  steadyMs: 1_200,
  steadyRate: 40,
};

export const QUICK_FAN_OUT: FanOutPlan = {
  ...FULL_FAN_OUT,
  rounds: 3,
  loads: FULL_FAN_OUT.loads.filter((load) => load.payloadBytes === 64),
  warmUpMs: 200,
  leadInMs: 100,
  burstsAtLeast: 4,
  steadyMs: 200,
};

/** What one process is measured by. */
export interface Plan extends FanOutPlan {
  /** The first contender runs a second time in each round. */
  again: boolean;
  /** The part that is counted, published as fast as it goes. */
  floodMs: number;
  /** In how many of the rounds memory is measured. */
  idleRounds: number;
  /**
   * Connections that sit idle while memory is read. So many that what the process itself grows by hardly counts: V8's young
   * generation alone grows by up to 60 MB while a process takes in its first thousands, and stays so when it is empty.
   */
  idle: number;
  /** Connections that are there when memory is read for the first time: the code has run once by then. */
  idleBefore: number;
  /** How long they have been idle when memory is read: what opening them left behind is gone then, and a heartbeat has passed. */
  idleMs: number;
  /**
   * The most that each half of V8's young generation may grow to in a server, MiB. Node 24 would let it be 64 and keeps what it
   * once took, empty or not: 130 MB that say nothing about connections.
   */
  youngMiB: number;
}

export const FULL: Plan = {
  ...FULL_FAN_OUT,
  again: true,
  floodMs: 1_000,
  idleRounds: 3,
  idle: 15_000,
  idleBefore: 100,
  idleMs: 30_000,
  youngMiB: 16,
};

export const QUICK: Plan = {
  ...FULL,
  ...QUICK_FAN_OUT,
  again: false,
  floodMs: 200,
  idleRounds: 1,
  // What the process itself grows by while it takes its first connections is left out: there are too few to spread it over.
  idleBefore: 1_000,
  idle: 2_500,
  // A first look has no time for more.
  idleMs: 0,
};

/** The contenders in their standing order, and the first one once more if the plan says so. */
export function lineUp(peers: readonly PeerName[], plan: Plan): Contender[] {
  const contenders = PEERS.filter((peer) => peers.includes(peer)).flatMap((peer): Contender[] =>
    peer === "peyk"
      ? [{ peer, runtime: "node", again: false }, { peer, runtime: "deno", again: false }]
      : [{ peer, runtime: "node", again: false }]
  );
  const second = plan.again ? contenders.slice(0, 1) : [];
  return [...contenders, ...second.map((first) => ({ ...first, again: true }))];
}

/** The order of one round: rotated each time, and backwards every other time, so that nobody always follows the same one. */
export function orderOf<T>(contenders: readonly T[], round: number): T[] {
  const shift = round % contenders.length;
  const rotated = [...contenders.slice(shift), ...contenders.slice(0, shift)];
  return round % 2 === 0 ? rotated : rotated.reverse();
}
