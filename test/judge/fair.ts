import type { Bounds } from "./alone.ts";
import type { Finding } from "./judge.ts";
import { type Operation, Operations } from "./operations.ts";
import { LOAD_MS, tell } from "./story.ts";
import type { Line } from "./trace.ts";

/** A store that failed this long before an operation, or a node that ended, may be felt in it. */
const TROUBLE_MS = 5_000;
/** Lines of a story. */
const MAX_LINES = 40;

/** An idle user's operations: how long each may take, whatever the others do. */
export function judgeFair(lines: readonly Line[], bounds: Bounds, endAt: number): Finding[] {
  const operations = new Operations();
  const troubles: number[] = [];
  for (const line of lines) {
    operations.follow(line);
    if (line.what === "store" || line.what === "engine") troubles.push(line.at);
  }
  return operations.all.flatMap((operation) => {
    const { begin, device, end = endAt, id, isTurnedAway, kind, user } = operation;
    const bound = bounds[kind];
    if (end - begin <= bound && !isTurnedAway) return [];
    if (troubles.some((at) => at >= begin - TROUBLE_MS && at <= end)) return [];
    const took = isTurnedAway
      ? `was refused after ${end - begin} ms`
      : operation.end === undefined
      ? "never came"
      : `took ${end - begin} ms`;
    const text = `${kind} ${took}, at most ${bound} without the others; ${loadOf(lines, begin, end)}`;
    const story = storyOf(lines, operation, end);
    return [{ rule: "FAIR", user, device, message: id ?? "hello", at: begin + bound, text, story }];
  });
}

/** What load was going on. */
function loadOf(lines: readonly Line[], begin: number, end: number): string {
  const loads = lines.flatMap((line) =>
    line.what === "load" && line.at <= end && line.at >= begin - LOAD_MS ? [`${line.name} (since ${begin - line.at} ms)`] : []
  );
  return loads.length === 0 ? "no load" : loads.join(", ");
}

function storyOf(lines: readonly Line[], { begin, user }: Operation, end: number): string[] {
  const story = lines.filter((line) => {
    if (line.what === "load" || line.what === "engine") return line.at >= begin - LOAD_MS && line.at <= end;
    if (line.at < begin || line.at > end) return false;
    if (line.what === "appended") return line.entry.topic.startsWith(`${user}/`);
    if (line.what === "asked") return line.ask.topic.startsWith(`${user}/`);
    return "user" in line && line.user === user;
  });
  const told = story.slice(0, MAX_LINES).map(tell);
  return story.length > MAX_LINES ? [...told, `and ${story.length - MAX_LINES} lines more`] : told;
}
