import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { Entry, TopicListener, TopicSubscription, Transport } from "../ports/transport.ts";
import type { CacheBytes } from "./cache_bytes.ts";
import { Group, type Member } from "./group.ts";
import { type OpenedEntry, openEntry, openEphemeral } from "./opened_entry.ts";
import { type NamedEntry, Remembered, type RememberedEntry } from "./remembered.ts";
import { openSignal } from "./signal.ts";

/** What a feed does with what comes. */
export interface FeedSink<Reader extends Member<Reader>> {
  /** Of an entry, or of an ephemeral message, in order. */
  arrive(feed: Feed<Reader>, entry: OpenedEntry): void;
  /** Of a frame that every reader's connection gets as it is. */
  pass(feed: Feed<Reader>, frame: Uint8Array): void;
  /** Hands out what arrived, now and not at the end of the tick. */
  handOut(feed: Feed<Reader>): void;
  /** The transport missed something, or the log is another one: all readers read on from the log. */
  missed(feed: Feed<Reader>): void;
}

/** One topic on this node: its head, and everybody here who reads it. */
export class Feed<Reader extends Member<Reader>> implements TopicListener {
  readonly topic: Topic;
  head: Position = { epoch: 0, offset: 0 };
  /** Who is passed alone. Dense, in no order that means anything: leaving swaps the last one in. */
  readers: Reader[] = [];
  /** Who is passed together. Everybody is either here or there. */
  groups: readonly Group<Reader>[] = NONE;
  /** What came in this tick and was not handed out yet. Undefined: nothing. */
  arrived: OpenedEntry[] | undefined = undefined;
  /** How many have opened it and not released it yet. */
  users = 0;
  /** While the transport has not answered yet. */
  opening: Promise<void> | undefined = undefined;
  #remembered: Remembered | undefined;
  /** Which of all readers is looked at first for one that has not acked what is remembered. */
  #laggard = 0;
  #subscription: TopicSubscription | undefined;

  readonly #sink: FeedSink<Reader>;
  readonly #held: Pick<CacheBytes, "receipts">;

  /** @param held where the bytes are counted that are remembered for receipts */
  constructor(topic: Topic, sink: FeedSink<Reader>, held: Pick<CacheBytes, "receipts">) {
    this.topic = topic;
    this.#sink = sink;
    this.#held = held;
  }

  async open(transport: Transport): Promise<void> {
    this.#subscription = await transport.subscribe(this.topic, this);
    if (this.head.offset === 0) this.head = this.#subscription.head;
  }

  close(): void {
    this.#forgetAll();
    this.#subscription?.close();
  }

  // What the transport brings.

  entry(entry: Entry): void {
    const { epoch } = this.head;
    this.head = { epoch: entry.epoch, offset: entry.offset };
    if (epoch !== entry.epoch && epoch !== 0) {
      // Offsets of the other life may come again.
      this.#forgetAll();
      return this.gap();
    }
    this.#sink.arrive(this, openEntry(entry));
  }

  signal(bytes: Uint8Array): void {
    const signal = openSignal(bytes);
    if ("ephemeral" in signal) this.#sink.arrive(this, openEphemeral(this.topic, signal.ephemeral));
    else this.#sink.pass(this, signal.frame);
  }

  gap(): void {
    this.#sink.missed(this);
  }

  /** Somebody is about to leave: what came before that is still theirs. */
  handOut(): void {
    if (this.arrived !== undefined) this.#sink.handOut(this);
  }

  // Who reads it.

  /** Everybody, as they are now. */
  everybody(): Reader[] {
    return [...this.groups.flatMap(({ readers }) => readers), ...this.readers];
  }

  get isRead(): boolean {
    return this.readers.length > 0 || this.groups.length > 0;
  }

  join(reader: Reader): void {
    // The first one gets a list of one: most feeds are somebody's own, and a list that was pushed to has room for 17.
    if (this.readers.length === 0) this.readers = [reader];
    else this.readers.push(reader);
    reader.index = this.readers.length - 1;
  }

  leave(reader: Reader): void {
    if (reader.group !== undefined) return this.#leaveGroup(reader, reader.group);
    if (this.readers[reader.index] !== reader) return;
    const last = this.readers.pop()!;
    if (last !== reader) {
      this.readers[reader.index] = last;
      last.index = reader.index;
    }
    reader.index = -1;
  }

  #leaveGroup(reader: Reader, group: Group<Reader>): void {
    group.remove(reader);
    if (group.readers.length === 0) this.groups = this.groups.filter((other) => other !== group);
  }

  /** Puts somebody who was passed alone among those who are like them. */
  unite(reader: Reader): void {
    let group = this.groups.find((group) => group.takes(reader));
    if (group === undefined) {
      group = new Group<Reader>(reader.session.state, reader.sent);
      this.groups = [...this.groups, group];
    }
    this.leave(reader);
    group.add(reader);
  }

  /** From here on this one is passed alone. */
  separate(reader: Reader): void {
    if (reader.group === undefined) return;
    this.leave(reader);
    this.join(reader);
  }

  // What was sent, until everybody has acked it.

  /** Keeps at hand what receipts will say of an entry. */
  remember(entry: RememberedEntry): void {
    (this.#remembered ??= new Remembered(this.topic, this.#held)).add(entry);
  }

  /**
   * A reader acked more, or left: forgets what all have acked. Mostly the reader that held it up the last time has still not acked:
   * the list is gone through from there, so that all acks of a room together cost one round.
   */
  prune(): void {
    const first = this.#remembered?.first;
    if (first === undefined) return;
    const lists = [this.readers, ...this.groups.map(({ readers }) => readers)];
    const count = lists.reduce((sum, { length }) => sum + length, 0);
    // One that comes back leaves before it joins again.
    if (count < this.users) return;
    let least = Infinity;
    for (let step = 0; step < count; step++) {
      const number = (this.#laggard + step) % count;
      const { acked } = itemOf(lists, number);
      if (acked < first) {
        this.#laggard = number;
        return;
      }
      least = Math.min(least, acked);
    }
    this.#remembered!.forgetUpTo(least);
    if (this.#remembered!.first === undefined) this.#remembered = undefined;
  }

  /**
   * Calls back with the remembered entries in (from, to], in order.
   * @returns whether these are all there were
   */
  between(from: number, to: number, each: (entry: NamedEntry) => void): boolean {
    return this.#remembered?.between(from, to, each) ?? from >= to;
  }

  /**
   * A device is done with the entries in (from, to]. Their accounts hear of it when they are settled.
   * @returns how many of them are remembered: the others are not counted
   */
  count(from: number, to: number): number {
    return this.#remembered?.count(from, to) ?? 0;
  }

  /** Brings the accounts of the remembered entries up to date. */
  settle(): void {
    this.#remembered?.settle();
  }

  #forgetAll(): void {
    this.#remembered?.clear();
    this.#remembered = undefined;
  }
}

/** The item of that number in lists that follow each other. */
function itemOf<Item>(lists: readonly (readonly Item[])[], number: number): Item {
  let list = 0;
  while (number >= lists[list]!.length) number -= lists[list++]!.length;
  return lists[list]![number]!;
}

/** Most feeds are somebody's own and are rarely written to: they share it. */
const NONE: readonly never[] = Object.freeze([]);
