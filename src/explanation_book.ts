import type {
  AcceptedEntry,
  Account,
  BroughtEntry,
  DeviceName,
  EntryName,
  Journal,
  NotedEntry,
  NoteKind,
  PushFacts,
} from "./delivery/journal.ts";
import type { CacheBytes } from "./delivery/cache_bytes.ts";
import type { Emitter } from "./delivery/events.ts";
import { DEVICES_KEPT, type Explanation } from "./explain.ts";
import { addEvent, type ExplainedEvent } from "./explained_event.ts";
import { type Decision, DEVICE_BYTES, type DevicePage, EVENT_BYTES, type Known, Stretch } from "./explained_stretch.ts";
import type { Clock } from "./ports/clock.ts";
import type { LoggedRef } from "./protocol/message_ref.ts";
import { isPublic, type Topic } from "./protocol/names.ts";
import type { Route } from "./session/step.ts";

const MESSAGES_KEPT = 10_000;
/** Fewer messages than this have a page each. */
const SHORTEST_STRETCH = 4;
/** What a message of its own takes beside the text in it, bytes, about. */
const MESSAGE_BYTES = 600;

/** Few rules decide about one message, and every public one has some: a list takes less than a Map. */
interface RouteCount {
  readonly route: Route;
  devices: number;
}

/** What is known of one message. Its entry carries it as its account, so that a delivery finds it without a look-up. */
class MessagePage implements Account {
  readonly key: string;
  readonly size = 1;
  /** Where it stands in the order of acceptance. */
  place = 0;
  readonly entry: Known;
  /** These two are made for the first device that stands in them: a message to a user who never signed in has neither. Devices are few: a list takes less than a Map. */
  devices: DevicePage[] | undefined = undefined;
  counts: RouteCount[] | undefined = undefined;
  delivered = 0;
  /** What it takes in memory, about. */
  bytes = 0;
  /** It is not in the book any more. */
  isTorn = false;

  constructor(key: string, { id, topic, position, from, sentAt }: Known) {
    this.key = key;
    // A copy: the entry may hold the bytes of the whole message.
    this.entry = { id, topic, position, from, sentAt };
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
  /** Of these a message may have several, and a page as well: each says a part. */
  readonly #stretches = new Map<Topic, Stretch[]>();
  /** All of them in the order of acceptance, as a ring: once there are too many or they take too much, the oldest is torn out. */
  readonly #order: (MessagePage | Stretch | undefined)[] = [];
  #oldest = 0;
  #records = 0;
  /** Messages in all of these. */
  #messages = 0;
  /** How many records there ever were. */
  #begun = 0;

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
    const { account } = entry;
    if (account instanceof MessagePage && !account.isTorn) return account;
    return this.#pages.get(keyOf(entry)) ?? this.#begin(entry);
  }

  brought(entries: readonly BroughtEntry[], who: DeviceName, decision: Decision | undefined): void {
    const [first, last] = [entries[0]!, entries.at(-1)!];
    if (isPublic(first.topic) || entries.length < SHORTEST_STRETCH) {
      for (const entry of entries) {
        entry.account = this.accepted(entry);
        if (decision !== undefined) this.routed(entry, who, decision.state, decision.route);
      }
      return;
    }
    const stretch = this.#stretches.get(first.topic)?.findLast((known) => known.has(first) && known.has(last)) ??
      this.#beginStretch(entries);
    for (const entry of entries) entry.account = stretch;
    if (decision !== undefined) this.#routedAlike(stretch, entries, who, decision);
    this.#trim();
  }

  #routedAlike(stretch: Stretch, entries: readonly BroughtEntry[], who: DeviceName, decision: Decision): void {
    const { route, state } = decision;
    const at = this.#clock.now();
    const bytes = stretch.note(entries[0]!, entries.at(-1)!, who, "routed", at, decision);
    if (bytes !== undefined) this.#weigh(stretch, bytes);
    for (const entry of entries) {
      if (bytes === undefined) this.routed(entry, who, state, route);
      else this.#tell(entry, who, "routed", at, route.rule);
    }
  }

  routed(entry: NotedEntry, who: DeviceName, state: string, route: Route): void {
    const page = this.#pageOf(entry) ?? this.#pageFrom(this.#stretchOf(entry), entry);
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
    const stretch = this.#stretchOf(entry);
    const bytes = stretch?.note(entry, entry, who, kind, at);
    if (bytes !== undefined) this.#weigh(stretch!, bytes);
    else {
      const page = this.#pageOf(entry) ?? this.#pageFrom(stretch, entry);
      if (page !== undefined) {
        if (kind === "acked") page.delivered++;
        const events = this.#device(page, who)?.events ?? [];
        // A device that was told to have missed it may come back later and miss it again.
        if (kind === "expired" && push === undefined && events.some(isMissed)) return;
        const told = events.length;
        addEvent(events, { at, kind, detail, ...push });
        if (events.length > told) this.#weigh(page, EVENT_BYTES + (detail?.length ?? 0));
      }
    }
    this.#trim();
    this.#tell(entry, who, kind, at, detail, push);
  }

  #tell(entry: NotedEntry, who: DeviceName, kind: NoteKind, at: number, detail?: string, push?: PushFacts): void {
    if (!this.#emitter.wants("note")) return;
    this.#emitter.emit("note", { ...name(entry), userId: who.userId, device: who.device, kind, at, detail, ...push });
  }

  /** What is still remembered of a message. There may be several, in the order in which they began: each says a part. */
  find(ref: LoggedRef): Explanation[] {
    this.#settle(ref.topic);
    const page = this.#pages.get(keyOf(ref));
    const stretches = (this.#stretches.get(ref.topic) ?? []).filter((stretch) => stretch.has(ref));
    return [...stretches, ...page === undefined ? [] : [page]]
      .sort((one, other) => one.place - other.place)
      .map((known) => known instanceof MessagePage ? explanationOf(known) : partOf(known, ref));
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

  /** Where it stands among others, unless it comes with a page of its own. */
  #stretchOf(entry: NotedEntry): Stretch | undefined {
    const { account, topic } = entry;
    if (account instanceof MessagePage && !account.isTorn) return undefined;
    if (account instanceof Stretch && !account.isTorn) return account;
    return this.#stretches.get(topic)?.findLast((stretch) => stretch.has(entry));
  }

  /** Something happened to one of many: it gets a page of its own for that, which takes less than these do. */
  #pageFrom(stretch: Stretch | undefined, entry: NotedEntry): MessagePage | undefined {
    return stretch && this.#begin(stretch.known(entry));
  }

  #begin(entry: Known): MessagePage {
    const page = new MessagePage(keyOf(entry), entry);
    this.#add(page);
    this.#pages.set(page.key, page);
    const { from, id } = entry;
    this.#weigh(page, MESSAGE_BYTES + page.key.length + id.length + (from?.length ?? 0));
    this.#trim();
    return page;
  }

  #beginStretch(entries: readonly AcceptedEntry[]): Stretch {
    const stretch = new Stretch(entries);
    this.#add(stretch);
    const known = this.#stretches.get(stretch.topic);
    if (known === undefined) this.#stretches.set(stretch.topic, [stretch]);
    else known.push(stretch);
    this.#weigh(stretch, stretch.ownBytes);
    return stretch;
  }

  #add(record: MessagePage | Stretch): void {
    while (this.#messages + record.size > MESSAGES_KEPT) this.#tearOldest();
    this.#order[(this.#oldest + this.#records++) % MESSAGES_KEPT] = record;
    this.#messages += record.size;
    record.place = this.#begun++;
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

  /** It takes so much more. */
  #weigh(record: MessagePage | Stretch, bytes: number): void {
    record.bytes += bytes;
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
    this.#records--;
    this.#messages -= torn.size;
    this.#held.explain -= torn.bytes;
    if (torn instanceof MessagePage) return void this.#pages.delete(torn.key);
    const left = this.#stretches.get(torn.topic)!.filter((stretch) => stretch !== torn);
    if (left.length === 0) this.#stretches.delete(torn.topic);
    else this.#stretches.set(torn.topic, left);
  }
}

/** What is known of one of many. */
function partOf(stretch: Stretch, ref: LoggedRef): Explanation {
  const devices = stretch.devicesOf(ref);
  const delivered = devices.flatMap(({ events }) => events).filter(({ kind }) => kind === "acked").length;
  return explanationOf({ entry: stretch.known(ref), devices, counts: undefined, delivered });
}

function explanationOf(
  { counts = [], delivered, devices = [], entry }: Pick<MessagePage, "counts" | "delivered" | "devices" | "entry">,
): Explanation {
  return {
    ...name(entry),
    from: entry.from,
    sentAt: entry.sentAt,
    verdict: devices.length === 0 && counts.length === 0 && !isPublic(entry.topic) ? "no-device" : "routed",
    devices: devices.map((device) => ({
      ...device.who,
      state: device.state,
      rule: device.route?.rule,
      route: device.route && { socket: device.route.socket, push: device.route.push },
      events: [...device.events],
    })),
    counts: Object.fromEntries(counts.map(({ devices, route }) => [route.rule, devices])),
    delivered,
  };
}

function isMissed({ kind, provider }: ExplainedEvent): boolean {
  return kind === "expired" && provider === undefined;
}

function keyOf({ topic, position }: LoggedRef): string {
  return `${topic}\n${position.epoch}.${position.offset}`;
}

function name({ id, topic, position }: EntryName): EntryName {
  return { id, topic, position };
}
