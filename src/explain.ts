import type { AcceptedEntry, Account, DeviceName, EntryName, Journal, NoteKind } from "./delivery/journal.ts";
import type { Emitter } from "./delivery/events.ts";
import { deviceName } from "./delivery/session.ts";
import type { OutboxRow } from "./ports/outbox.ts";
import type { Position } from "./protocol/message.ts";
import { isPublic, type Topic } from "./protocol/names.ts";
import type { Clock } from "./ports/clock.ts";
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
  /** What happened since, in order. */
  readonly events: readonly { readonly at: number; readonly kind: NoteKind; readonly detail: string | undefined }[];
}

/** What the engine can say about a message. Bounded and recent; pushes come from the outbox, which keeps them until they expire. */
export interface Explanation {
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
  readonly from: string | undefined;
  /** Milliseconds since 1970; undefined when only the outbox remembers. */
  readonly sentAt: number | undefined;
  /** "no-device": accepted for a user nobody has signed in as yet. */
  readonly verdict: "routed" | "no-device";
  /** Of a private message each device; of a public one the exceptions (pushes, failures, slow readers), 100 at most. */
  readonly devices: readonly DeviceExplanation[];
  /** Of a public message: for how many devices each rule decided; again for one that comes back before it has acked. */
  readonly counts: Readonly<Record<string, number>>;
  /** Devices whose handler is done. */
  readonly delivered: number;
}

const MESSAGES_KEPT = 10_000;
const DEVICES_KEPT = 100;
const EVENTS_KEPT = 50;

interface DevicePage {
  readonly who: DeviceName;
  state: string | undefined;
  route: Route | undefined;
  readonly events: { at: number; kind: NoteKind; detail: string | undefined }[];
}

/** Few rules decide about one message, and every public one has some: a list takes less than a Map. */
interface RouteCount {
  readonly route: Route;
  devices: number;
}

interface MessagePage extends Account {
  readonly key: string;
  readonly entry: AcceptedEntry;
  /** These two are made for the first who stands in them: a message to nobody who is known has neither. */
  devices: Map<string, DevicePage> | undefined;
  counts: RouteCount[] | undefined;
}

/** A bounded book of recent messages: written by delivery and push, read by `explain()`. */
export class ExplanationBook implements Journal {
  readonly #clock: Clock;
  readonly #emitter: Emitter;
  readonly #settle: (topic: Topic) => void;
  /** By topic and position. */
  readonly #pages = new Map<string, MessagePage>();
  /** The same in the order of acceptance, as a ring: once it is full, the oldest page is torn out for the next one. */
  readonly #order: MessagePage[] = [];
  #oldest = 0;
  /** The latest by message id. */
  readonly #byId = new Map<string, MessagePage>();

  /** @param settle whoever counts for a topic's accounts brings them up to date: they are about to be read */
  constructor(clock: Clock, emitter: Emitter, settle: (topic: Topic) => void) {
    this.#clock = clock;
    this.#emitter = emitter;
    this.#settle = settle;
  }

  accepted(entry: AcceptedEntry): Account {
    const key = keyOf(entry);
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    // A copy: whoever reports may hold the message itself.
    const { id, topic, position, from, urgency, sentAt } = entry;
    const page: MessagePage = {
      key,
      entry: { id, topic, position, from, urgency, sentAt },
      devices: undefined,
      counts: undefined,
      delivered: 0,
    };
    if (this.#order.length < MESSAGES_KEPT) this.#order.push(page);
    else this.#replaceOldest(page);
    this.#pages.set(key, page);
    this.#byId.set(id, page);
    return page;
  }

  routed(entry: EntryName, who: DeviceName, state: string, route: Route): void {
    const page = this.#pages.get(keyOf(entry));
    if (page !== undefined && isPublic(entry.topic)) this.#count(page, route, 1);
    else if (page !== undefined) {
      const device = devicePage(page, who);
      if (device === undefined) return;
      device.state = state;
      device.route = route;
    }
    if (!isPublic(entry.topic)) this.note(entry, who, "routed", route.rule);
  }

  counted(entry: EntryName, route: Route, devices: number): void {
    const page = this.#pages.get(keyOf(entry));
    if (page !== undefined) this.#count(page, route, devices);
  }

  note(entry: EntryName, who: DeviceName, kind: NoteKind, detail?: string): void {
    const at = this.#clock.now();
    const page = this.#pages.get(keyOf(entry));
    if (page !== undefined) {
      if (kind === "acked") page.delivered++;
      const device = devicePage(page, who);
      if (device !== undefined && device.events.length < EVENTS_KEPT) device.events.push({ at, kind, detail });
    }
    if (!this.#emitter.wants("note")) return;
    this.#emitter.emit("note", { ...name(entry), userId: who.userId, device: who.device, kind, at, detail });
  }

  /** The latest message with this id that is still remembered. */
  find(id: string): Explanation | undefined {
    const page = this.#byId.get(id);
    if (page === undefined) return undefined;
    this.#settle(page.entry.topic);
    const { entry } = page;
    const devices = [...page.devices?.values() ?? []];
    const counts: Record<string, number> = {};
    for (const count of page.counts ?? []) counts[count.route.rule] = count.devices;
    return {
      ...name(entry),
      from: entry.from,
      sentAt: entry.sentAt,
      verdict: devices.length === 0 && page.counts === undefined && !isPublic(entry.topic) ? "no-device" : "routed",
      devices: devices.map((device) => ({
        ...device.who,
        state: device.state,
        rule: device.route?.rule,
        route: device.route && { socket: device.route.socket, push: device.route.push },
        events: [...device.events],
      })),
      counts,
      delivered: page.delivered,
    };
  }

  #count(page: MessagePage, route: Route, devices: number): void {
    const known = page.counts?.find((count) => count.route === route);
    if (known !== undefined) known.devices += devices;
    // Nearly always it stays the only one: a list that was empty first would have room for more.
    else if (page.counts === undefined) page.counts = [{ route, devices }];
    else page.counts.push({ route, devices });
  }

  /** A Map knows its oldest key too, but looks for it through all that were deleted before. */
  #replaceOldest(page: MessagePage): void {
    const torn = this.#order[this.#oldest]!;
    this.#order[this.#oldest] = page;
    this.#oldest = (this.#oldest + 1) % MESSAGES_KEPT;
    this.#pages.delete(torn.key);
    if (this.#byId.get(torn.entry.id) === torn) this.#byId.delete(torn.entry.id);
  }
}

/** An explanation with what the outbox still knows: after a restart that is all there is. */
export function withOutbox(explanation: Explanation | undefined, rows: readonly OutboxRow[]): Explanation | undefined {
  if (explanation !== undefined || rows[0] === undefined) return explanation;
  const { messageId: id, topic, position } = rows[0];
  const devices = rows.map((row): DeviceExplanation => ({
    userId: row.userId,
    device: deviceName(row.deviceId),
    state: undefined,
    rule: row.rule,
    route: undefined,
    events: [{ at: row.changedAt, kind: NOTE_OF[row.status], detail: row.note }],
  }));
  return { id, topic, position, from: undefined, sentAt: undefined, verdict: "routed", devices, counts: {}, delivered: 0 };
}

/** What several nodes know about one message, as one. */
export function mergeExplanations(explanations: readonly Explanation[]): Explanation | undefined {
  return explanations.reduce<Explanation | undefined>(
    (merged, other) => merged === undefined ? other : merge(merged, other),
    undefined,
  );
}

function merge(a: Explanation, b: Explanation): Explanation {
  // An id is its sender's and topic's own: another message may have the same. The later one is meant, as on one node.
  if (a.topic !== b.topic || a.position.epoch !== b.position.epoch || a.position.offset !== b.position.offset) {
    return (b.sentAt ?? 0) > (a.sentAt ?? 0) ? b : a;
  }
  const counts = { ...a.counts };
  for (const [rule, count] of Object.entries(b.counts)) counts[rule] = (counts[rule] ?? 0) + count;
  const devices = Map.groupBy([...a.devices, ...b.devices], ({ userId, device }) => `${userId}\n${device}`);
  return {
    ...a,
    verdict: a.verdict === "routed" ? a.verdict : b.verdict,
    devices: [...devices.values()].map((pages) => ({
      ...(pages.find(({ rule }) => rule !== undefined) ?? pages[0]!),
      events: pages.flatMap(({ events }) => events).sort((one, other) => one.at - other.at),
    })),
    counts,
    delivered: a.delivered + b.delivered,
  };
}

const NOTE_OF = {
  pending: "push-queued",
  sending: "push-queued",
  sent: "push-sent",
  gone: "push-gone",
  rejected: "push-rejected",
  expired: "expired",
  dropped: "push-dropped",
} as const satisfies Record<OutboxRow["status"], NoteKind>;

function keyOf({ topic, position }: EntryName): string {
  return `${topic}\n${position.epoch}.${position.offset}`;
}

function name({ id, topic, position }: EntryName): EntryName {
  return { id, topic, position };
}

function devicePage(page: MessagePage, who: DeviceName): DevicePage | undefined {
  const key = `${who.userId}\n${who.device}`;
  const devices = page.devices ??= new Map();
  let device = devices.get(key);
  if (device === undefined && devices.size < DEVICES_KEPT) {
    device = { who: { userId: who.userId, device: who.device }, state: undefined, route: undefined, events: [] };
    devices.set(key, device);
  }
  return device;
}
