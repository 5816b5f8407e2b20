import { encodeServerFrame } from "../protocol/codec.ts";
import { DEFAULT_CHANNEL, isPublic, type Topic, topicOf } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Counters } from "./counters.ts";
import type { Emitter } from "./events.ts";
import type { DeviceName, EntryName, Journal } from "./journal.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import type { Transport } from "../ports/transport.ts";
import { frameSignal } from "./signal.ts";

/** What receipts are made with. */
export interface ReceiptParts {
  transport: Transport;
  emitter: Emitter;
  journal: Journal;
  counters: Counters;
  clock: Clock;
}

/** An entry as far as a receipt names it. */
export type ReceiptEntry = EntryName & Pick<OpenedEntry, "from"> & Partial<Pick<OpenedEntry, "account">>;

/** How often the counts of public topics are told. */
const COUNTS_MS = 1_000;

/**
 * Tells what became of messages: the embedding server by events, the publisher of a private message by frames on each of
 * its connected devices. Public topics are told about as counts.
 */
export class Receipts {
  readonly #parts: ReceiptParts;
  #counts = new Map<string, { entry: ReceiptEntry; count: number }>();
  #timer: Timer | undefined;

  constructor(parts: ReceiptParts) {
    this.#parts = parts;
  }

  /** A log has it. */
  accepted(entry: ReceiptEntry): void {
    this.#emit("accepted", entry, undefined, 1);
  }

  /** Whether somebody is told about each delivery in this topic. Where nobody is, they are only counted. */
  named(topic: Topic): boolean {
    return !isPublic(topic) || this.#parts.emitter.wants("receipt");
  }

  /** A device's handler is done with so many entries; their accounts are somebody else's. */
  counted(entries: number): void {
    this.#parts.counters.acked += entries;
  }

  /** A device's handler is done with it. */
  delivered(entry: ReceiptEntry, who: DeviceName): void {
    const { counters, emitter, journal } = this.#parts;
    counters.acked++;
    if (isPublic(entry.topic)) {
      if (entry.account !== undefined) entry.account.delivered++;
      if (emitter.wants("receipt")) this.#count(entry);
    } else {
      journal.note(entry, who, "acked");
      this.#tell("delivered", entry, who);
    }
  }

  /** A device's handler gave up on it. */
  failed(entry: ReceiptEntry, who: DeviceName, reason: string): void {
    const { counters, journal } = this.#parts;
    counters.failed++;
    journal.note(entry, who, "failed", reason);
    this.#emit("failed", entry, who, 1);
  }

  /** The person read or dismissed it. */
  marked(kind: "read" | "dismissed", entry: ReceiptEntry, who: DeviceName): void {
    this.#parts.journal.note(entry, who, kind);
    this.#tell(kind, entry, who);
  }

  #tell(kind: "delivered" | "read" | "dismissed", entry: ReceiptEntry, who: DeviceName): void {
    this.#emit(kind, entry, who, 1);
    if (entry.from === undefined || isPublic(entry.topic)) return;
    const { clock, transport } = this.#parts;
    const { id, topic, position } = entry;
    const frame = encodeServerFrame({ type: "receipt", kind, topic, id, ...position, at: clock.now() });
    // On whichever node the publisher is: wherever one of its devices is connected, its own channel is read.
    transport.signal(topicOf(entry.from, DEFAULT_CHANNEL), frameSignal(frame));
  }

  #count(entry: ReceiptEntry): void {
    const { clock } = this.#parts;
    const key = `${entry.topic}\n${entry.position.offset}`;
    const counted = this.#counts.get(key);
    if (counted === undefined) this.#counts.set(key, { entry, count: 1 });
    else counted.count++;
    this.#timer ??= clock.setTimeout(() => this.flush(), COUNTS_MS);
  }

  /** Tells the counts gathered so far. */
  flush(): void {
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const counts = this.#counts;
    this.#counts = new Map();
    for (const { entry, count } of counts.values()) this.#emit("delivered", entry, undefined, count);
  }

  #emit(
    kind: "accepted" | "delivered" | "read" | "dismissed" | "failed",
    { id, topic, position, from }: ReceiptEntry,
    who: DeviceName | undefined,
    count: number,
  ): void {
    const { clock, emitter } = this.#parts;
    if (!emitter.wants("receipt")) return;
    emitter.emit("receipt", {
      kind,
      id,
      topic,
      position,
      from,
      userId: who?.userId,
      device: who?.device,
      count,
      at: clock.now(),
    });
  }
}
