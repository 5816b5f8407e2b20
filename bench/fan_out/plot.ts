import { drawBars } from "./bars.ts";
import { nameOf, type Plan } from "./plan.ts";
import { figures, type Results, scenarioOf } from "./results.ts";

/** Server CPU time per delivery as bars, one panel per load. */
export function plot(all: readonly Results[], plan: Plan, captions: readonly string[]): string {
  const shown = all.filter(({ contender }) => !contender.again);
  const panels = plan.loads.map((load) => ({
    title: scenarioOf(load),
    bars: shown.map((results) => ({
      name: nameOf(results.contender),
      values: figures(results, load, "cpuMicrosPerDelivery"),
    })),
  }));
  const heading = `Server CPU µs per verified delivery, ${plan.subscribers.toLocaleString("en")} subscribers (less is better)`;
  return drawBars({ heading, captions, panels, label: 104, value: 56 });
}
