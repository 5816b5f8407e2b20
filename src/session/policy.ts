import { PeykError } from "../protocol/errors.ts";
import { checkFields } from "../protocol/fields.ts";

/** The waiting times that a session's behaviour depends on. All in milliseconds, whole, not negative. */
export interface Policy {
  /** What was sent and not seen after this long is overdue: it is pushed, and the connection is suspect. Default 3,000. */
  readonly ackTimeoutMs: number;
  /** How long a session whose socket was lost is held as recent before it counts as away. Default 15,000. */
  readonly graceMs: number;
  /** How long from its publish a push is held up while another device of the user is attended. Default 5,000. */
  readonly activeElsewhereMs: number;
  /** An ack this soon after the last input at its device says that a person has dealt with the message. Default 30,000. */
  readonly inputMs: number;
  /** Without input for this long the person has left the device: an ack says nothing any more. At least `inputMs`. Default 120,000. */
  readonly leftMs: number;
  /**
   * Pushes of low urgency that come within this time become one. Of others, after 5 to a target within a minute one leaves per this
   * time, for all that waits; a high urgency never waits for that. 0: neither. Default 60,000.
   */
  readonly coalesceMs: number;
  /** Over how long a draining node spreads its clients' return. Default 5,000. */
  readonly drainWindowMs: number;
}

/** What holds for a field that nobody set. */
export const DEFAULT_POLICY: Policy = Object.freeze({
  ackTimeoutMs: 3_000,
  graceMs: 15_000,
  activeElsewhereMs: 5_000,
  inputMs: 30_000,
  leftMs: 120_000,
  coalesceMs: 60_000,
  drainWindowMs: 5_000,
});

const MINUTE = 60_000;

/** The most that makes sense: beyond these a push comes too late to be of use, or a timer holds a session for nothing. */
const MAXIMA: Policy = Object.freeze({
  ackTimeoutMs: 10 * MINUTE,
  graceMs: 60 * MINUTE,
  activeElsewhereMs: 10 * MINUTE,
  inputMs: 60 * MINUTE,
  leftMs: 60 * MINUTE,
  coalesceMs: 24 * 60 * MINUTE,
  drainWindowMs: 10 * MINUTE,
});

/**
 * Fills in the defaults and checks what was given.
 *
 * @throws {PeykError} `bad-config`, naming the field
 */
export function checkPolicy(given: Partial<Policy>): Policy {
  checkFields(given, { ...MAXIMA }, "policy", "bad-config");
  const policy: Record<string, number> = { ...DEFAULT_POLICY };
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const most = MAXIMA[field as keyof Policy];
    if (!Number.isInteger(value) || value < 0 || value > most) {
      throw new PeykError("bad-config", `policy.${field} is out of range`, {
        hint: `Give whole milliseconds from 0 to ${most}; the default is ${DEFAULT_POLICY[field as keyof Policy]}.`,
      });
    }
    policy[field] = value;
  }
  if (policy.inputMs! > policy.leftMs!) {
    throw new PeykError("bad-config", "policy.inputMs is longer than policy.leftMs", {
      hint: "Between the two the pushes of a user's other devices wait for input.",
    });
  }
  return Object.freeze(policy) as unknown as Policy;
}
