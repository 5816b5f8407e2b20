import { answerInTime } from "../delivery/deadline.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import { PeykError } from "../protocol/errors.ts";
import { nameFault, PUBLIC } from "../protocol/names.ts";
import type { Authenticate, Credentials, Identity } from "./authorization.ts";

/** How often each kind of wrong answer is in the log, milliseconds. */
const LOG_EVERY_MS = 60_000;
/** Times before this are seconds since 1970, taken for milliseconds: no token of today ran out before 2001. */
const YEAR_2001 = 978_307_200_000;

/** A wrong answer: what it was, without anything that was in it, and what to answer instead. */
interface Fault {
  readonly what: string;
  readonly hint: string;
}

/** A kind of wrong answer that is in the log. */
interface Told {
  /** As `clock.elapsed` has it. */
  readonly at: number;
  /** How often it came since then. */
  repeated: number;
}

/**
 * Asks the embedding server whose connection it is, and makes sure of the answer. What is no identity is the server's mistake, and
 * will be repaired there: its clients come back until it is.
 */
export class IdentityCheck {
  readonly #authenticate: Authenticate;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #told = new Map<string, Told>();

  constructor(authenticate: Authenticate, clock: Clock, logger: Logger) {
    this.#authenticate = authenticate;
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Whose connection it is.
   * @throws {PeykError} `unauthorized`, `expired`; `unavailable` when the callback failed, did not answer in time, or answered
   * what is no identity
   */
  async ask(credentials: Credentials): Promise<Identity> {
    const answer = await this.#answer(credentials);
    // A callback without types may as well say no with undefined or false.
    if (!answer) throw new PeykError("unauthorized", "no valid token");
    const { userId, expiresAt } = answer as Partial<Record<keyof Identity, unknown>>;
    const fault = answerFault(answer) ?? userIdFault(userId) ?? expiryFault(expiresAt);
    if (fault !== undefined) {
      this.#tell("error", fault);
      throw new PeykError("unavailable", "authenticate() gave no valid answer", { retryable: true, hint: "Come back later." });
    }
    return { userId: userId as string, expiresAt: this.#unexpired(expiresAt as number | undefined) };
  }

  async #answer(credentials: Credentials): Promise<unknown> {
    const logger = this.#logger;
    try {
      return fieldsOf(await answerInTime({ clock: this.#clock, logger }, "authenticate()", this.#authenticate(credentials)));
    } catch (error) {
      if (error instanceof PeykError) throw error;
      logger.error("authenticate() failed", { error });
      throw new PeykError("unavailable", "authenticate() failed", { retryable: true, hint: "Come back later." });
    }
  }

  /** The end of an identity, in milliseconds. */
  #unexpired(expiresAt: number | undefined): number | undefined {
    if (expiresAt === undefined) return undefined;
    const now = this.#clock.now();
    const isInSeconds = expiresAt > 0 && expiresAt < YEAR_2001 && now >= YEAR_2001;
    if (isInSeconds) this.#tell("warn", IN_SECONDS);
    const endsAt = isInSeconds ? expiresAt * 1_000 : expiresAt;
    if (endsAt > now) return endsAt;
    throw new PeykError("expired", "the token has expired", { retryable: true, hint: "Come back with a fresh token." });
  }

  /** The first of each kind at once, then at most one a minute: a mistake comes with every client. */
  #tell(level: "warn" | "error", { what, hint }: Fault): void {
    const now = this.#clock.elapsed();
    const told = this.#told.get(what);
    if (told !== undefined && now - told.at < LOG_EVERY_MS) {
      told.repeated++;
      return;
    }
    this.#told.set(what, { at: now, repeated: 0 });
    const repeated = told?.repeated ?? 0;
    this.#logger[level](`authenticate() answered ${what}`, { hint, ...repeated > 0 && { repeated } });
  }
}

const IN_SECONDS: Fault = {
  what: "an expiresAt in seconds: it is taken as such",
  hint: "expiresAt is in milliseconds since 1970: a JWT's exp times 1000.",
};

/** An identity's fields, read once: each may be a getter, which may throw. Anything else as it is. */
function fieldsOf(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || !("userId" in answer)) return answer;
  const { userId, expiresAt } = answer as Partial<Record<keyof Identity, unknown>>;
  return { userId, expiresAt };
}

function answerFault(answer: unknown): Fault | undefined {
  if (typeof answer === "object" && "userId" in answer!) return undefined;
  return {
    what: typeof answer === "object" ? "an object without userId" : `no object but a ${typeof answer}`,
    hint: 'Answer { userId: "..." }, or null for a token that is not valid.',
  };
}

function userIdFault(userId: unknown): Fault | undefined {
  if (typeof userId !== "string") {
    return {
      what: `a userId that is no text but ${kindOf(userId)}`,
      hint: "userId is text: String(user.id) where it is a number. For a token that is not valid answer null.",
    };
  }
  const fault = userId === PUBLIC ? "'*' is reserved" : nameFault(userId);
  return fault === undefined ? undefined : {
    what: `a userId that is no name: ${fault}`,
    hint: "A userId is 1-128 bytes of text without '/' and control characters.",
  };
}

function expiryFault(expiresAt: unknown): Fault | undefined {
  if (expiresAt === undefined || Number.isFinite(expiresAt)) return undefined;
  return {
    what: `an expiresAt that is no finite number but ${kindOf(expiresAt)}`,
    hint:
      "expiresAt is a number, milliseconds since 1970: date.getTime() of a Date. Leave it out for an identity without an end.",
  };
}

/** What a value is, without its content. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Date) return "a Date";
  return Array.isArray(value) ? "an array" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}
