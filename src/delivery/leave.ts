import { CloseCode } from "../protocol/codes.ts";
import type { Topic } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import { SessionEvent, type SessionEventName } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import type { Attachments } from "./attach.ts";
import { passExpired } from "./expired.ts";
import type { Journal } from "./journal.ts";
import type { Outlet } from "./outlet.ts";
import { type ProgressKeeper, withProgressOf } from "./progress.ts";
import { sessionOf, type UserRecords, withSession } from "./records.ts";
import type { Session } from "./session.ts";
import type { TemporaryDevices } from "./temporary.ts";
import { Turns } from "./turns.ts";
import { Unseen } from "./unseen.ts";

/** Who decides about pushes for a session that is away. */
export interface AwayDecisions {
  /**
   * Decides about everything that is undecided of a device that is leaving, and stores with the last of it that it is away. Called
   * inside the user's exclusive section.
   */
  leaveHeld(userId: string, deviceId: string): Promise<void>;
  /** A subscription began: decides about entries that came, and were swept, while it was being stored. */
  decideBegun(userId: string, topic: Topic): Promise<void>;
}

/** What leaving works with. */
export interface LeaveParts {
  records: UserRecords;
  attachments: Attachments;
  actor: SessionActor;
  progress: ProgressKeeper;
  away: AwayDecisions;
  temporaries: TemporaryDevices;
  journal: Journal;
  clock: Clock;
  logger: Logger;
}

/** How a session lost its connection: with a goodbye, by a page that is left or reloaded, without a word, or because the node drains. */
export type Ending = "clean" | "left" | "lost" | "drained";

/** A page that is left is hidden first: up to this time before, milliseconds. */
const HIDING_MS = 1_000;
/** Users whose sessions go away at the same time: all of a node's may be lost in one turn of the loop. */
const WIDTH = 128;
/** Between two tries to write that a session is away. */
const RETRY_MS = 1_000;

/** Takes sessions from connected to recent to away. */
export class Departures {
  readonly #parts: LeaveParts;
  readonly #turns: Turns;
  readonly #pending = new Set<Promise<void>>();
  readonly #retries = new Set<Timer>();

  constructor(parts: LeaveParts) {
    this.#parts = parts;
    const { clock, records } = parts;
    this.#turns = new Turns(WIDTH, clock, records.sections);
  }

  /** The session's connection is gone. Nothing happens when it is no longer the session's. */
  closed(session: Session, outlet: Outlet, how: Ending): void {
    if (session.outlet !== outlet) return;
    const { actor, progress } = this.#parts;
    session.outlet = undefined;
    actor.separate(session);
    for (const reader of session.readers) {
      reader.decided = reader.decidedUpTo();
      if (reader.decided < reader.acked) reader.owed = reader.acked;
      reader.sent = reader.acked;
      reader.behind = true;
    }
    session.unseen = new Unseen();
    session.pushed = undefined;
    actor.raise(session, SessionEvent[this.#eventOf(session, how)]);
    // Away writes its progress itself.
    if (session.graceTimer !== undefined) this.#track(progress.save(session));
  }

  /** An app that was in the background when its page was left is not about to come back. */
  #eventOf({ hiddenAt, state }: Session, how: Ending): SessionEventName {
    const { actor, clock } = this.#parts;
    if (how === "drained") return how;
    const isHidden = actor.stepper.describe(state).state === "backgrounded" && clock.elapsed() - hiddenAt > HIDING_MS;
    return how === "left" && isHidden ? "closed.clean" : `closed.${how}`;
  }

  /**
   * The session is given up. First it can be read in the store that the session is leaving, then the rest is decided, and only then
   * it is away: what is appended meanwhile is decided about here or by the sweep, and a node that dies between is found by that.
   */
  goAway(session: Session): void {
    this.#track(this.#goAway(session));
  }

  async #goAway(session: Session): Promise<void> {
    const { attachments, away, clock, journal, logger, records, temporaries } = this.#parts;
    const { userId, deviceId } = session;
    try {
      await this.#turns.run(userId, async () => {
        await records.updateHeld(userId, (stored) => {
          if (!session.isStill(sessionOf(stored, deviceId))) return undefined;
          const record = withProgressOf(stored, session);
          return { record: withSession(record, { ...sessionOf(record, deviceId)!, leaving: true }) };
        });
        for (const reader of session.readers) passExpired(reader, reader.feed.head.offset, journal, clock.now());
        attachments.dismantle(session, CloseCode.normal, "");
        await away.leaveHeld(userId, deviceId);
        if (session.isTemporary) temporaries.left(userId);
      });
    } catch (error) {
      // The record still names this node, so nobody else looks after the session.
      logger.error("a session could not go away, it is tried again", { error });
      const timer = clock.setTimeout(() => {
        this.#retries.delete(timer);
        this.goAway(session);
      }, RETRY_MS);
      this.#retries.add(timer);
    }
  }

  #track(work: Promise<void>): void {
    this.#pending.add(work);
    void work.finally(() => this.#pending.delete(work));
  }

  /** Resolves when nobody is on the way out. Who could not go away is found as an orphan once this node has left. */
  async close(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    for (const timer of this.#retries) this.#parts.clock.clearTimeout(timer);
    this.#retries.clear();
  }
}
