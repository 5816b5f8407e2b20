import { nameOf, type Plan } from "./plan.ts";
import { figures, type Results, scenarioOf } from "./results.ts";
import { median } from "./statistics.ts";

const WIDTH = 860;
const PANEL = { width: 400, bar: 16, gap: 8, head: 44, label: 104, value: 56 };
const COLOURS: Record<string, string> = { peyk: "#0f766e" };
const OTHERS = "#94a3b8";

/** Server CPU time per delivery as bars, one panel per load. The thin line on a bar spans the rounds. */
export function plot(all: readonly Results[], plan: Plan, captions: readonly string[]): string {
  const shown = all.filter(({ contender }) => !contender.again);
  const panelHeight = PANEL.head + shown.length * (PANEL.bar + PANEL.gap) + 12;
  const top = 58 + captions.length * 16;
  const height = top + Math.ceil(plan.loads.length / 2) * panelHeight;
  const panels = plan.loads.map((load, index) => {
    const bars = shown.map((results) => ({ results, values: figures(results, load, "cpuMicrosPerDelivery") }));
    const most = Math.max(...bars.flatMap(({ values }) => values), Number.EPSILON);
    const scale = (PANEL.width - PANEL.label - PANEL.value) / most;
    const lines = bars.map(({ results, values }, nth) =>
      bar(nameOf(results.contender), results.contender.peer, values, scale, nth)
    );
    const [x, y] = [20 + (index % 2) * (PANEL.width + 20), top + Math.floor(index / 2) * panelHeight];
    return `<g transform="translate(${x} ${y})"><text y="24" font-weight="600">${scenarioOf(load)}</text>${lines.join("")}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#0f172a">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="20" y="30" font-size="16" font-weight="600">Server CPU µs per verified delivery, ${
    plan.subscribers.toLocaleString("en")
  } subscribers (less is better)</text>
${
    captions.map((caption, line) => `<text x="20" y="${50 + line * 16}" font-size="11" fill="#475569">${escaped(caption)}</text>`)
      .join("\n")
  }
${panels.join("\n")}
</svg>
`;
}

function bar(name: string, peer: string, values: readonly number[], scale: number, nth: number): string {
  const y = PANEL.head + nth * (PANEL.bar + PANEL.gap);
  const middle = y + PANEL.bar / 2;
  const label = `<text x="${PANEL.label - 8}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`;
  const value = median(values);
  if (value === undefined) return `${label}<text x="${PANEL.label}" y="${middle + 4}">void</text>`;
  const [least, most] = [Math.min(...values), Math.max(...values)].map((end) => PANEL.label + end * scale);
  return `${label}<rect x="${PANEL.label}" y="${y}" width="${(value * scale).toFixed(1)}" height="${PANEL.bar}" rx="2" fill="${
    COLOURS[peer] ?? OTHERS
  }"/><path d="M${least!.toFixed(1)} ${middle}H${most!.toFixed(1)}" stroke="#0f172a" stroke-opacity="0.5"/>` +
    `<text x="${(most! + 6).toFixed(1)}" y="${middle + 4}">${value < 1 ? value.toFixed(3) : value.toFixed(2)}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
