import type {
  AcceptedEntry,
  Account,
  DeviceName,
  EntryName,
  Journal,
  NotedEntry,
  NoteKind,
  PushFacts,
} from "./delivery/journal.ts";
import type { CacheBytes } from "./delivery/cache_bytes.ts";
import type { Emitter } from "./delivery/events.ts";
import { deviceName } from "./delivery/session.ts";
import { addEvent, eventOf, type ExplainedEvent } from "./explained_event.ts";
import type { OutboxRow } from "./ports/outbox.ts";
import type { UserRecord } from "./ports/users.ts";
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
  /** What happened since, in order. Of 50 and more the first ones and the last one. */
  readonly events: readonly ExplainedEvent[];
}

/** What the engine can say about a message. Bounded and recent; of pushes also what the outbox keeps until they expire. */
export interface Explanation {
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
  readonly from: string | undefined;
  /** Milliseconds since 1970; undefined when only the outbox remembers. Then it isn't known either who sent it. */
  readonly sentAt: number | undefined;
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

const MESSAGES_KEPT = 10_000;
const DEVICES_KEPT = 100;
/** What a message, a device and an event take beside the text that is their own, bytes, about. */
const MESSAGE_BYTES = 600;
const DEVICE_BYTES = 350;
const EVENT_BYTES = 100;

interface DevicePage {
  readonly who: DeviceName;
  state: string | undefined;
  route: Route | undefined;
  readonly events: ExplainedEvent[];
}

/** Few rules decide about one message, and every public one has some: a list takes less than a Map. */
interface RouteCount {
  readonly route: Route;
  devices: number;
}

/** What is known of one message. Its entry carries it as its account, so that a delivery finds it without a look-up. */
class MessagePage implements Account {
  readonly key: string;
  readonly entry: Omit<AcceptedEntry, "account">;
  /** These two are made for the first device that stands in them: a message to a user who never signed in has neither. Devices are few: a list takes less than a Map. */
  devices: DevicePage[] | undefined = undefined;
  counts: RouteCount[] | undefined = undefined;
  delivered = 0;
  /** What it takes in memory, about. */
  bytes = 0;
  /** It is not in the book any more. */
  isTorn = false;

  constructor(key: string, { id, topic, position, from, urgency, sentAt }: AcceptedEntry) {
    this.key = key;
    // A copy: the entry may hold the bytes of the whole message.
    this.entry = { id, topic, position, from, urgency, sentAt };
  }
}

/** A bounded book of recent messages: written by delivery and push, read by `explain()`. */
export class ExplanationBook implements Journal {
  readonly #clock: Clock;
  readonly #emitter: Emitter;
  readonly #settle: (topic: Topic) => void;
  readonly #held: Pick<CacheBytes, "explain">;
  readonly #mostBytes: number;
  /** By topic and position. */
  readonly #pages = new Map<string, MessagePage>();
  /** The same in the order of acceptance, as a ring: once there are too many or they take too much, the oldest is torn out. */
  readonly #order: (MessagePage | undefined)[] = [];
  #oldest = 0;
  /** By message id; few ids stand for several messages. */
  readonly #byId = new Map<string, MessagePage | Set<MessagePage>>();

  /**
   * @param settle whoever counts for a topic's accounts brings them up to date: they are about to be read
   * @param held where its bytes are counted
   */
  constructor(
    clock: Clock,
    emitter: Emitter,
    settle: (topic: Topic) => void,
    held: Pick<CacheBytes, "explain">,
    mostBytes: number,
  ) {
    this.#held = held;
    this.#mostBytes = mostBytes;
    this.#clock = clock;
    this.#emitter = emitter;
    this.#settle = settle;
  }

  accepted(entry: AcceptedEntry): Account {
    const { account, from, id } = entry;
    if (account instanceof MessagePage && !account.isTorn) return account;
    const key = keyOf(entry);
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    const page = new MessagePage(key, entry);
    if (this.#pages.size === MESSAGES_KEPT) this.#tearOldest();
    this.#order[(this.#oldest + this.#pages.size) % MESSAGES_KEPT] = page;
    this.#pages.set(key, page);
    this.#nameById(page);
    this.#weigh(page, MESSAGE_BYTES + key.length + id.length + (from?.length ?? 0));
    this.#trim();
    return page;
  }

  routed(entry: NotedEntry, who: DeviceName, state: string, route: Route): void {
    const page = this.#pageOf(entry);
    if (page !== undefined && isPublic(entry.topic)) this.#count(page, route, 1);
    else if (page !== undefined) {
      const device = this.#device(page, who);
      if (device === undefined) return;
      device.state = state;
      device.route = route;
    }
    if (!isPublic(entry.topic)) this.note(entry, who, "routed", route.rule);
  }

  counted(entry: NotedEntry, route: Route, devices: number): void {
    const page = this.#pageOf(entry);
    if (page !== undefined) this.#count(page, route, devices);
  }

  note(entry: NotedEntry, who: DeviceName, kind: NoteKind, detail?: string, push?: PushFacts): void {
    const at = this.#clock.now();
    const page = this.#pageOf(entry);
    if (page !== undefined) {
      if (kind === "acked") page.delivered++;
      const events = this.#device(page, who)?.events ?? [];
      // A device that was told to have missed it may come back later and miss it again.
      if (kind === "expired" && push === undefined && events.some(isMissed)) return;
      const told = events.length;
      addEvent(events, { at, kind, detail, ...push });
      if (events.length > told) this.#weigh(page, EVENT_BYTES + (detail?.length ?? 0));
      this.#trim();
    }
    if (!this.#emitter.wants("note")) return;
    this.#emitter.emit("note", { ...name(entry), userId: who.userId, device: who.device, kind, at, detail, ...push });
  }

  /** All messages with this id that are still remembered. */
  find(id: string): Explanation[] {
    const pages = this.#byId.get(id);
    if (pages === undefined) return [];
    return [...pages instanceof Set ? pages : [pages]].map((page) => this.#explain(page));
  }

  #explain(page: MessagePage): Explanation {
    this.#settle(page.entry.topic);
    const { entry } = page;
    const devices = page.devices ?? [];
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

  /** The page of a message, while it is in the book. */
  #pageOf(entry: NotedEntry): MessagePage | undefined {
    const { account } = entry;
    return account instanceof MessagePage && !account.isTorn ? account : this.#pages.get(keyOf(entry));
  }

  #device(page: MessagePage, { device: name, userId }: DeviceName): DevicePage | undefined {
    const devices = page.devices ??= [];
    let device = devices.find(({ who }) => who.device === name && who.userId === userId);
    if (device === undefined && devices.length < DEVICES_KEPT) {
      device = { who: { userId, device: name }, state: undefined, route: undefined, events: [] };
      devices.push(device);
      this.#weigh(page, DEVICE_BYTES + 2 * (userId.length + name.length));
    }
    return device;
  }

  /** A page of the book takes so much more. */
  #weigh(page: MessagePage, bytes: number): void {
    page.bytes += bytes;
    this.#held.explain += bytes;
  }

  #trim(): void {
    while (this.#held.explain > this.#mostBytes) this.#tearOldest();
  }

  /** A Map knows its oldest key too, but looks for it through all that were deleted before. */
  #tearOldest(): void {
    const torn = this.#order[this.#oldest]!;
    torn.isTorn = true;
    this.#order[this.#oldest] = undefined;
    this.#oldest = (this.#oldest + 1) % MESSAGES_KEPT;
    this.#held.explain -= torn.bytes;
    this.#pages.delete(torn.key);
    this.#forgetId(torn);
  }

  #nameById(page: MessagePage): void {
    const { id } = page.entry;
    const known = this.#byId.get(id);
    if (known === undefined) this.#byId.set(id, page);
    else if (known instanceof Set) known.add(page);
    else this.#byId.set(id, new Set([known, page]));
  }

  #forgetId(page: MessagePage): void {
    const { id } = page.entry;
    const known = this.#byId.get(id);
    if (known === page) this.#byId.delete(id);
    else if (known instanceof Set && known.delete(page) && known.size === 0) this.#byId.delete(id);
  }
}

/**
 * An explanation with what the outbox knows besides: pushes may have been made by another node, or before a restart.
 *
 * @param known what the nodes remember of the message; undefined: nothing
 * @param rows the outbox's of it
 */
export function withOutbox(known: Explanation | undefined, rows: readonly OutboxRow[]): Explanation | undefined {
  const explanation = known ?? forgotten(rows);
  if (explanation === undefined) return undefined;
  const devices = new Map(explanation.devices.map((device) => [deviceKey(device), device]));
  const who = ({ userId, deviceId }: OutboxRow): DeviceName => ({ userId, device: deviceName(deviceId) });
  for (const [key, own] of Map.groupBy(rows, (row) => deviceKey(who(row)))) {
    if (devices.has(key) || devices.size < DEVICES_KEPT) devices.set(key, withRows(devices.get(key) ?? who(own[0]!), own));
  }
  return { ...explanation, verdict: devices.size > 0 ? "routed" : explanation.verdict, devices: [...devices.values()] };
}

/** What is left of a message that no node remembers. */
function forgotten([row]: readonly OutboxRow[]): Explanation | undefined {
  if (row === undefined) return undefined;
  const { messageId: id, topic, position } = row;
  return { id, topic, position, from: undefined, sentAt: undefined, verdict: "routed", devices: [], counts: {}, delivered: 0 };
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
export function withOwner(explanation: Explanation, owner: UserRecord | undefined): Explanation {
  if (owner === undefined || owner.sessions.length === 0) return explanation;
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
      ...(pages.find(({ rule }) => rule !== undefined) ?? pages[0]!),
      events: pages.flatMap(({ events }) => events).sort((one, other) => one.at - other.at),
    })),
    counts,
    delivered: a.delivered + b.delivered,
  };
}

function isMissed({ kind, provider }: ExplainedEvent): boolean {
  return kind === "expired" && provider === undefined;
}

/** What a push is told with when it is made. */
const QUEUED: ReadonlySet<NoteKind> = new Set(["push-queued", "push-held"]);

function keyOf({ topic, position }: Pick<EntryName, "topic" | "position">): string {
  return `${topic}\n${position.epoch}.${position.offset}`;
}

function deviceKey({ userId, device }: DeviceName): string {
  return `${userId}\n${device}`;
}

function name({ id, topic, position }: EntryName): EntryName {
  return { id, topic, position };
}
