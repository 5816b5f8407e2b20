import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import type { Stepper } from "../session/step.ts";

/** When a push may leave. */
export interface Timing {
  /** Milliseconds since 1970. */
  readonly dueAt: number;
  /** Another device of the user is attended: an ack there makes the push needless. */
  readonly held: boolean;
}

/** Among the devices of one person: whoever is looking at one of them does not need the other to buzz. */
export class Arbiter {
  readonly #roster: Roster;
  readonly #stepper: Stepper;
  readonly #activeElsewhereMs: number;

  constructor(roster: Roster, stepper: Stepper, activeElsewhereMs: number) {
    this.#roster = roster;
    this.#stepper = stepper;
    this.#activeElsewhereMs = activeElsewhereMs;
  }

  /** Another session of this user whose person is there, if any. */
  attendedElsewhere(userId: string, deviceId: string): Session | undefined {
    return this.#roster.of(userId).find((session) => session.deviceId !== deviceId && this.isAttended(session));
  }

  isAttended(session: Session): boolean {
    const { state, attended } = this.#stepper.describe(session.state);
    return attended && state === "connected.live";
  }

  /** When the push of a message sent at `sentAt` may leave for this device. When in doubt: now. */
  timing(userId: string, deviceId: string, sentAt: number, now: number): Timing {
    const until = sentAt + this.#activeElsewhereMs;
    if (until <= now || this.attendedElsewhere(userId, deviceId) === undefined) return { dueAt: now, held: false };
    return { dueAt: until, held: true };
  }
}
