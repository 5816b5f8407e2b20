import type { DeviceName, NoteKind } from "./delivery/journal.ts";
import { deviceName } from "./delivery/session.ts";
import { isForgotten } from "./delivery/temporary.ts";
import { eventOf, type ExplainedEvent } from "./explained_event.ts";
import type { OutboxRow } from "./ports/outbox.ts";
import type { UserRecord } from "./ports/users.ts";
import type { Position } from "./protocol/message.ts";
import type { Topic } from "./protocol/names.ts";
import type { Route } from "./session/step.ts";

/** Why one device got a message the way it did. */
export interface DeviceExplanation {
  readonly userId: string;
  /** A short stable hash that stands for the deviceId. */
  readonly device: string;
  /** The session's state when the message came, e.g. "connected.live". */
  readonly state: string | undefined;
  /** The rule that decided, e.g. "connected.live/alert". */
  readonly rule: string | undefined;
  readonly route: { readonly socket: Route["socket"]; readonly push: Route["push"] } | undefined;
  /** What happened since, in order. Of 50 and more the first ones and the last one. */
  readonly events: readonly ExplainedEvent[];
}

/** What the engine can say about a message. Bounded and recent; of pushes also what the outbox keeps until they expire. */
export interface Explanation {
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
  readonly from: string | undefined;
  /** Milliseconds since 1970. */
  readonly sentAt: number;
  /**
   * "no-device": accepted for a user nobody has signed in as yet. "not-subscribed": in a private channel that its owner is not
   * subscribed to, though somebody has signed in.
   */
  readonly verdict: "routed" | "no-device" | "not-subscribed";
  /** Of a private message each device; of a public one the exceptions (pushes, failures, slow readers), 100 at most. */
  readonly devices: readonly DeviceExplanation[];
  /** Of a public message: for how many devices each rule decided; again for one that comes back before it has acked. */
  readonly counts: Readonly<Record<string, number>>;
  /** Devices whose handler is done. */
  readonly delivered: number;
}

/** Devices of one message that are remembered. */
export const DEVICES_KEPT = 100;

/**
 * An explanation with what the outbox knows besides: pushes may have been made by another node, or before a restart.
 *
 * @param rows the outbox's of the message
 */
export function withOutbox(explanation: Explanation, rows: readonly OutboxRow[]): Explanation {
  const devices = new Map(explanation.devices.map((device) => [deviceKey(device), device]));
  const who = ({ userId, deviceId }: OutboxRow): DeviceName => ({ userId, device: deviceName(deviceId) });
  for (const [key, own] of Map.groupBy(rows, (row) => deviceKey(who(row)))) {
    if (devices.has(key) || devices.size < DEVICES_KEPT) devices.set(key, withRows(devices.get(key) ?? who(own[0]!), own));
  }
  return { ...explanation, verdict: devices.size > 0 ? "routed" : explanation.verdict, devices: [...devices.values()] };
}

/** A device with what its rows say and its events don't. */
function withRows(device: DeviceName & Partial<DeviceExplanation>, rows: readonly OutboxRow[]): DeviceExplanation {
  const { userId, device: name, state, route, events = [] } = device;
  // Of each target there is one row: two may have said the same.
  const added = rows.map(eventOf).filter((event, index) => {
    const isQueued = rows[index]!.note === undefined && QUEUED.has(event.kind);
    return !events.some(({ kind, detail, provider }) =>
      provider === event.provider && (isQueued ? QUEUED.has(kind) : kind === event.kind && detail === event.detail)
    );
  });
  return {
    ...{ userId, device: name, state, route, rule: device.rule ?? rows[0]!.rule },
    events: [...events, ...added].sort((one, other) => one.at - other.at),
  };
}

/** An explanation that names no device, with what its owner's record says of that. */
export function withOwner(explanation: Explanation, owner: UserRecord | undefined, now: number): Explanation {
  if (owner === undefined || owner.sessions.every((session) => isForgotten(session, now))) return explanation;
  return { ...explanation, verdict: owner.subscriptions[explanation.topic] === undefined ? "not-subscribed" : "routed" };
}

/** What several nodes know about one message, as one. */
export function mergeExplanations(explanations: readonly Explanation[]): Explanation | undefined {
  return explanations.reduce<Explanation | undefined>(
    (merged, other) => merged === undefined ? other : merge(merged, other),
    undefined,
  );
}

function merge(a: Explanation, b: Explanation): Explanation {
  const counts = { ...a.counts };
  for (const [rule, count] of Object.entries(b.counts)) counts[rule] = (counts[rule] ?? 0) + count;
  const devices = Map.groupBy([...a.devices, ...b.devices], deviceKey);
  return {
    ...a,
    verdict: a.verdict === "routed" ? a.verdict : b.verdict,
    devices: [...devices.values()].map((pages) => ({
      ...lastDecided(pages),
      events: pages.flatMap(({ events }) => events).sort((one, other) => one.at - other.at),
    })),
    counts,
    delivered: a.delivered + b.delivered,
  };
}

/** The one in which the machine decided last. */
function lastDecided(pages: readonly DeviceExplanation[]): DeviceExplanation {
  const decidedAt = ({ events }: DeviceExplanation): number => events.findLast(({ kind }) => kind === "routed")?.at ?? 0;
  return pages.filter(({ rule }) => rule !== undefined).toSorted((a, b) => decidedAt(a) - decidedAt(b)).at(-1) ?? pages[0]!;
}

/** What a push is told with when it is made. */
const QUEUED: ReadonlySet<NoteKind> = new Set(["push-queued", "push-held"]);

function deviceKey({ userId, device }: DeviceName): string {
  return `${userId}\n${device}`;
}
