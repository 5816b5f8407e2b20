import { layOut, middle, spread, voids, whole } from "./columns.ts";
import type { LoadSample } from "./measure.ts";
import { type Load, nameOf, type Plan } from "./plan.ts";
import { figures, type Results, samplesOf, scenarioOf } from "./results.ts";
import { median } from "./statistics.ts";

const HEAD = ["", "CPU µs/delivery", "(spread)", "deliveries/s", "p50 ms", "p99 ms", "max ms", "receiver", "void"];

/** One table per load and one for memory, as text. */
export function tables(all: readonly Results[], plan: Plan): string {
  const loads = plan.loads.map((load) =>
    `${scenarioOf(load)}\n${layOut([HEAD, ...all.map((results) => loadLine(results, load))])}`
  );
  const idle = all.filter(({ rss }) => rss.length > 0).map((results) => [
    nameOf(results.contender),
    kilobytes(median(results.rss)),
    `(${kilobytes(Math.min(...results.rss))}–${kilobytes(Math.max(...results.rss))})`,
  ]);
  return [...loads, `${plan.idle} idle connections\n${layOut([["", "RSS KB/connection", "(spread)"], ...idle])}`].join("\n\n");
}

function loadLine(results: Results, load: Load): string[] {
  const samples = samplesOf(results, load);
  const cell = (figure: keyof LoadSample, digits: number): string => middle(figures(results, load, figure), digits);
  return [
    nameOf(results.contender),
    ...[cell("cpuMicrosPerDelivery", 3), spread(figures(results, load, "cpuMicrosPerDelivery"), 2)],
    whole(median(figures(results, load, "deliveriesPerSecond"))),
    ...[cell("p50Ms", 2), cell("p99Ms", 2), Math.max(...samples.map(({ maxMs }) => maxMs)).toFixed(1)],
    `${whole(100 * (median(samples.map(({ receiverUtilisation }) => receiverUtilisation)) ?? 0))} %`,
    voids(samples),
  ];
}

function kilobytes(bytes: number | undefined): string {
  return bytes === undefined ? "–" : (bytes / 1024).toFixed(1);
}
