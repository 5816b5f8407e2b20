import { drawBars } from "../fan_out/bars.ts";
import { type Result, SERVICES } from "./plan.ts";
import { of } from "./table.ts";

/** CPU a push and pushes a second, a panel per service and figure. */
export function plot(results: readonly Result[], captions: readonly string[]): string {
  const panels = SERVICES.flatMap((service) => {
    const mine = results.filter(({ entry }) => entry.service === service);
    if (mine.length === 0) return [];
    const bars = (figure: "cpuUs" | "perSecond") =>
      mine.map((result) => ({ name: `${result.entry.contender} on ${result.entry.runtime}`, values: of(result, figure) }));
    return [
      { title: `${service}: CPU µs a push (less is better)`, bars: bars("cpuUs") },
      { title: `${service}: pushes a second (more is better)`, bars: bars("perSecond") },
    ];
  });
  return drawBars({ heading: "What a push costs", captions, panels, label: 150, value: 60 });
}
