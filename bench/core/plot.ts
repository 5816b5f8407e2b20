import { drawBars } from "../fan_out/bars.ts";
import type { Figure } from "./figures.ts";

/** What neighbours notice as bars, one panel per thing that they try. */
export function plot(figures: readonly Figure[], captions: readonly string[]): string {
  const bars = figures.flatMap(({ bar }) => bar ?? []);
  const panels = [...Map.groupBy(bars, ({ panel }) => panel)].map(([title, ofPanel]) => ({
    title: `${title}, p99`,
    bars: ofPanel.map(({ calm, name, value }) => ({ name, values: [calm], behind: Math.max(0, value - calm) })),
  }));
  const heading = "Milliseconds for others while nobody misbehaves + what one who does adds (less is better)";
  return drawBars({ heading, captions, panels, label: 64, value: 110 });
}
