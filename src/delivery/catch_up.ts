import { CloseCode } from "../protocol/codes.ts";
import { encodeServerFrame } from "../protocol/codec.ts";
import type { Position } from "../protocol/message.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { History } from "../ports/transport.ts";
import type { SessionActor } from "./actor.ts";
import type { CacheBytes } from "./cache_bytes.ts";
import type { Counters } from "./counters.ts";
import { passExpired } from "./expired.ts";
import type { PushRequests } from "./push_requests.ts";
import type { Feed } from "./feed.ts";
import type { Journal } from "./journal.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import type { OpenedPage } from "./opened_page.ts";
import type { Outlet } from "./outlet.ts";
import type { Reader, Session } from "./session.ts";
import { SharedPages } from "./shared_pages.ts";
import { Turns } from "./turns.ts";
import { MAX_UNSEEN, type Sending } from "./unseen.ts";

/** What catching up works with. Without a history there is nothing to read: readers join live at once. */
export interface CatchUpParts {
  history: History | undefined;
  actor: SessionActor;
  pushes: PushRequests;
  journal: Journal;
  counters: Counters;
  clock: Clock;
  logger: Logger;
  held: Pick<CacheBytes, "pages">;
}

/** Pages that are read at the same time: more of them would only take memory. */
const WIDTH = 128;
/**
 * Pages that begin in one turn of the event loop. When thousands of clients return at once, or many slow ones have room again, what
 * they are to get is read and written in as many turns as it takes: others act in between.
 */
const PAGES_PER_TURN = 4;
/**
 * Entries of a topic of which nothing waits for the app, beyond what the connection takes otherwise: a topic whose handler hangs,
 * or that has none, does not hold up the others.
 */
const OWN_ROOM = 32;
/** Between two tries to find out what was missed. */
const RETRY_MS = 1_000;

/**
 * Readers that are behind get their entries from the log, as fast as their connection takes them, until they have reached
 * the head: in that same turn they join the live feed, so there is neither a gap nor an overlap.
 * A slow reader is nothing else: it falls behind, and reads on when it has room.
 * All of them take turns, a page each.
 */
export class CatchUp {
  readonly #parts: CatchUpParts;
  readonly #pages: SharedPages | undefined;
  readonly #turns: Turns;
  readonly #retries = new Set<Timer>();

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
    const { clock, held, history } = parts;
    this.#pages = history && new SharedPages(history, clock, held);
    // A reader has one page at a time anyway.
    this.#turns = new Turns(WIDTH, clock, { run: (_, task) => task() }, PAGES_PER_TURN);
  }

  /** Takes a reader off the live feed. */
  divert(reader: Reader): void {
    this.#parts.actor.separate(reader.session);
    reader.behind = true;
    this.resume(reader.session);
  }

  /**
   * The feed was not told of some entries: whoever reads it goes on from the log, up to where that is by now. Nobody has decided
   * about these entries for the sessions here, so their routes are found as they are read.
   */
  async missed(feed: Feed<Reader>): Promise<void> {
    const { actor, clock, history, logger } = this.#parts;
    const readers = feed.everybody();
    if (history === undefined) {
      for (const reader of readers) if (reader.session.outlet !== undefined) this.#tellGap(reader, feed.head);
      return;
    }
    for (const reader of readers) {
      actor.separate(reader.session);
      reader.behind = true;
    }
    try {
      const { head } = await history.read(feed.topic, feed.head.offset, 1);
      if (head.epoch !== feed.head.epoch || head.offset > feed.head.offset) feed.head = head;
    } catch (error) {
      logger.warn("a log could not be read, it is tried again", { topic: feed.topic, error });
      const timer = clock.setTimeout(() => {
        this.#retries.delete(timer);
        if (feed.users > 0) void this.missed(feed);
      }, RETRY_MS);
      this.#retries.add(timer);
      return;
    }
    for (const reader of feed.everybody()) {
      actor.separate(reader.session);
      // Who joined meanwhile went by the old head.
      reader.behind = true;
      reader.attachedAt = feed.head.offset;
      this.resume(reader.session);
    }
  }

  /** Ends what waits to be tried again. */
  close(): void {
    for (const timer of this.#retries) this.#parts.clock.clearTimeout(timer);
    this.#retries.clear();
    this.#pages?.close();
  }

  /** The session's connection takes no more for now. */
  filled(session: Session): void {
    this.#parts.actor.separate(session);
  }

  /** The session's connection may have room again, or its app. */
  resume(session: Session): void {
    const { unseen } = session;
    const hasRoom = session.takes(1) && unseen.count + unseen.waiting <= MAX_UNSEEN / 2;
    for (const reader of session.readers) {
      if (!reader.behind || reader.reading || !(hasRoom || hasOwnRoom(reader)) || this.#joins(reader)) continue;
      void this.#follow(reader, session.outlet!);
    }
    if (!hasRoom) this.#parts.actor.watchWaiting(session);
  }

  /** Whether the reader is at the head: then it reads live from this very turn on. */
  #joins(reader: Reader): boolean {
    const { head } = reader.feed;
    if (this.#parts.history === undefined) reader.restart(head.epoch, head.offset);
    if (reader.sent < head.offset || reader.epoch !== head.epoch) return false;
    reader.behind = false;
    return true;
  }

  async #follow(reader: Reader, outlet: Outlet): Promise<void> {
    const { logger } = this.#parts;
    const { feed, session } = reader;
    const isThere = (): boolean => session.outlet === outlet && reader.index >= 0;
    const page = async (): Promise<void> => {
      if (!isThere()) return;
      const { epoch } = feed.head;
      const page = this.#pages!.read(feed.topic, epoch, reader.epoch === epoch ? reader.sent : 0, feed.users > 1);
      const opened = page instanceof Promise ? await page : page;
      if (isThere()) this.#write(reader, outlet, opened);
    };
    reader.reading = true;
    try {
      while (isThere()) {
        if (this.#joins(reader) || !(session.takes(1) || hasOwnRoom(reader))) return;
        await this.#turns.run("", page);
      }
    } catch (error) {
      logger.error("a log could not be read", { topic: reader.feed.topic, error });
      outlet.close(CloseCode.internal, "the log could not be read");
    } finally {
      reader.reading = false;
      // A new connection may have come while the old one's page was being read.
      if (reader.session.outlet !== undefined && reader.session.outlet !== outlet) this.resume(reader.session);
    }
  }

  #write(reader: Reader, outlet: Outlet, page: OpenedPage): void {
    const { clock, counters, journal } = this.#parts;
    const { topic } = reader.feed;
    const { epoch } = page.head;
    if (reader.sent < page.floor || reader.epoch !== epoch) {
      this.#tellGap(reader, { epoch, offset: page.floor });
      reader.restart(epoch, page.floor);
      // What was read belongs behind a position of the other life.
      if (page.entries[0] !== undefined && page.entries[0].previous > page.floor) return;
    }
    let { expired } = page;
    let ownRoom = hasOwnRoom(reader) ? OWN_ROOM : 0;
    const advance = (offset: number): void => {
      if (offset <= reader.sent) return;
      outlet.write(encodeServerFrame({ type: "advance", topic, epoch, offset, expired }));
      counters.expired += expired;
      if (page.expired > 0) passExpired(reader, offset, journal, clock.now());
      expired = 0;
      reader.sent = offset;
    };
    const { entries } = page;
    // Others began to read the page further in front.
    let begin = entries.findIndex(({ position }) => position.offset > reader.sent);
    while (begin >= 0 && begin < entries.length) {
      const { session } = reader;
      const room = session.takes(1) ? session.unseen.room : session.takesPastWaiting(ownRoom) ? ownRoom : 0;
      if (room === 0) return;
      advance(entries[begin]!.previous);
      const end = Math.min(endOfRun(reader, entries, begin), begin + room);
      this.#send(reader, outlet, page, begin, end);
      ownRoom = Math.max(0, ownRoom - (end - begin));
      begin = end;
    }
    advance(page.through);
  }

  #tellGap({ session, feed }: Reader, { epoch, offset }: Position): void {
    this.#parts.counters.gaps++;
    session.outlet?.write(encodeServerFrame({ type: "gap", topic: feed.topic, epoch, offset }));
  }

  /** Sends the entries of a page from place `begin` to before `end`, which the machine takes for the same. */
  #send(reader: Reader, outlet: Outlet, page: OpenedPage, begin: number, end: number): void {
    const { actor, clock, counters, journal, pushes } = this.#parts;
    const { feed, session } = reader;
    const entries = page.entries.slice(begin, end);
    const at = clock.elapsed();
    const run = entries.map((entry): Sending => ({ entry, at }));
    const decision = isOpen(reader, entries[0]!)
      ? {
        state: actor.stepper.describe(session.state).state,
        route: actor.stepper.step(session.state, entries[0]!.event).route!,
      }
      : undefined;
    journal.brought(entries, session, decision);
    if (decision?.route.push === "now" || decision?.route.push === "coalesced") {
      for (const sending of run) pushes.pushNow([session], sending);
    }
    // A write may find the connection so far behind that it ends: by then these are known as sent and unseen.
    session.unseen.push(run);
    reader.sent = entries.at(-1)!.position.offset;
    counters.delivered += entries.length;
    for (const entry of entries) feed.remember(entry);
    actor.watch(session, at);
    outlet.write(page.frames(begin, end));
  }
}

/** Of what the engine made up its mind about before this connection came nothing is open. */
function isOpen({ attachedAt, decided }: Reader, { position: { offset } }: OpenedEntry): boolean {
  return offset > decided && offset <= attachedAt;
}

/** The place behind the entries that follow `begin` without a hole and are the same to the session's machine. */
function endOfRun(reader: Reader, entries: readonly OpenedEntry[], begin: number): number {
  const first = entries[begin]!;
  let end = begin + 1;
  for (; end < entries.length; end++) {
    const { event, previous } = entries[end]!;
    if (event !== first.event || previous !== entries[end - 1]!.position.offset) break;
    if (isOpen(reader, entries[end]!) !== isOpen(reader, first)) break;
  }
  return end;
}

/** Whether a topic may have entries written though others of its session wait for the app: all that was sent of it is done with. */
function hasOwnRoom({ acked, sent, session }: Reader): boolean {
  return acked >= sent && session.takesPastWaiting(OWN_ROOM);
}
