import { scenarioOf } from "../fan_out/results.ts";
import { median } from "../fan_out/statistics.ts";
import type { Plan } from "./plan.ts";
import { figures, type Measured } from "./results.ts";

const WIDTH = 860;
const PANEL = { width: 400, bar: 16, gap: 8, head: 44, label: 158, value: 88 };
const [OURS, OTHERS, BROKER] = ["#0f766e", "#94a3b8", "#fcd34d"];

/** A row of bars: the nodes' figure, the broker's behind it, and the span of the rounds over the former. */
interface Bar {
  name: string;
  values: number[];
  broker: number;
}

/** CPU time per delivery and durable publishes as bars, one panel per scenario. */
export function plot({ fanOut, durable }: Measured, plan: Plan, captions: readonly string[]): string {
  const loads = fanOut.length === 0 ? [] : plan.loads.map((load) => ({
    title: `${scenarioOf(load)}: CPU µs per delivery`,
    bars: fanOut.map((results): Bar => ({
      name: results.peer,
      values: figures(results, load, "cpuMicrosPerDelivery"),
      broker: median(figures(results, load, "brokerMicrosPerDelivery")) || 0,
    })),
  }));
  const published = [...Map.groupBy(durable, ({ scenario }) => scenario)].map(([title, results]) => ({
    title: `${title}: thousands a second`,
    bars: results.map(({ publisher, samples }): Bar => ({
      name: publisher,
      values: samples.map(({ perSecond }) => perSecond / 1_000),
      broker: 0,
    })),
  }));
  const panels = [...loads, ...published];
  const rows = Math.max(0, ...panels.map(({ bars }) => bars.length));
  const panelHeight = PANEL.head + rows * (PANEL.bar + PANEL.gap) + 12;
  const top = 58 + captions.length * 16;
  const drawn = panels.map(({ title, bars }, index) => {
    const most = Math.max(
      ...bars.map(({ values, broker }) => Math.max(...values, (median(values) ?? 0) + broker)),
      Number.EPSILON,
    );
    const scale = (PANEL.width - PANEL.label - PANEL.value) / most;
    const [x, y] = [20 + (index % 2) * (PANEL.width + 20), top + Math.floor(index / 2) * panelHeight];
    const lines = bars.map((bar, nth) => draw(bar, scale, PANEL.head + nth * (PANEL.bar + PANEL.gap)));
    return `<g transform="translate(${x} ${y})"><text y="24" font-weight="600">${title}</text>${lines.join("")}</g>`;
  });
  const heading = `From one node to ${plan.subscribers.toLocaleString("en")} subscribers on another; yellow is the broker's part`;
  const height = top + Math.ceil(panels.length / 2) * panelHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#0f172a">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="20" y="30" font-size="16" font-weight="600">${heading}</text>
${
    captions.map((caption, nth) => `<text x="20" y="${50 + nth * 16}" font-size="11" fill="#475569">${escaped(caption)}</text>`)
      .join("\n")
  }
${drawn.join("\n")}
</svg>
`;
}

function draw({ name, values, broker }: Bar, scale: number, y: number): string {
  const middle = y + PANEL.bar / 2;
  const label = `<text x="${PANEL.label - 8}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`;
  const value = median(values);
  if (value === undefined) return `${label}<text x="${PANEL.label}" y="${middle + 4}">void</text>`;
  const rect = (from: number, length: number, colour: string): string =>
    `<rect x="${(PANEL.label + from * scale).toFixed(1)}" y="${y}" width="${
      (length * scale).toFixed(1)
    }" height="${PANEL.bar}" fill="${colour}"/>`;
  const [least, most] = [Math.min(...values), Math.max(...values)].map((end) => PANEL.label + end * scale);
  const end = Math.max(most!, PANEL.label + (value + broker) * scale);
  const figure = broker === 0 ? digits(value) : `${digits(value)} + ${digits(broker)}`;
  return `${label}${rect(0, value, name.startsWith("peyk") ? OURS! : OTHERS!)}${
    broker === 0 ? "" : rect(value, broker, BROKER!)
  }` +
    `<path d="M${least!.toFixed(1)} ${middle}H${most!.toFixed(1)}" stroke="#0f172a" stroke-opacity="0.5"/>` +
    `<text x="${(end + 6).toFixed(1)}" y="${middle + 4}">${figure}</text>`;
}

function digits(value: number): string {
  return value < 1 ? value.toFixed(3) : value.toFixed(value < 100 ? 2 : 0);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
