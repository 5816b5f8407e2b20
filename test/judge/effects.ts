import type { Cursor } from "../../src/protocol/frames.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { type Device, type Link, NEAR_MS, type Reading } from "./known.ts";
import { ATTENDED_MS, FRESH_MS } from "./presence.ts";
import type { Line } from "./trace.ts";
import type { Trouble } from "./trouble.ts";
import type { World } from "./world.ts";

/** Something was said by which entries of a user are done with, or wait for it. */
export interface Effect {
  readonly user: string;
  readonly topic: Topic;
  readonly epoch: number;
  /** The entries in (after, through]. */
  readonly after: number;
  readonly through: number;
  /** Only for this device; undefined: for all of the user's. */
  readonly device: Device | undefined;
  /** "waits": whether the person is there turns out until `until`. */
  readonly certainty: "surely" | "maybe" | "waits";
  readonly why: string;
  readonly until?: number;
  /** Whose ack it was. */
  readonly link?: Link;
}

/** What a line says about entries being done with. Called after the world has taken it in. */
export function effectsOf(line: Line, world: World, trouble: Trouble): Effect[] {
  if (line.what === "said") {
    switch (line.frame.type) {
      case "hello":
        // Its session may have come to the front before a welcome could be heard.
        return line.frame.visible ? ofOpening(world.device(line.user, line.device), line.frame.cursors) : [];
      case "ack":
        return ofAck(line, line.frame.cursors, world, trouble);
      case "state":
        return ofPresence(world.link(line.connection)!, line.at, "came to the front", trouble);
      case "mark":
        return ofMark(line.user, line.frame, world, "maybe");
      case "unsubscribe":
        return ofTopic(line.user, line.frame.topic, "maybe");
    }
  } else if (line.what === "heard") {
    const { frame } = line;
    if (frame.type === "welcome") return ofPresence(world.link(line.connection)!, line.at, "opened the app", trouble);
    if (frame.type !== "ok" && frame.type !== "error") return [];
    const asked = world.asked(line.connection, frame.ref)?.frame;
    if (asked?.type === "mark") {
      // A mark that is as it should be counts, whatever is answered; only what may not have been stored is open.
      return ofMark(line.user, asked, world, frame.type === "error" && frame.retryable ? "maybe" : "surely");
    }
    if (asked?.type === "unsubscribe" && frame.type === "ok") return ofTopic(line.user, asked.topic, "surely");
  } else if (line.what === "call" || line.what === "done") {
    const call = line.what === "call" ? line : world.call(line.call)!;
    if (call.name !== "unsubscribe" || (line.what === "done" && !line.ok)) return [];
    return ofTopic(call.user, call.topic!, line.what === "done" ? "surely" : "maybe");
  }
  return [];
}

function ofAck(
  { at, connection }: Extract<Line, { what: "said" }>,
  cursors: readonly { topic: Topic; epoch: number; offset: number }[],
  world: World,
  trouble: Trouble,
): Effect[] {
  const link = world.link(connection)!;
  const effects: Effect[] = [];
  // What it acked before, from the background say, may count now that its person is seen to be there.
  effects.push(...ofPerson(link, at));
  if (!link.visible) return effects;
  for (const { topic, epoch, offset } of cursors) {
    const reading = link.device.readings.get(topic);
    if (reading?.epoch !== epoch) continue;
    const kept = link.isLeaving || trouble.mayLose(at, topic) ? "maybe" : "surely";
    for (const [after, through, failed] of ranges(reading, reading.from, offset)) {
      const range = { user: link.device.user, topic, epoch, after, through };
      // The person had it in front, and the app failed on it: either is as good.
      effects.push({ ...range, device: link.device, certainty: failed === undefined ? kept : "maybe", why: "acked in front" });
      if (failed !== undefined) {
        // A later connection may not know any more what failed.
        if (failed !== link.id) effects.push({ ...range, device: undefined, certainty: "maybe", why: "acked in front" });
        continue;
      }
      const idle = link.lastInput === null ? Infinity : at - link.lastInput;
      const name = `handled by ${link.device.id}`;
      const handled = (certainty: Effect["certainty"], why = name): void => {
        effects.push({ ...range, device: undefined, certainty, why, link, until: at - idle + ATTENDED_MS });
      };
      if (idle <= FRESH_MS - NEAR_MS) handled(kept);
      else if (idle < FRESH_MS + NEAR_MS) handled("maybe"), handled("waits");
      else if (idle < ATTENDED_MS - NEAR_MS) handled("waits");
      else if (idle < ATTENDED_MS + NEAR_MS) handled("maybe");
    }
  }
  return effects;
}

/** On becoming visible a device shows what it acked in the background. */
function ofPresence(link: Link, at: number, why: string, trouble: Trouble): Effect[] {
  const effects = ofPerson(link, at);
  if (!link.visible) return effects;
  for (const [topic, reading] of link.device.readings) {
    const certainty = trouble.mayLose(at, topic) ? "maybe" : "surely";
    for (const [after, through, failed] of ranges(reading, reading.from, reading.acked)) {
      effects.push({
        ...{ user: link.device.user, topic, epoch: reading.epoch, after, through, device: link.device },
        ...{ certainty: failed === undefined ? certainty : "maybe", why: `${why} after it was acked` },
      });
    }
  }
  return effects;
}

/** What a device that is being opened acked before, or now says it has, may be in front from here on. */
function ofOpening(device: Device, cursors: readonly Cursor[]): Effect[] {
  const why = "opened after it was acked";
  const { user } = device;
  const told = cursors.map(({ topic, epoch, offset }): Effect => ({
    ...{ user, topic, epoch, after: 0, through: offset, device, certainty: "maybe", why },
  }));
  const known = [...device.readings].map(([topic, { acked, epoch, from }]): Effect => ({
    ...{ user, topic, epoch, after: from, through: acked, device, certainty: "maybe", why },
  }));
  return [...told, ...known];
}

/** A person who has come since may count as having dealt with what the device acked before, one who hid the app just now too. */
function ofPerson(link: Link, at: number): Effect[] {
  const { lastInput } = link;
  if (lastInput === null || at - lastInput >= ATTENDED_MS) return [];
  const effects: Effect[] = [];
  for (const [topic, reading] of link.device.readings) {
    let from = reading.from;
    for (const { at: ackedAt, through, visible } of reading.acks) {
      const hasCome = lastInput > ackedAt || (link.visible && !visible && at > ackedAt);
      for (const [after, to, failed] of hasCome ? ranges(reading, from, through) : []) {
        if (failed === link.id) continue;
        effects.push({
          ...{ user: link.device.user, topic, epoch: reading.epoch, after, through: to, device: undefined },
          ...{ certainty: "maybe", why: `somebody is at ${link.device.id}` },
        });
      }
      from = through;
    }
  }
  return effects;
}

function ofMark(
  user: string,
  { kind, topic, epoch, offset }: { kind: string; topic: Topic; epoch: number; offset: number },
  world: World,
  certainty: "surely" | "maybe",
): Effect[] {
  const head = world.heads.get(topic);
  if (head === undefined || head.epoch !== epoch || offset > head.offset) return [];
  const after = kind === "read" ? 0 : offset - 1;
  return [{ user, topic, epoch, after, through: offset, device: undefined, certainty, why: `marked as ${kind}` }];
}

function ofTopic(user: string, topic: Topic, certainty: "surely" | "maybe"): Effect[] {
  return [{ user, topic, epoch: 0, after: 0, through: Infinity, device: undefined, certainty, why: "unsubscribed" }];
}

/** (from, to] in parts: what was handled, and each entry that the handler failed on. */
function* ranges(
  { failed }: Reading,
  from: number,
  to: number,
): Generator<[after: number, through: number, failed: number | undefined]> {
  let after = from;
  if (failed.size > 0) {
    for (const offset of [...failed.keys()].sort((a, b) => a - b)) {
      if (offset <= from || offset > to) continue;
      if (offset - 1 > after) yield [after, offset - 1, undefined];
      yield [offset - 1, offset, failed.get(offset)!];
      after = offset;
    }
  }
  if (to > after) yield [after, to, undefined];
}
