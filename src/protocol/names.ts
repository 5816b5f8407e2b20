import { PeykError } from "./errors.ts";

/** The longest name in bytes of UTF-8. */
export const MAX_NAME_BYTES = 128;
/** The `to` of a public topic. */
export const PUBLIC = "*";
/** The channel when none is given. */
export const DEFAULT_CHANNEL = "default";

/** A topic's full address, `to/channel`. Neither part holds `/`, so the first one divides. */
export type Topic = string;

const encoder = new TextEncoder();
// deno-lint-ignore no-control-regex
const forbidden = /[\u0000-\u001f\u007f-\u009f/]/;

/** Why `name` is no name, or undefined when it is one. */
export function nameFault(name: unknown): string | undefined {
  if (typeof name !== "string") return "not a string";
  if (name.length === 0) return "empty";
  // A unit of text takes three bytes at most: short names, nearly all, are not encoded to find out.
  if (name.length * 3 > MAX_NAME_BYTES && (name.length > MAX_NAME_BYTES || encoder.encode(name).length > MAX_NAME_BYTES)) {
    return `longer than ${MAX_NAME_BYTES} bytes`;
  }
  if (forbidden.test(name)) return "holds '/' or a control character";
  return name.isWellFormed() ? undefined : "not well-formed text";
}

/**
 * Checks a userId, channel, deviceId or message id: 1-128 bytes of well-formed text, no `/`, no control characters, not `*`.
 * @throws {PeykError} `bad-name`
 */
export function checkName(name: unknown, what: string): string {
  const fault = name === PUBLIC ? "'*' is reserved" : nameFault(name);
  if (fault !== undefined) {
    throw new PeykError("bad-name", `${what}: ${fault}`, {
      hint: `A ${what} is 1-${MAX_NAME_BYTES} bytes of text without '/' and control characters.`,
    });
  }
  return name as string;
}

/**
 * The topic of a user's (or, with `*`, a public) channel.
 * @throws {PeykError} `bad-name`
 */
export function topicOf(to: string, channel: string = DEFAULT_CHANNEL): Topic {
  if (to !== PUBLIC) checkName(to, "to");
  checkName(channel, "channel");
  return `${to}/${channel}`;
}

/**
 * The parts of a topic.
 * @throws {PeykError} `bad-name`
 */
export function splitTopic(topic: unknown): { to: string; channel: string } {
  const slash = typeof topic === "string" ? topic.indexOf("/") : -1;
  if (slash < 0) {
    throw new PeykError("bad-name", "topic: no '/' in it", { hint: "A topic is 'to/channel', such as 'u42/default'." });
  }
  const to = (topic as string).slice(0, slash);
  const channel = (topic as string).slice(slash + 1);
  if (to !== PUBLIC) checkName(to, "to");
  checkName(channel, "channel");
  return { to, channel };
}

/** Whether everybody who is subscribed reads this topic, not one user alone. */
export function isPublic(topic: Topic): boolean {
  return topic.startsWith("*/");
}

/** The user a private topic belongs to. */
export function ownerOf(topic: Topic): string {
  return topic.slice(0, topic.indexOf("/"));
}
