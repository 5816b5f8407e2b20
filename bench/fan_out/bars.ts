import { drawPage, escaped, type PageHead, topOf } from "./page.ts";
import { median } from "./statistics.ts";

const PANEL = { width: 400, bar: 16, gap: 8, head: 44 };
const [OURS, OTHERS, BEHIND] = ["#0f766e", "#94a3b8", "#fcd34d"];

export interface Panel {
  title: string;
  bars: Bar[];
}

/** One contender's figure: the median of the rounds, and a thin line that spans them. */
export interface Bar {
  name: string;
  values: number[];
  /** Somebody else's part, drawn behind the figure. */
  behind?: number;
}

export interface Chart extends PageHead {
  panels: readonly Panel[];
  /** Room for names and figures. */
  label: number;
  value: number;
}

/** Panels of bars, two in a row, as an SVG. */
export function drawBars({ panels, label, value, ...head }: Chart): string {
  const rows = Math.max(0, ...panels.map(({ bars }) => bars.length));
  const panelHeight = PANEL.head + rows * (PANEL.bar + PANEL.gap) + 12;
  const top = topOf(head);
  const drawn = panels.map(({ title, bars }, index) => {
    const ends = bars.map(({ values, behind = 0 }) => Math.max(...values, (median(values) ?? 0) + behind));
    const scale = (PANEL.width - label - value) / Math.max(...ends, Number.EPSILON);
    const lines = bars.map((bar, nth) => draw(bar, scale, label, PANEL.head + nth * (PANEL.bar + PANEL.gap)));
    const [x, y] = [20 + (index % 2) * (PANEL.width + 20), top + Math.floor(index / 2) * panelHeight];
    return `<g transform="translate(${x} ${y})"><text y="24" font-weight="600">${title}</text>${lines.join("")}</g>`;
  });
  return drawPage(head, top + Math.ceil(panels.length / 2) * panelHeight, drawn.join("\n"));
}

function draw({ name, values, behind = 0 }: Bar, scale: number, left: number, y: number): string {
  const middle = y + PANEL.bar / 2;
  const label = `<text x="${left - 8}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`;
  const value = median(values);
  if (value === undefined) return `${label}<text x="${left}" y="${middle + 4}">void</text>`;
  const rect = (from: number, length: number, colour: string): string => {
    const [x, width] = [left + from * scale, length * scale].map((place) => place.toFixed(1));
    return `<rect x="${x}" y="${y}" width="${width}" height="${PANEL.bar}" fill="${colour}"/>`;
  };
  const [least, most] = [Math.min(...values), Math.max(...values)].map((end) => left + end * scale) as [number, number];
  const end = Math.max(most, left + (value + behind) * scale);
  return label + rect(0, value, name.startsWith("peyk") ? OURS! : OTHERS!) + (behind === 0 ? "" : rect(value, behind, BEHIND!)) +
    `<path d="M${least.toFixed(1)} ${middle}H${most.toFixed(1)}" stroke="#0f172a" stroke-opacity="0.5"/>` +
    `<text x="${(end + 6).toFixed(1)}" y="${middle + 4}">${[value, behind].filter(Boolean).map(digits).join(" + ")}</text>`;
}

function digits(value: number): string {
  return value < 1 ? value.toFixed(3) : value.toFixed(value < 100 ? 2 : 0);
}
