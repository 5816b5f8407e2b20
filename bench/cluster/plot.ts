import { type Bar, drawBars } from "../fan_out/bars.ts";
import { scenarioOf } from "../fan_out/results.ts";
import { median } from "../fan_out/statistics.ts";
import type { Plan } from "./plan.ts";
import { figures, type Measured } from "./results.ts";

/** CPU time per delivery, the broker's behind the nodes', and durable publishes as bars: one panel per scenario. */
export function plot({ fanOut, durable }: Measured, plan: Plan, captions: readonly string[]): string {
  const loads = fanOut.length === 0 ? [] : plan.loads.map((load) => ({
    title: `${scenarioOf(load)}: CPU µs per delivery`,
    bars: fanOut.map((results): Bar => ({
      name: results.peer,
      values: figures(results, load, "cpuMicrosPerDelivery"),
      behind: median(figures(results, load, "brokerMicrosPerDelivery")) || 0,
    })),
  }));
  const published = [...Map.groupBy(durable, ({ scenario }) => scenario)].map(([title, results]) => ({
    title: `${title}: thousands a second`,
    bars: results.map(({ publisher, samples }): Bar => ({
      name: publisher,
      values: samples.map(({ perSecond }) => perSecond / 1_000),
    })),
  }));
  const heading = `From one node to ${plan.subscribers.toLocaleString("en")} subscribers on another; yellow is the broker's part`;
  return drawBars({ heading, captions, panels: [...loads, ...published], label: 158, value: 88 });
}
