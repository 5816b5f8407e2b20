import type { Authenticate, Authorize } from "./gateway/authorization.ts";
import type { Clock } from "./ports/clock.ts";
import type { Logger } from "./ports/logger.ts";
import type { PushProvider } from "./ports/push_provider.ts";
import type { Random } from "./ports/random.ts";
import type { Storage } from "./ports/storage.ts";
import { PeykError } from "./protocol/errors.ts";
import { checkFields, type FieldsOf } from "./protocol/fields.ts";
import { checkName } from "./protocol/names.ts";
import { isAppName } from "./protocol/target.ts";
import type { Compose } from "./push/composer.ts";
import type { Policy } from "./session/policy.ts";

/** What bounds a client, and what is remembered. */
export interface Limits {
  /** The largest WebSocket message a client may send, bytes: 1,024 or more. Default 65,536. */
  frameBytes?: number;
  /** Topics a user may be subscribed to. Default 128. */
  topics?: number;
  /**
   * Devices of a user. Default 50. For one more the device that was away the longest is forgotten, one without a push target first;
   * when none is away the sign-in is refused with `too-many`. Temporary ones are not counted: a user may have 200 beside these.
   */
  devices?: number;
  /** Publishes of one user's devices per second, on average; twice that at once. Default 100. */
  publishesPerSecond?: number;
  /** What `explain()` may remember of messages in memory, bytes; 0: nothing. Default 67,108,864, for 10,000 messages at most. */
  explainBytes?: number;
}

/** How an engine is made. */
export interface EngineOptions {
  /** Says whose connection it is. Required unless `insecure`. */
  authenticate?: Authenticate;
  /** Takes every client at its word: the token is the userId. For trying things out, never for a server others can reach. */
  insecure?: boolean;
  /** Decides what clients may do, beyond the defaults. */
  authorize?: Authorize;
  /** Where logs, users and pushes are kept. Default: in memory. */
  storage?: Storage;
  /** Who brings pushes. Default: nobody. */
  push?: readonly PushProvider[];
  /**
   * Finds the words of pushes, in the reader's language. It has 1 second; when it throws, takes longer or returns what is no
   * notification, the message's own words are used. Not asked for silent messages, nor for providers with content "none".
   */
  compose?: Compose;
  /** The waiting times: for acks, for connections to come back, for input. */
  policy?: Partial<Policy>;
  /**
   * What says that a person has dealt with a message, so that the user's other devices get no push of it. By channel. "ack", the
   * default: an ack of an app in front that had input within `policy.inputMs`, or a mark. "mark": only a mark (`markRead`,
   * `markDismissed`), as alarms and work items want it.
   */
  handledBy?: Readonly<Record<string, "ack" | "mark">>;
  limits?: Limits;
  /** How often a connection is asked for a sign of life, milliseconds. Default 25,000: below the minute of most proxies. */
  heartbeatMs?: number;
  /** Default: warnings and errors on the console. What is said again within a second comes as one line more, with `repeated`. */
  logger?: Logger;
  /** Default: the runtime's. */
  clock?: Clock;
  /** Default: the runtime's cryptographic source. */
  random?: Random;
}

const ENGINE_FIELDS: FieldsOf<EngineOptions> = {
  ...{ authenticate: true, insecure: true, authorize: true, storage: true, push: true, compose: true, policy: true },
  ...{ handledBy: true, limits: true, heartbeatMs: true, logger: true, clock: true, random: true },
};
const LIMITS_FIELDS: FieldsOf<Limits> = {
  ...{ frameBytes: true, topics: true, devices: true, publishesPerSecond: true, explainBytes: true },
};

/** What TypeScript's users hear from the compiler: names that are misspelt, and things of another kind. */
export function checkEngineOptions(options: EngineOptions): void {
  checkFields(options, ENGINE_FIELDS, "createEngine", "bad-config");
  const { authenticate, authorize, storage, push, logger, clock, random } = options;
  const wrong = (what: string, hint: string): PeykError => new PeykError("bad-config", what, { hint });
  for (const [name, callback] of Object.entries({ authenticate, authorize })) {
    if (callback !== undefined && typeof callback !== "function") throw wrong(`${name} is no function`, `${name}: (asked) => …`);
  }
  if (storage !== undefined && !has(storage, ["open"])) {
    throw wrong("storage is none", "Give what memory(), sqlite(path) or jetstream(options) returns.");
  }
  if (push !== undefined && !(Array.isArray(push) && push.every((provider) => has(provider, ["send"])))) {
    throw wrong("push is no list of push providers", "For example push: [webhook({ url, secret })].");
  }
  if (logger !== undefined && !has(logger, ["info", "warn", "error"])) {
    throw wrong("logger is none", "It has info, warn and error, as console has.");
  }
  if (clock !== undefined && !has(clock, ["now", "elapsed", "setTimeout", "clearTimeout"])) {
    throw wrong("clock is none", "Leave it out.");
  }
  if (random !== undefined && !has(random, ["id", "fraction"])) throw wrong("random is none", "Leave it out.");
}

/** Whether something has all these methods. */
function has(thing: unknown, methods: readonly string[]): boolean {
  return typeof thing === "object" && thing !== null &&
    methods.every((method) => typeof (thing as Record<string, unknown>)[method] === "function");
}

export function checkAuthenticate({ authenticate, insecure }: EngineOptions): Authenticate {
  if (authenticate !== undefined) return authenticate;
  if (insecure === true) return ({ token }) => token === undefined ? null : { userId: checkName(token, "userId") };
  throw new PeykError("bad-config", "no authenticate", { hint: "Give authenticate(), or insecure: true to try things out." });
}

export function checkCompose(compose: Compose | undefined): Compose | undefined {
  if (compose === undefined || typeof compose === "function") return compose;
  throw new PeykError("bad-config", "compose is no function", { hint: "Leave it out for the words that messages bring." });
}

export function checkProviders(providers: readonly PushProvider[]): readonly PushProvider[] {
  for (const { apps, name } of providers) {
    if (apps === undefined || (Array.isArray(apps) && apps.length > 0 && apps.every(isAppName))) continue;
    throw new PeykError("bad-config", `apps of the push provider "${name}" are not 1 or more names of apps`, {
      hint: "An app's name is 1-128 letters, digits and ._:-, as clients give it when they register.",
    });
  }
  for (const { content, name } of providers) {
    if (content === undefined || content === "full" || content === "none") continue;
    throw new PeykError("bad-config", `content of the push provider "${name}" is neither "full" nor "none"`);
  }
  const names = new Set(providers.map(({ name }) => name));
  if (names.size === providers.length) return providers;
  throw new PeykError("bad-config", "two push providers of the same name", {
    hint: "Clients name the provider when they register.",
  });
}

/** @returns the channels in which only a mark counts */
export function checkHandledBy(handledBy: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  if (typeof handledBy !== "object") {
    throw new PeykError("bad-config", "handledBy is no object", { hint: 'Give { channel: "mark" }.' });
  }
  const channels = new Set<string>();
  for (const [channel, by] of Object.entries(handledBy)) {
    checkName(channel, "handledBy: channel");
    if (by !== "ack" && by !== "mark") throw new PeykError("bad-config", `handledBy of "${channel}" is neither "ack" nor "mark"`);
    if (by === "mark") channels.add(channel);
  }
  return channels;
}

/** What a client says before it knows the limit has room in it, with any names. */
const LEAST_FRAME_BYTES = 1_024;

export function checkLimits(limits: Limits): Required<Limits> {
  checkFields(limits, LIMITS_FIELDS, "limits", "bad-config");
  const { devices = 50, frameBytes = 65_536, topics = 128, publishesPerSecond = 100, explainBytes = 64 * 1024 * 1024 } = limits;
  return {
    frameBytes: checkWhole(
      "limits.frameBytes",
      frameBytes,
      LEAST_FRAME_BYTES,
      "Clients say how far they are in frames of that size.",
    ),
    devices: checkWhole("limits.devices", devices, 1),
    topics: checkWhole("limits.topics", topics, 1),
    publishesPerSecond: checkWhole("limits.publishesPerSecond", publishesPerSecond, 1),
    explainBytes: checkWhole("limits.explainBytes", explainBytes, 0),
  };
}

export function checkWhole(field: string, value: number, least: number, why?: string): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new PeykError(
    "bad-config",
    `${field} is not a whole number of at least ${least}`,
    why === undefined ? {} : { hint: why },
  );
}
