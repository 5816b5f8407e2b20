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
  function middle(figure: keyof LoadSample, digits: number): string {
    return median(figures(results, load, figure))?.toFixed(digits) ?? "–";
  }
  const cpu = figures(results, load, "cpuMicrosPerDelivery");
  const voids = samples.filter((sample) => sample.void).length;
  return [
    nameOf(results.contender),
    middle("cpuMicrosPerDelivery", 3),
    cpu.length === 0 ? "" : `(${Math.min(...cpu).toFixed(2)}–${Math.max(...cpu).toFixed(2)})`,
    Math.round(median(figures(results, load, "deliveriesPerSecond")) ?? 0).toLocaleString("en"),
    middle("p50Ms", 2),
    middle("p99Ms", 2),
    Math.max(...samples.map(({ maxMs }) => maxMs)).toFixed(1),
    `${Math.round(100 * (median(samples.map(({ receiverUtilisation }) => receiverUtilisation)) ?? 0))} %`,
    voids === 0 ? "" : `${voids} of ${samples.length}`,
  ];
}

function kilobytes(bytes: number | undefined): string {
  return bytes === undefined ? "–" : (bytes / 1024).toFixed(1);
}

/** Columns as wide as they need to be: the first to the left, figures to the right. */
function layOut(lines: readonly string[][]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ").trimEnd()
  ).join("\n");
}
