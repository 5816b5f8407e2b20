import { CloseCode } from "../protocol/codes.ts";
import { encodeServerFrame } from "../protocol/codec.ts";
import type { Clock } from "../ports/clock.ts";
import type { SessionEvent, SessionState, Stepper } from "../session/step.ts";
import { SessionEvent as Event } from "../session/step.ts";
import type { Group } from "./group.ts";
import type { Reader, Session } from "./session.ts";
import type { Sending } from "./unseen.ts";

/** Without a frame seen for this long, while frames wait to be seen, a connection is closed. */
const STALLED_MS = 60_000;

/** Who carries out what a session's machine asks for. */
export interface SessionEffects {
  /** These were sent and not seen in time. Some of them may have been told before. */
  pushOverdue(session: Session, overdue: readonly Sending[]): void;
  /** The session is given up: write it down, then decide about the rest. */
  goAway(session: Session): void;
  release(session: Session): void;
  /** For whoever watches. */
  changed(session: Session, state: SessionState): void;
}

/** Runs sessions: hands events to the machine, carries out its effects, keeps its timers. */
export class SessionActor {
  readonly stepper: Stepper;
  readonly #clock: Clock;
  readonly #ackTimeoutMs: number;
  #effects: SessionEffects | undefined;

  constructor(stepper: Stepper, clock: Clock, ackTimeoutMs: number) {
    this.stepper = stepper;
    this.#clock = clock;
    this.#ackTimeoutMs = ackTimeoutMs;
  }

  /** Says who carries out the effects. Once, before the first event. */
  connect(effects: SessionEffects): void {
    this.#effects = effects;
  }

  /** Lets something happen to a session. */
  raise(session: Session, event: SessionEvent): void {
    const before = session.state;
    const { next, effects } = this.stepper.step(before, event);
    // A group is of one state.
    if (next !== before) this.separate(session);
    session.state = next;
    for (const effect of effects) {
      if (effect === "pushOverdue") this.#effects!.pushOverdue(session, this.#overdue(session));
      else if (effect === "decideRest") this.#effects!.goAway(session);
      else if (effect === "release") this.#effects!.release(session);
      else this.#setGrace(session, effect.ms);
    }
    if (next === before) return;
    const { state } = this.stepper.describe(next);
    if (state !== this.stepper.describe(before).state) this.#effects!.changed(session, state);
  }

  /** Something was just sent: watches that it is seen in time. One timer per session, for whatever is due first. */
  watch(session: Session, at: number): void {
    // After something was late the timer waits for the stall, which may be far.
    if (session.overdueTimer === undefined || session.overdueAt > at + this.#ackTimeoutMs) {
      this.#setOverdue(session, this.#ackTimeoutMs);
    }
  }

  /** The same for all of a group, with one timer as long as they stay together. */
  watchGroup(group: Group<Reader>): void {
    if (group.unwatch !== undefined) return;
    const timer = this.#clock.setTimeout(() => {
      group.unwatch = undefined;
      for (const { session } of [...group.readers]) this.#watchFirst(session);
    }, this.#ackTimeoutMs);
    group.unwatch = () => this.#clock.clearTimeout(timer);
  }

  /** From here on this session is like no other: it is passed alone, and watched alone. */
  separate(session: Session): void {
    let separated = false;
    for (const reader of session.readers) {
      if (reader.group === undefined) continue;
      reader.feed.separate(reader);
      separated = true;
    }
    if (separated) this.#watchFirst(session);
  }

  /** The client confirmed something. */
  confirmed(session: Session): void {
    const oldest = session.unseen.oldest;
    if (oldest !== undefined && oldest.at + this.#ackTimeoutMs <= this.#clock.elapsed()) return;
    if (this.stepper.describe(session.state).state === "connected.suspect") this.raise(session, Event.seen);
  }

  /**
   * Entries stay in the log because the app is slow. Where everything that was sent is seen, nothing tells whether the connection
   * still lives, and these entries would not be pushed: so it is asked as long as that lasts.
   */
  watchWaiting(session: Session): void {
    const { outlet, readers, unseen } = session;
    if (outlet === undefined || unseen.waiting === 0 || unseen.count > 0) return;
    const now = this.#clock.elapsed();
    // A timer that is set later is the one for the stall.
    if (session.overdueTimer !== undefined && session.overdueAt <= now + this.#ackTimeoutMs) return;
    if (!readers.some(({ behind }) => behind)) return;
    unseen.askedAt = Math.floor(now);
    outlet.write(encodeServerFrame({ type: "ping" }));
    this.#setOverdue(session, this.#ackTimeoutMs);
  }

  /** Stops all timers. */
  forget(session: Session): void {
    this.#setGrace(session, null);
    if (session.overdueTimer !== undefined) this.#clock.clearTimeout(session.overdueTimer);
    session.overdueTimer = undefined;
  }

  /** Watches what is due first of all that was not found late yet. */
  #watchFirst(session: Session): void {
    const { outlet, unseen } = session;
    if (outlet === undefined) return;
    for (const { at } of unseen) {
      if (at <= unseen.lateUpTo) continue;
      const due = at + this.#ackTimeoutMs;
      if (session.overdueTimer === undefined || session.overdueAt > due) {
        this.#setOverdue(session, Math.max(0, due - this.#clock.elapsed()));
      }
      return;
    }
  }

  #setOverdue(session: Session, ms: number): void {
    if (session.overdueTimer !== undefined) this.#clock.clearTimeout(session.overdueTimer);
    session.overdueAt = Math.floor(this.#clock.elapsed() + ms);
    session.overdueTimer = this.#clock.setTimeout(() => {
      session.overdueTimer = undefined;
      this.#checkOverdue(session);
    }, ms);
  }

  #checkOverdue(session: Session): void {
    const { outlet, unseen } = session;
    if (outlet === undefined) return;
    const now = this.#clock.elapsed();
    if (unseen.count === 0) {
      // Once: a suspect connection's entries are pushed as they come, and its heartbeat ends it.
      if (unseen.askedAt < 0) this.watchWaiting(session);
      else if (now - unseen.askedAt >= this.#ackTimeoutMs) this.raise(session, Event.overdue);
      else this.#setOverdue(session, unseen.askedAt + this.#ackTimeoutMs - now);
      return;
    }
    const { progressAt } = unseen;
    if (now - progressAt >= STALLED_MS) return outlet.close(CloseCode.slow, "no progress");
    let next = progressAt + STALLED_MS;
    let late = false;
    for (const { at } of unseen) {
      const due = at + this.#ackTimeoutMs;
      if (due > now) {
        next = Math.min(next, due);
        break;
      }
      late = true;
      unseen.lateUpTo = Math.ceil(at);
    }
    if (late) this.raise(session, Event.overdue);
    if (session.overdueTimer === undefined || session.overdueAt > next) this.#setOverdue(session, next - now);
  }

  #overdue(session: Session): Sending[] {
    const latest = this.#clock.elapsed() - this.#ackTimeoutMs;
    return [...session.unseen].filter(({ at }) => at <= latest);
  }

  #setGrace(session: Session, ms: number | null): void {
    if (session.graceTimer !== undefined) this.#clock.clearTimeout(session.graceTimer);
    session.graceTimer = ms === null ? undefined : this.#clock.setTimeout(() => {
      session.graceTimer = undefined;
      this.raise(session, Event.grace);
    }, ms);
  }
}
