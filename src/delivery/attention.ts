import type { IdleMs } from "../protocol/frames.ts";
import type { Clock } from "../ports/clock.ts";
import type { Policy } from "../session/policy.ts";
import type { Stepper } from "../session/step.ts";
import { NO_INPUT, type Session } from "./session.ts";

/** What tells whether a person is at a device. */
export interface AttentionParts {
  stepper: Stepper;
  policy: Pick<Policy, "inputMs" | "leftMs">;
  clock: Clock;
}

/** A frame says how long the last input was ago, and travels for a while: what is later by less than this is the same input. */
const SAME_INPUT_MS = 1_000;

/** Whether a person is at a device, and looks at it. */
export class Attention {
  readonly #parts: AttentionParts;

  constructor(parts: AttentionParts) {
    this.#parts = parts;
  }

  /** The app is visible on an open connection. */
  isInFront({ state }: Session): boolean {
    const { stepper } = this.#parts;
    return stepper.describe(state).connected && stepper.describe(state).state !== "backgrounded";
  }

  /** The app is in front, the connection is trusted, and a person was there a moment ago. */
  isAttended(session: Session): boolean {
    const { clock, policy, stepper } = this.#parts;
    return stepper.describe(session.state).state === "connected.live" && clock.elapsed() - session.inputAt < policy.leftMs;
  }

  /**
   * Takes in how long ago the last input was; null: there was none, whatever was told before.
   * @returns whether there was input since it was last told
   */
  takeInput(session: Session, idleMs: IdleMs): boolean {
    if (idleMs === null) {
      session.inputAt = NO_INPUT;
      return false;
    }
    const at = Math.floor(this.#parts.clock.elapsed() - idleMs);
    if (at < session.inputAt + SAME_INPUT_MS) return false;
    session.inputAt = at;
    return true;
  }

  /** Whether the last input came after the one that was known when something was acked of which it was to show by `until`. */
  isLater({ inputAt }: Session, until: number): boolean {
    return inputAt >= until - this.#parts.policy.leftMs + SAME_INPUT_MS;
  }

  /**
   * What an ack says of a person that comes now from a session in front: dealt with; or that shows by `until` (monotonic
   * milliseconds), with input or without; or nothing.
   */
  judge({ inputAt }: Session): "handled" | { until: number } | undefined {
    const { clock, policy } = this.#parts;
    const idle = clock.elapsed() - inputAt;
    if (idle <= policy.inputMs) return "handled";
    return idle < policy.leftMs ? { until: inputAt + policy.leftMs } : undefined;
  }
}
