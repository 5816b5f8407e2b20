import { layOut, middle, spread, voids, whole } from "../fan_out/columns.ts";
import { samplesOf, scenarioOf } from "../fan_out/results.ts";
import type { Load } from "../fan_out/plan.ts";
import { median } from "../fan_out/statistics.ts";
import type { DurableResults } from "./durable.ts";
import type { LoadSample } from "./measure.ts";
import type { Plan } from "./plan.ts";
import { figures, type Measured, type Results } from "./results.ts";
import type { TailingResults } from "./tailing.ts";

const FAN_OUT = [
  ...["", "CPU µs/delivery", "(spread)", "broker µs", "| at full speed: CPU µs", "broker µs", "deliveries/s"],
  ...["| p50 ms", "p99 ms", "max ms", "receiver", "void"],
];
const DURABLE = ["", "publishes/s", "(spread)", "p50 ms", "p99 ms", "CPU µs/publish", "broker µs"];

/** One table per load and per way to publish durably, as text. */
export function tables({ fanOut, durable, tailing }: Measured, plan: Plan): string {
  const loads = fanOut.length === 0
    ? []
    : plan.loads.map((load) => `${scenarioOf(load)}\n${layOut([FAN_OUT, ...fanOut.map((results) => loadLine(results, load))])}`);
  const published = [...Map.groupBy(durable, ({ scenario }) => scenario)].map(([scenario, results]) =>
    `${scenario}\n${layOut([DURABLE, ...results.map(durableLine)])}`
  );
  const tailed = tailing.length === 0 ? [] : [
    `an entry that nobody on a node wants\n${layOut([["", "CPU µs/entry", "(spread)"], ...tailing.map(tailingLine)])}`,
  ];
  return [...loads, ...published, ...tailed].join("\n\n");
}

function loadLine(results: Results, load: Load): string[] {
  const samples = samplesOf(results, load);
  const cell = (figure: keyof LoadSample, digits: number): string => middle(figures(results, load, figure), digits);
  return [
    results.peer,
    ...[cell("cpuMicrosPerDelivery", 3), spread(figures(results, load, "cpuMicrosPerDelivery"), 2)],
    cell("brokerMicrosPerDelivery", 3),
    ...[cell("freeCpuMicrosPerDelivery", 3), cell("freeBrokerMicrosPerDelivery", 3)],
    whole(median(figures(results, load, "deliveriesPerSecond"))),
    ...[cell("p50Ms", 2), cell("p99Ms", 2), Math.max(...samples.map(({ maxMs }) => maxMs)).toFixed(1)],
    `${whole(100 * (median(samples.map(({ receiverUtilisation }) => receiverUtilisation)) ?? 0))} %`,
    voids(samples),
  ];
}

function durableLine({ publisher, samples }: DurableResults): string[] {
  const rates = samples.map(({ perSecond }) => perSecond);
  return [
    publisher,
    ...[whole(median(rates)), `(${whole(Math.min(...rates))}–${whole(Math.max(...rates))})`],
    ...[middle(samples.map(({ p50Ms }) => p50Ms), 2), middle(samples.map(({ p99Ms }) => p99Ms), 2)],
    middle(samples.map(({ cpuMicrosPerPublish }) => cpuMicrosPerPublish), 1),
    middle(samples.map(({ brokerMicrosPerPublish }) => brokerMicrosPerPublish), 1),
  ];
}

function tailingLine({ scenario, samples }: TailingResults): string[] {
  const values = samples.map(({ cpuMicrosPerEntry }) => cpuMicrosPerEntry);
  return [scenario, middle(values, 2), spread(values, 2)];
}
