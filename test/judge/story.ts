import type { Line } from "./trace.ts";
import type { Topic } from "../../src/protocol/names.ts";

interface Named {
  readonly topic: Topic;
  readonly epoch: number;
  readonly offset: number;
  readonly id: string;
}

/** Lines after the finding that are told too. */
const AFTER_MS = 3_000;
/** A load that began this long before a message may be felt by it. */
export const LOAD_MS = 90_000;

/** The lines of a trace that concern one message of one user, up to a moment: what a person needs to judge the judge. */
export function storyOf(lines: readonly Line[], user: string, entry: Named, until: number): string[] {
  const appendedAt = lines.findIndex((line) =>
    line.what === "appended" && line.entry.topic === entry.topic && line.entry.offset === entry.offset &&
    line.entry.epoch === entry.epoch
  );
  const story: string[] = [];
  const tokens = new Set(
    lines.flatMap((line) =>
      line.what === "said" && line.user === user && line.frame.type === "target" ? [line.frame.token ?? ""] : []
    ),
  );
  // How everything stood: of each device the last that was said or happened before.
  const before = new Map<string, Line>();
  for (const line of lines.slice(0, Math.max(0, appendedAt))) {
    if (isPresence(line) && line.user === user) before.set(`${line.device} ${line.what}`, line);
    if (line.what === "engine" || line.what === "provider") before.set(line.what, line);
    if (line.what === "load" || line.what === "lag" || line.what === "hangs") before.set(`${line.what} ${line.at}`, line);
    if (line.what === "said" && line.user === user && line.frame.type === "target") before.set(`${line.device} target`, line);
    if (line.what === "input" && line.user === user) before.set(`${line.device} input`, line);
  }
  const from = lines[appendedAt]?.at ?? 0;
  for (const line of [...before.values()].sort((a, b) => a.at - b.at)) {
    // A load that began long before is over.
    if (line.what !== "load" || line.at >= from - LOAD_MS) story.push(tell(line));
  }
  for (const line of lines.slice(Math.max(0, appendedAt))) {
    if (line.at > until + AFTER_MS) break;
    if (concerns(line, user, entry, tokens)) story.push(tell(line));
  }
  return story;
}

type Presence = Extract<Line, { what: "said" | "closed" | "heard" }>;

function isPresence(line: Line): line is Presence {
  if (line.what === "closed") return true;
  return line.what === "said" && ["hello", "state", "logout"].includes(line.frame.type);
}

function concerns(line: Line, user: string, { topic, epoch, offset, id }: Named, tokens: ReadonlySet<string>): boolean {
  switch (line.what) {
    case "engine":
    case "provider":
    case "store":
    case "load":
    case "lag":
    case "hangs":
      return true;
    case "appended":
      return line.entry.topic === topic && line.entry.offset === offset && line.entry.epoch === epoch;
    case "asked":
      // What its user's devices are asked for besides: it may leave together with that.
      return tokens.has(line.ask.token);
    case "answered":
      return line.answer.verdict !== "sent";
    case "done":
      return true;
  }
  if (line.user !== user) return false;
  if (line.what === "heard") {
    const { frame } = line;
    return frame.type === "welcome" || (frame.type === "message" && frame.topic === topic && frame.offset === offset);
  }
  if (line.what !== "said") return true;
  const { frame } = line;
  switch (frame.type) {
    case "ack":
      return frame.cursors.some((cursor) => cursor.topic === topic && cursor.offset >= offset);
    case "mark":
    case "failed":
    case "subscribe":
    case "unsubscribe":
      return frame.topic === topic;
    case "publish":
      return frame.topic === topic && frame.id === id;
    default:
      return true;
  }
}

/** One line of a trace, to be read by a person. */
export function tell(line: Line): string {
  return `${String(line.at).padStart(8)} ${telling(line)}`;
}

function telling(line: Line): string {
  switch (line.what) {
    case "said": {
      const { device, frame, presence, connection } = line;
      const { type, ...fields } = frame;
      const { visible, idleMs } = presence;
      const there = `${visible ? "in front" : "in the background"}, last input ${idleMs === null ? "never" : `${idleMs} ms ago`}`;
      return `${device}(${connection}) says ${type}${["hello", "ack", "state"].includes(type) ? ` (${there})` : ""} ${
        brief(fields)
      }`;
    }
    case "heard": {
      const { type, ...fields } = line.frame;
      return `${line.device}(${line.connection}) hears ${type} ${brief(fields)}`;
    }
    case "closed":
      return `${line.device}(${line.connection}) is closed: ${line.ending}${line.code === undefined ? "" : ` ${line.code}`}`;
    case "input":
      return `input at ${line.device}`;
    case "appended": {
      const { topic, offset, id, from, urgency, expiresAt } = line.entry;
      return `appended ${id} to ${topic} at ${offset}${
        from === undefined ? "" : ` from ${from}`
      }, ${urgency}, expires at ${expiresAt}`;
    }
    case "asked": {
      const { request, token, id, waiting, topic, offset } = line.ask;
      return `PUSH ${request} of ${id} (${topic} ${offset}) to ${token}${waiting > 1 ? `, stands for ${waiting}` : ""}`;
    }
    case "answered":
      return `push ${line.answer.request} answered: ${line.answer.verdict}${
        line.answer.afterMs === undefined ? "" : ` after ${line.answer.afterMs}`
      }`;
    case "call":
      return `server calls ${line.name} of ${line.user} ${line.topic ?? ""} (${line.call})`;
    case "done":
      return `server's call ${line.call} ${line.ok ? "done" : "failed"}`;
    case "store":
      return `the store fails a ${line.call}${line.applied ? ", after doing it" : ""}`;
    case "provider":
      return `the provider: ${line.mode}`;
    case "lag":
      return `writes of ${line.user}'s record take ${line.ms} ms more`;
    case "hangs":
      return `the provider of ${line.user}'s devices ${line.isOn ? "hangs" : "is well"}`;
    case "load":
      return `load: ${line.name}, for ${line.ms} ms`;
    case "operation":
      return `${line.device} waits for ${line.kind}${line.id === undefined ? "" : ` of ${line.id}`}`;
    case "engine":
      return `the engine: ${line.event}`;
  }
}

function brief(fields: object): string {
  const kept = Object.entries(fields).filter(([name, value]) =>
    ![
      "version",
      "capabilities",
      "deviceId",
      "limits",
      "time",
      "heartbeatMs",
      "ackMs",
      "payload",
      "more",
      "envelope",
      "epoch",
      "userId",
    ]
      .includes(name) && value !== null && !(Array.isArray(value) && value.length === 0)
  );
  return kept.length === 0 ? "" : JSON.stringify(Object.fromEntries(kept), (name, value) => name === "epoch" ? undefined : value);
}
