import type { Lease } from "../delivery/lease.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { AddedRow, Outbox, TopicDecision } from "../ports/outbox.ts";
import type { Users } from "../ports/users.ts";
import { PeykError } from "../protocol/errors.ts";
import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import type { MemberRows, PassEntries } from "./member_rows.ts";
import type { PushQueue } from "./queue.ts";

/** What deciding for the members of public topics works with. */
export interface TopicDeciderParts {
  users: Users;
  outbox: Outbox;
  members: MemberRows;
  queue: PushQueue;
  lease: Lease;
  /** Whether other nodes work on the same storage: what one of them left undone is taken over. */
  shared: boolean;
  clock: Clock;
  logger: Logger;
}

/** Members that are decided for in one step. */
const MEMBERS = 100;
/** Rows that a store takes in one step. */
const ROWS_PER_STEP = 200;
/** With so many rows of a topic due and waiting, its pass waits too. */
const MOST_WAITING = 2_000;
/** Rows that are due within this time count as waiting now. */
const SOON_MS = 1_000;
/** How often a pass that waits looks whether rows have left. */
const LOOK_MS = 50;
/** Between two tries after a failure. */
const RETRY_MS = 1_000;
/** Entries that are read in one go: where a topic has no more, it is not worth remembering up to where nothing is open. */
const SHORT = 100;
/** Longer topics of which that is remembered. Of more those are forgotten that got nothing for the longest. */
const REMEMBERED = 10_000;
/** How often it is looked for passes that another node began and does not go on with. */
const STALLED_MS = 5_000;
const MAX_RACES = 50;

/**
 * Decides about public topics for their members' devices that are away: one pass through the members for all entries that came
 * before it, page by page. A page's rows and its place are stored together, so a pass goes on where it was, on whichever node, and a
 * pass waits while many of its rows do. Users' records are only read.
 */
export class TopicDecider {
  readonly #parts: TopicDeciderParts;
  readonly #running = new Map<Topic, Promise<void>>();
  /** Topics in which something came to be open since their run began to look. */
  readonly #wanted = new Set<Topic>();
  /** Topics in which no device that is away had a push target: up to there nothing is open. Not of short ones: many come and go. */
  readonly #idle = new Map<Topic, Position>();
  readonly #naps = new Map<Timer, () => void>();
  #stalled = new Map<Topic, number>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: TopicDeciderParts) {
    this.#parts = parts;
  }

  /** Goes on with what an earlier life, or another node, left undone. */
  async start(): Promise<void> {
    await this.#each((topic) => this.#run(topic));
    if (this.#parts.shared) this.#look();
  }

  /** The node may act again, after it might not. */
  resume(): void {
    const { logger } = this.#parts;
    this.#each((topic) => this.#run(topic))
      .catch((error: unknown) => logger.warn("it could not be looked for undecided topics, it is looked again later", { error }));
  }

  /** Entries up to `head` are to be decided about. Resolves when that is stored. */
  async want(topic: Topic, head: Position): Promise<void> {
    const { users } = this.#parts;
    const { names, next } = await users.pushableMembers(topic, { after: undefined, limit: 1 });
    // A device that leaves after this look decides for itself, up to the head that it reads then.
    if (names.length === 0 && next === undefined) {
      this.#idle.delete(topic);
      if (head.offset > SHORT) this.#idle.set(topic, head);
      if (this.#idle.size > REMEMBERED) this.#idle.delete(this.#idle.keys().next().value!);
      return;
    }
    await this.#change(topic, (stored) => {
      if (stored?.epoch === head.epoch && stored.goal >= head.offset) return undefined;
      const idle = this.#idle.get(topic);
      const decided = idle?.epoch === head.epoch ? Math.min(idle.offset, head.offset) : 0;
      const fresh: TopicDecision = { topic, version: stored?.version ?? 0, epoch: head.epoch, decided, goal: head.offset };
      if (stored?.epoch !== head.epoch) return fresh;
      return stored.pass === undefined
        ? { ...fresh, decided: Math.max(decided, stored.decided) }
        : { ...stored, goal: head.offset };
    });
    this.#run(topic);
  }

  /** Ends between two pages; the next start goes on. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
    for (const [timer, end] of this.#naps) {
      this.#parts.clock.clearTimeout(timer);
      end();
    }
    await Promise.all(this.#running.values());
  }

  /** Something may be open in the topic. A run under way looks again before it ends: what was wanted meanwhile can't be lost. */
  #run(topic: Topic): void {
    this.#wanted.add(topic);
    if (!this.#closed && !this.#running.has(topic)) this.#running.set(topic, this.#work(topic));
  }

  async #work(topic: Topic): Promise<void> {
    while (!this.#closed && this.#wanted.delete(topic)) await this.#passes(topic);
    this.#running.delete(topic);
  }

  async #passes(topic: Topic): Promise<void> {
    const { lease, logger, members, outbox } = this.#parts;
    while (!this.#closed && lease.isHeld) {
      try {
        const decision = await outbox.decision(topic);
        if (decision === undefined || decision.goal <= decision.decided) return;
        const entries = await members.open(topic, decision, decision.pass?.to ?? decision.goal);
        const isThrough = await this.#pass({ ...decision, pass: decision.pass ?? { to: decision.goal } }, entries);
        // Another node is further: it goes on, and when it stands still that is noticed.
        if (!isThrough) return;
      } catch (error) {
        logger.error("a public topic could not be decided about, it is tried again", { topic, error });
        await this.#nap(RETRY_MS);
      }
    }
  }

  /**
   * Goes through the members from where the pass is.
   * @returns false: the node closes, or another one is further
   */
  async #pass(begun: TopicDecision, entries: PassEntries): Promise<boolean> {
    const { lease, members, users } = this.#parts;
    const { topic } = begun;
    let at = begun;
    while (at.pass !== undefined && !this.#closed && lease.isHeld) {
      const { after, to } = at.pass;
      const { names, next } = await users.pushableMembers(topic, { after, limit: MEMBERS });
      const made = await members.rowsFor(names, entries);
      const { pass: _, ...rest } = at;
      const then: TopicDecision = next === undefined ? { ...rest, decided: to } : { ...rest, pass: { to, after: next } };
      const stored = await this.#store(at, then, made.rows);
      if (stored === undefined) return false;
      made.tell();
      at = stored;
    }
    return at.pass === undefined;
  }

  /**
   * Stores rows and the place behind them, in parts where a step does not take all of them.
   * @returns the place as it is stored; undefined: another node is further, or the node closes
   */
  async #store(now: TopicDecision, then: TopicDecision, rows: readonly AddedRow[]): Promise<TopicDecision | undefined> {
    let at: TopicDecision | undefined = now;
    for (let begin = 0; begin === 0 || begin < rows.length; begin += ROWS_PER_STEP) {
      const some = rows.slice(begin, begin + ROWS_PER_STEP);
      if (some.length > 0 && !await this.#hasRoom(now.topic, some.length)) return undefined;
      const isLast = begin + ROWS_PER_STEP >= rows.length;
      at = await this.#move(at!, isLast ? then : at!, some);
      if (at === undefined) return undefined;
    }
    return at;
  }

  /** One step. The goal may have been raised meanwhile, the place only by another node. */
  async #move(now: TopicDecision, then: TopicDecision, rows: readonly AddedRow[]): Promise<TopicDecision | undefined> {
    const { queue } = this.#parts;
    const stored = await this.#change(
      now.topic,
      (stored) => {
        const isThere = stored !== undefined && stored.epoch === now.epoch && stored.decided === now.decided &&
          (stored.pass === undefined ? now.pass?.after === undefined : isSame(stored.pass, now.pass));
        return isThere ? { ...then, version: stored.version, goal: stored.goal } : undefined;
      },
      rows,
      now,
    ).catch((error: unknown) => {
      queue.unsure();
      throw error;
    });
    return stored;
  }

  /** @returns the decision as it was stored; undefined: nothing was to be changed */
  async #change(
    topic: Topic,
    change: (stored: TopicDecision | undefined) => TopicDecision | undefined,
    rows: readonly AddedRow[] = [],
    known?: TopicDecision,
  ): Promise<TopicDecision | undefined> {
    const { outbox } = this.#parts;
    for (let race = 0; race < MAX_RACES; race++) {
      const stored = race === 0 && known !== undefined ? known : await outbox.decision(topic);
      const next = change(stored);
      if (next === undefined) return undefined;
      const version = await outbox.decide(next, rows);
      if (version !== undefined) return { ...next, version };
    }
    throw new PeykError("unavailable", "a topic's decision changes too fast", { retryable: true });
  }

  /** Waits until so many rows more may wait. @returns false when the node closes first, or may not act any more */
  async #hasRoom(topic: Topic, rows: number): Promise<boolean> {
    const { clock, lease, outbox } = this.#parts;
    while (!this.#closed && lease.isHeld) {
      const waiting = await outbox.waitingIn(topic, clock.now() + SOON_MS, MOST_WAITING);
      if (waiting + rows <= MOST_WAITING) return true;
      await this.#nap(LOOK_MS);
    }
    return false;
  }

  /** Passes that stand where they stood at the last look, and are not under way here, are gone on with. */
  #look(): void {
    const { clock, logger, outbox } = this.#parts;
    this.#timer = clock.setTimeout(() => {
      const before = this.#stalled;
      this.#stalled = new Map();
      this.#each(async (topic) => {
        if (this.#running.has(topic)) return;
        const version = (await outbox.decision(topic))?.version ?? 0;
        if (before.get(topic) === version) this.#run(topic);
        else this.#stalled.set(topic, version);
      }).catch((error: unknown) => logger.warn("it could not be looked for undecided topics, it is tried again", { error }))
        .finally(() => this.#closed || this.#look());
    }, STALLED_MS);
  }

  async #each(task: (topic: Topic) => void | Promise<void>): Promise<void> {
    let after: string | undefined;
    do {
      const { names, next } = await this.#parts.outbox.undecided({ after, limit: 100 });
      for (const topic of names) await task(topic);
      after = next;
    } while (after !== undefined && !this.#closed);
  }

  async #nap(ms: number): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.setTimeout(() => {
        this.#naps.delete(timer);
        resolve();
      }, ms);
      this.#naps.set(timer, resolve);
    });
  }
}

function isSame(a: TopicDecision["pass"], b: TopicDecision["pass"]): boolean {
  return a?.to === b?.to && a?.after === b?.after;
}
