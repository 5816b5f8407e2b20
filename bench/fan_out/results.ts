import type { LoadSample } from "./measure.ts";
import type { Contender, Load, Plan } from "./plan.ts";
import { median } from "./statistics.ts";

/** Everything that was measured of one contender, round by round. */
export interface Results {
  contender: Contender;
  /** One per round, each with one sample per load. */
  rounds: LoadSample[][];
  /** Bytes per idle connection, one per idle round. */
  rss: number[];
}

/** A row of the JSON output. What a scenario does not measure is null. */
export interface Row {
  scenario: string;
  peer: string;
  runtime: string;
  subscribers: number;
  burst: number;
  payloadBytes: number;
  deliveries: number;
  cpuMicrosPerDelivery: number | null;
  deliveriesPerSecond: number | null;
  p50Ms: number | null;
  p99Ms: number | null;
  rssBytesPerConnection: number | null;
}

/** The samples of one load over the rounds. */
export function samplesOf<Sample extends Load>({ rounds }: { rounds: Sample[][] }, load: Load): Sample[] {
  return rounds.flat().filter((sample) => isOf(sample, load));
}

/** The samples of one load in those rounds that both ran in: what disturbed a whole round disturbed both. */
export function pairsOf<Sample extends Load>(
  one: { rounds: Sample[][] } | undefined,
  other: { rounds: Sample[][] } | undefined,
  load: Load,
): [Sample, Sample][] {
  return (one?.rounds ?? []).flatMap((samples, round): [Sample, Sample][] => {
    const mine = samples.find((sample) => isOf(sample, load));
    const theirs = other?.rounds[round]?.find((sample) => isOf(sample, load));
    return mine === undefined || theirs === undefined ? [] : [[mine, theirs]];
  });
}

function isOf(sample: Load, { payloadBytes, burst }: Load): boolean {
  return sample.payloadBytes === payloadBytes && sample.burst === burst;
}

/** One figure over the rounds that count. A void round's CPU and rate do not. */
export function figures(results: Results, load: Load, figure: keyof LoadSample): number[] {
  return samplesOf(results, load).filter((sample) => !sample.void).map((sample) => Number(sample[figure]));
}

/** How a load is named in tables, plots and rows. */
export function scenarioOf({ payloadBytes, burst }: Load): string {
  return `${payloadBytes} B, ${burst === 1 ? "one message a tick" : `bursts of ${burst}`}`;
}

/** Medians, one row per contender and load, and one for its idle connections. */
export function rowsOf(all: readonly Results[], plan: Plan): Row[] {
  return all.filter(({ contender }) => !contender.again).flatMap((results) => {
    const { peer, runtime } = results.contender;
    const rows = plan.loads.map((load): Row => ({
      scenario: scenarioOf(load),
      peer,
      runtime,
      subscribers: plan.subscribers,
      ...{ burst: load.burst, payloadBytes: load.payloadBytes },
      deliveries: figures(results, load, "deliveries").reduce((sum, deliveries) => sum + deliveries, 0),
      cpuMicrosPerDelivery: median(figures(results, load, "cpuMicrosPerDelivery")) ?? null,
      deliveriesPerSecond: median(figures(results, load, "deliveriesPerSecond")) ?? null,
      p50Ms: median(figures(results, load, "p50Ms")) ?? null,
      p99Ms: median(figures(results, load, "p99Ms")) ?? null,
      rssBytesPerConnection: null,
    }));
    const idle: Row = {
      scenario: "idle",
      peer,
      runtime,
      subscribers: plan.idle,
      ...{ burst: 0, payloadBytes: 0, deliveries: 0 },
      ...{ cpuMicrosPerDelivery: null, deliveriesPerSecond: null, p50Ms: null, p99Ms: null },
      rssBytesPerConnection: median(results.rss) ?? null,
    };
    return [...rows, idle];
  });
}
