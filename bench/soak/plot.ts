import { drawPage, escaped, topOf, WIDTH } from "../fan_out/page.ts";
import { cachedOf, heldOf, lineOf, type Of, type Point, settledOf } from "./results.ts";

const PANEL = { left: 60, right: 20, head: 34, height: 150, foot: 30 };
const [DOTS, LINE, AXES] = ["#0f766e", "#b91c1c", "#cbd5e1"];

/** A figure over time. */
interface Curve {
  title: string;
  of: Of;
}

const CURVES: readonly Curve[] = [
  { title: "Heap and buffers after a collection, without what is in caches", of: heldOf },
  { title: "Caches, as the engine counts them", of: cachedOf },
  { title: "Resident memory of the process", of: ({ rss }) => rss },
];

/** Memory over time, with the line through what is judged. */
export function plot(points: readonly Point[], heading: string, captions: readonly string[]): string {
  const head = { heading, captions };
  const top = topOf(head);
  const height = PANEL.head + PANEL.height + PANEL.foot;
  const drawn = CURVES.map((curve, index) => `<g transform="translate(0 ${top + index * height})">${draw(curve, points)}</g>`);
  return drawPage(head, top + CURVES.length * height, drawn.join("\n"));
}

function draw({ of, title }: Curve, points: readonly Point[]): string {
  const megabytes = points.map((point) => of(point) / 2 ** 20);
  // From nothing on: what does not grow is to look like that.
  const most = Math.max(...megabytes) * 1.1;
  const minutes = points.at(-1)!.seconds / 60;
  const x = (at: number): string => (PANEL.left + at / minutes * (WIDTH - PANEL.left - PANEL.right)).toFixed(1);
  const y = (value: number): string => (PANEL.head + (1 - value / most) * PANEL.height).toFixed(1);
  const ticks = [0, most / 2, most].map((value) =>
    `<path d="M${x(0)} ${y(value)}H${x(minutes)}" stroke="${AXES}"/>` +
    `<text x="${PANEL.left - 8}" y="${Number(y(value)) + 4}" text-anchor="end">${value.toFixed(1)}</text>`
  );
  const everyMinutes = Math.max(1, Math.ceil(minutes / 15));
  for (let at = 0; at <= minutes; at += everyMinutes) {
    ticks.push(`<text x="${x(at)}" y="${PANEL.head + PANEL.height + 16}" text-anchor="middle">${at}</text>`);
  }
  const dots = points.map(({ seconds }, index) => `<circle cx="${x(seconds / 60)}" cy="${y(megabytes[index]!)}" r="1.5"/>`);
  const settled = settledOf(points);
  const { error, slope, start } = lineOf(settled, of);
  const [from, to] = [settled[0]!.seconds / 60, minutes];
  const at = (minute: number): string => `${x(minute)} ${y((start + slope * minute) / 1_024)}`;
  const said = `${title}, MB: ${slope.toFixed(1)} ± ${error.toFixed(1)} KB a minute`;
  return `<text x="20" y="20" font-weight="600">${escaped(said)}</text>${ticks.join("")}` +
    `<g fill="${DOTS}">${dots.join("")}</g><path d="M${at(from)}L${at(to)}" stroke="${LINE}" stroke-width="1.5"/>`;
}
