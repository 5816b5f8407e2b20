import type { Load } from "../fan_out/plan.ts";
import { type Row as FanOutRow, samplesOf, scenarioOf } from "../fan_out/results.ts";
import { median } from "../fan_out/statistics.ts";
import type { DurableResults } from "./durable.ts";
import type { LoadSample } from "./measure.ts";
import type { PeerName, Plan } from "./plan.ts";
import type { TailingResults } from "./tailing.ts";

/** Everything that was measured of one contender, round by round. */
export interface Results {
  peer: PeerName;
  /** One per round, each with one sample per load. */
  rounds: LoadSample[][];
}

/** Everything that a run measured. */
export interface Measured {
  fanOut: Results[];
  durable: DurableResults[];
  tailing: TailingResults[];
}

/** A row of the JSON output: those of `npm run bench`, and what only many nodes have. What a scenario does not measure is null. */
export interface Row extends FanOutRow {
  brokerMicrosPerDelivery: number | null;
  freeCpuMicrosPerDelivery: number | null;
  publishesPerSecond: number | null;
  cpuMicrosPerEntry: number | null;
}

const NOTHING: Omit<Row, "scenario" | "peer" | "payloadBytes"> = {
  runtime: "node",
  ...{ subscribers: 0, burst: 0, deliveries: 0 },
  ...{ cpuMicrosPerDelivery: null, brokerMicrosPerDelivery: null, freeCpuMicrosPerDelivery: null, deliveriesPerSecond: null },
  ...{ publishesPerSecond: null, cpuMicrosPerEntry: null, p50Ms: null, p99Ms: null, rssBytesPerConnection: null },
};

/** What a receiver that is too slow spoils. */
const AT_FULL_SPEED: readonly (keyof LoadSample)[] = [
  "freeCpuMicrosPerDelivery",
  "freeBrokerMicrosPerDelivery",
  "deliveriesPerSecond",
];

/** One figure over the rounds in which it counts. */
export function figures(results: Results, load: Load, figure: keyof LoadSample): number[] {
  const spoilt = AT_FULL_SPEED.includes(figure);
  return samplesOf(results, load).filter((sample) => !(spoilt && sample.void)).map((sample) => Number(sample[figure]));
}

/** Medians over the rounds. */
export function rowsOf({ fanOut, durable, tailing }: Measured, plan: Plan): Row[] {
  const delivered = fanOut.flatMap((results) =>
    plan.loads.map((load): Row => {
      const middle = (figure: keyof LoadSample): number | null => finite(median(figures(results, load, figure)));
      return {
        scenario: scenarioOf(load),
        peer: results.peer,
        ...NOTHING,
        subscribers: plan.subscribers,
        ...load,
        deliveries: figures(results, load, "deliveries").reduce((sum, deliveries) => sum + deliveries, 0),
        cpuMicrosPerDelivery: middle("cpuMicrosPerDelivery"),
        brokerMicrosPerDelivery: middle("brokerMicrosPerDelivery"),
        freeCpuMicrosPerDelivery: middle("freeCpuMicrosPerDelivery"),
        deliveriesPerSecond: middle("deliveriesPerSecond"),
        p50Ms: middle("p50Ms"),
        p99Ms: middle("p99Ms"),
      };
    })
  );
  const published = durable.map(({ scenario, publisher, samples }): Row => ({
    scenario,
    peer: publisher,
    ...NOTHING,
    payloadBytes: 64,
    publishesPerSecond: finite(median(samples.map(({ perSecond }) => perSecond))),
    p50Ms: finite(median(samples.map(({ p50Ms }) => p50Ms))),
    p99Ms: finite(median(samples.map(({ p99Ms }) => p99Ms))),
  }));
  const tailed = tailing.map(({ scenario, samples }): Row => ({
    scenario,
    peer: "peyk-jetstream",
    ...NOTHING,
    payloadBytes: 64,
    cpuMicrosPerEntry: finite(median(samples.map(({ cpuMicrosPerEntry }) => cpuMicrosPerEntry))),
  }));
  return [...delivered, ...published, ...tailed];
}

/** JSON has no NaN. */
function finite(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : value;
}
