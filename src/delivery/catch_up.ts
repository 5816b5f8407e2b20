import { CloseCode } from "../protocol/codes.ts";
import { encodeServerFrame } from "../protocol/codec.ts";
import type { Position } from "../protocol/message.ts";
import { isPublic } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { History, HistoryPage } from "../ports/transport.ts";
import type { SessionActor } from "./actor.ts";
import type { Counters } from "./counters.ts";
import { passExpired } from "./expired.ts";
import type { PushRequests } from "./push_requests.ts";
import type { Feed } from "./feed.ts";
import type { Journal } from "./journal.ts";
import { type OpenedEntry, openEntry } from "./opened_entry.ts";
import type { Outlet } from "./outlet.ts";
import type { Reader, Session } from "./session.ts";
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
}

const PAGE = 100;
/** Between two tries to find out what was missed. */
const RETRY_MS = 1_000;

/**
 * Readers that are behind get their entries from the log, as fast as their connection takes them, until they have reached
 * the head: in that same turn they join the live feed, so there is neither a gap nor an overlap.
 * A slow reader is nothing else: it falls behind, and reads on when it has room.
 */
export class CatchUp {
  readonly #parts: CatchUpParts;
  readonly #retries = new Set<Timer>();

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
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
  }

  /** The session's connection takes no more for now. */
  filled(session: Session): void {
    this.#parts.actor.separate(session);
  }

  /** The session's connection may have room again. */
  resume(session: Session): void {
    if (!session.takes(1) || session.unseen.count > MAX_UNSEEN / 2) return;
    for (const reader of session.readers) {
      if (reader.behind && !reader.reading && !this.#joins(reader)) void this.#follow(reader, session.outlet!);
    }
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
    const { history, logger } = this.#parts;
    reader.reading = true;
    try {
      while (reader.session.outlet === outlet && reader.index >= 0) {
        if (this.#joins(reader) || !reader.session.takes(1)) return;
        const after = reader.epoch === reader.feed.head.epoch ? reader.sent : 0;
        const page = await history!.read(reader.feed.topic, after, PAGE);
        if (reader.session.outlet !== outlet || reader.index < 0) return;
        this.#write(reader, outlet, page);
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

  #write(reader: Reader, outlet: Outlet, page: HistoryPage): void {
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
    const advance = (offset: number): void => {
      if (offset <= reader.sent) return;
      outlet.write(encodeServerFrame({ type: "advance", topic, epoch, offset, expired }));
      counters.expired += expired;
      if (page.expired > 0) passExpired(reader, offset, journal, clock.now());
      expired = 0;
      reader.sent = offset;
    };
    for (const raw of page.entries) {
      if (!reader.session.takes(1)) return;
      advance(raw.previous);
      this.#send(reader, outlet, openEntry(raw));
    }
    advance(page.through);
  }

  #tellGap({ session, feed }: Reader, { epoch, offset }: Position): void {
    this.#parts.counters.gaps++;
    session.outlet?.write(encodeServerFrame({ type: "gap", topic: feed.topic, epoch, offset }));
  }

  #send(reader: Reader, outlet: Outlet, entry: OpenedEntry): void {
    const { actor, clock, counters, journal, pushes } = this.#parts;
    const { session, feed } = reader;
    const { offset } = entry.position;
    entry.account = journal.accepted(entry);
    const sending: Sending = { entry, at: clock.elapsed() };
    // Of what the engine made up its mind about before this connection came nothing is open.
    if (offset > reader.decided && offset <= reader.attachedAt) {
      const { route } = actor.stepper.step(session.state, entry.event);
      if (isPublic(feed.topic)) journal.counted(entry, route!, 1);
      else journal.routed(entry, session, actor.stepper.describe(session.state).state, route!);
      if (route!.push === "now" || route!.push === "coalesced") pushes.pushNow([session], sending);
    }
    outlet.write(entry.frame);
    counters.delivered++;
    session.unseen.push([sending]);
    reader.sent = offset;
    feed.remember(entry);
    actor.watch(session, sending.at);
  }
}
