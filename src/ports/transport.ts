import type { Durability, Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** A message in its topic's log. */
export interface Entry {
  readonly topic: Topic;
  readonly epoch: number;
  /** Rises strictly within a topic. Topics may share a log, so the next entry's is not always one more. */
  readonly offset: number;
  /**
   * Whoever has everything up to here has missed nothing before this entry: the offset of the one before it in this topic, or a
   * later one at which nothing of this topic stands. 0 at the log's beginning.
   */
  readonly previous: number;
  /** As published. Nobody changes them. */
  readonly bytes: Uint8Array;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** How an entry goes into a log. */
export interface AppendOptions {
  /**
   * The idempotency key: a second publish to this topic under it within the window answers with the first one's position. A
   * transport without a log need not know keys; a publish that is tried again then arrives again.
   */
  key: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
}

/** What became of a publish. */
export interface Appended {
  /** Null when the transport keeps no log: what was published then goes to the listeners' `signal`. */
  position: Position | null;
  /** An earlier publish under the same key is the one that counts; nothing was added. */
  duplicate: boolean;
  /** How safely it is stored now: `memory` just where the transport is not `durable`. */
  durability: Durability;
}

/** What a subscriber of a topic is told. */
export interface TopicListener {
  /** Each entry once, in the order of offsets, also those this node published. */
  entry(entry: Entry): void;
  /** Bytes sent with `signal`, or published without a log: by any node, this one too, one publisher's in its order. */
  signal?(bytes: Uint8Array): void;
  /** Entries were missed: read the history from where you are. */
  gap(): void;
}

/** A subscription to one topic. */
export interface TopicSubscription {
  /** The log's last position when the subscription began: every later entry is reported. No log: offset 0, one fixed epoch. */
  readonly head: Position;
  close(): void;
}

/**
 * Carries entries between nodes and keeps the topic logs. Never the client's socket.
 *
 * An implementer MUST give every entry of a topic a strictly higher offset than the one before, MUST resolve `publish` only
 * when the entry is as safe as the answer's `durability` says, MUST NOT say more there than it knows, MUST report to a publisher
 * its own entries too, MUST NOT report an entry before it is that safe (an entry that a crash takes back would reuse its offset),
 * MUST NOT let a publish, or another listener, fail because a listener throws, and MUST reject with a PeykError: `unavailable`
 * (retryable), `storage-full`, `storage-lost` (what was stored is not there any more, and nothing more is taken), `closed`.
 */
export interface Transport {
  /** Whether what was accepted is there after a crash of the process: publishes answer `majority` or `disk`, not `memory`. */
  readonly durable: boolean;
  publish(topic: Topic, bytes: Uint8Array, options: AppendOptions): Promise<Appended>;
  subscribe(topic: Topic, listener: TopicListener): Promise<TopicSubscription>;
  /** Live and unlogged: to every listener of the topic, this node's own too, best effort. Never throws, also once closed. */
  signal(topic: Topic, bytes: Uint8Array): void;
}

/** One page of a log. */
export interface HistoryPage {
  /** Unexpired entries in (after, through], in order. */
  entries: Entry[];
  /** How far this page reaches. Equals head.offset when there is no more to read. */
  through: number;
  /**
   * How many entries in (after, through] are not here because they expired, as far as the log still knows. Those at or below
   * `floor` are not counted.
   */
  expired: number;
  /** The log's last position. */
  head: Position;
  /** The highest offset that was evicted before it expired, 0 if none: whoever reads after a lower one has missed something. */
  floor: number;
}

/**
 * Reading a log. Optional beside Transport: without it nothing can be recovered.
 *
 * An implementer MUST count what expired and step over it, MUST NOT raise `floor` for expired entries, MUST NOT answer from a
 * copy that lacks entries which this node was told of already, and MUST answer for an unknown topic with an empty page whose
 * head has offset 0 and the epoch that the topic's first entry will have.
 */
export interface History {
  /**
   * @param limit entries at most in the page
   * @param maxBytes what the entries of the page may take together, bytes; the first one is in it however long it is. Default: no bound
   */
  read(topic: Topic, after: number, limit: number, maxBytes?: number): Promise<HistoryPage>;
}

/** Says that a topic's log has entries up to `head` that the handler was not yet told of. May repeat. */
export interface WorkItem {
  topic: Topic;
  head: Position;
}

/**
 * Every log's new entries as durable work, at least once, shared among nodes. Optional beside Transport.
 *
 * An implementer MUST hand out a topic again (after a restart too, on another node too) until the handler resolved for its head,
 * MUST NOT run the handler for one topic twice at a time on one node, MUST NOT let a topic whose handler hangs or rejects hold up
 * the others, nor all topics of one user those of other users, and MAY merge several entries of a topic into one item.
 */
export interface Work {
  /** @returns what ends it: `close` begins no run any more, and waits for the handlers that are running */
  consume(handler: (item: WorkItem) => Promise<void>): Promise<{ close(): Promise<void> }>;
}
