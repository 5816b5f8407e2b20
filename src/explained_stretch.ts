import type { AcceptedEntry, Account, DeviceName, NotedEntry, NoteKind } from "./delivery/journal.ts";
import { DEVICES_KEPT } from "./explain.ts";
import { EVENTS_KEPT, type ExplainedEvent } from "./explained_event.ts";
import type { LoggedRef } from "./protocol/message_ref.ts";
import type { Topic } from "./protocol/names.ts";
import type { Route } from "./session/step.ts";

/** What is known of one message at one device. */
export interface DevicePage {
  readonly who: DeviceName;
  state: string | undefined;
  route: Route | undefined;
  readonly events: ExplainedEvent[];
}

/** What happened to the messages from place `begin` to before `end`. */
interface StretchEvent {
  readonly at: number;
  readonly kind: NoteKind;
  readonly begin: number;
  end: number;
  /** Only of "routed". */
  readonly decision: Decision | undefined;
}

/** What a session's machine decided, and in which state. */
export interface Decision {
  readonly state: string;
  readonly route: Route;
}

/** What is known of a message itself. */
export type Known = Omit<AcceptedEntry, "account" | "urgency">;

/** What happens to many messages at once. The rest is written down message by message. */
const ALIKE: ReadonlySet<NoteKind> = new Set(["routed", "seen", "acked"]);
/** What a device and an event take beside the text that is their own, bytes, about. */
export const DEVICE_BYTES = 350;
export const EVENT_BYTES = 100;
/** The same of a stretch, and of a message in it. */
const STRETCH_BYTES = 600;
const MESSAGE_BYTES = 50;

/**
 * Messages of a private topic that a device was brought from the log at once. The same happens to nearly all of them at the same
 * time, so it is written down once: what happened to one of them is found when somebody asks.
 */
export class Stretch implements Account {
  readonly topic: Topic;
  readonly epoch: number;
  readonly size: number;
  /** Where it stands in the order of acceptance. */
  place = 0;
  /** What it takes in memory, about. */
  bytes = 0;
  /** It is not in the book any more. */
  isTorn = false;
  /** Unused: devices of a private topic are named, not counted. */
  delivered = 0;
  readonly #offsets: readonly number[];
  readonly #ids: readonly string[];
  readonly #senders: readonly (string | undefined)[];
  readonly #sentAt: readonly number[];
  readonly #devices: { readonly who: DeviceName; readonly events: StretchEvent[] }[] = [];

  /** @param entries of one topic, rising */
  constructor(entries: readonly AcceptedEntry[]) {
    const { position: { epoch }, topic } = entries[0]!;
    this.topic = topic;
    this.epoch = epoch;
    this.size = entries.length;
    // Not the entries: they may hold the bytes of whole messages.
    this.#offsets = entries.map(({ position }) => position.offset);
    this.#ids = entries.map(({ id }) => id);
    this.#senders = entries.map(({ from }) => from);
    this.#sentAt = entries.map(({ sentAt }) => sentAt);
  }

  /** What it takes in memory before anything has happened, bytes, about. */
  get ownBytes(): number {
    const ofText = (sum: number, text: string | undefined): number => sum + (text?.length ?? 0);
    return STRETCH_BYTES + MESSAGE_BYTES * this.size + this.#senders.reduce(ofText, this.#ids.reduce(ofText, 0));
  }

  /** Whether an entry of its topic is one of them. */
  has(entry: LoggedRef): boolean {
    const { epoch, offset } = entry.position;
    return epoch === this.epoch && offset >= this.#offsets[0]! && offset <= this.#offsets.at(-1)! && this.#placeOf(entry) >= 0;
  }

  /**
   * Something happened to the messages from `first` to `last`.
   * @returns the bytes that this takes; undefined: it is not written down, for it is nothing that belongs here
   */
  note(
    first: NotedEntry,
    last: NotedEntry,
    who: DeviceName,
    kind: NoteKind,
    at: number,
    decision?: Decision,
  ): number | undefined {
    if (!ALIKE.has(kind) || (kind === "routed" && decision === undefined)) return undefined;
    const [begin, end] = [this.#placeOf(first), this.#placeOf(last) + 1];
    const { device: name, userId } = who;
    const known = this.#devices.find(({ who }) => who.device === name && who.userId === userId);
    const before = known?.events.at(-1);
    if (before?.kind === kind && before.at === at && before.end === begin && before.decision?.route === decision?.route) {
      before.end = end;
      return 0;
    }
    const event: StretchEvent = { at, kind, begin, end, decision };
    if (known === undefined) {
      if (this.#devices.length === DEVICES_KEPT) return undefined;
      this.#devices.push({ who: { userId, device: name }, events: [event] });
      return DEVICE_BYTES + 2 * (userId.length + name.length) + EVENT_BYTES;
    }
    if (known.events.length === EVENTS_KEPT) return undefined;
    known.events.push(event);
    return EVENT_BYTES;
  }

  /** One that these {@link has}, as it was accepted. */
  known(entry: LoggedRef): Known {
    const place = this.#placeOf(entry);
    const id = this.#ids[place]!;
    const [topic, position] = [this.topic, { epoch: this.epoch, offset: this.#offsets[place]! }];
    return { id, topic, position, from: this.#senders[place], sentAt: this.#sentAt[place]! };
  }

  /** What is known of one of them at each device. */
  devicesOf(entry: LoggedRef): DevicePage[] {
    const place = this.#placeOf(entry);
    return this.#devices.flatMap(({ events, who }) => {
      const own = events.filter(({ begin, end }) => begin <= place && place < end);
      const decision = own.findLast(({ kind }) => kind === "routed")?.decision;
      const page = { who, state: decision?.state, route: decision?.route };
      return own.length === 0
        ? []
        : [{ ...page, events: own.map(({ at, decision, kind }) => ({ at, kind, detail: decision?.route.rule })) }];
    });
  }

  #placeOf({ position: { offset } }: LoggedRef): number {
    const place = offset - this.#offsets[0]!;
    // Mostly there are no holes.
    return this.#offsets[place] === offset ? place : this.#offsets.indexOf(offset);
  }
}
