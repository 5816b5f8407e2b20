import { PeykError } from "../../src/protocol/errors.ts";
import type { Topic } from "../../src/protocol/names.ts";

const PREFIX = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const MAX_PREFIX = 64;
const PLAIN = /^[A-Za-z0-9_-]+$/;

/**
 * Checks what all subjects of a cluster begin with.
 * @throws {PeykError} `bad-config`
 */
export function checkPrefix(prefix: string): string {
  if (typeof prefix === "string" && prefix.length <= MAX_PREFIX && PREFIX.test(prefix)) return prefix;
  throw new PeykError("bad-config", "prefix: not the beginning of a subject", {
    hint: `Letters, digits, '_' and '-', with single dots between them, at most ${MAX_PREFIX} characters: 'peyk', 'shop.peyk'.`,
  });
}

/** The subject of a topic: `prefix.kind.to.channel`. No two topics share one. */
export function subjectOf(prefix: string, kind: string, topic: Topic): string {
  const slash = topic.indexOf("/");
  return `${prefix}.${kind}.${tokenOf(topic.slice(0, slash))}.${tokenOf(topic.slice(slash + 1))}`;
}

/**
 * A name as one token of a subject, which no other name has: letters, digits, `_` and `-` stay, every other byte of its UTF-8
 * becomes `=XX`. So dots, wildcards and spaces mean nothing in it.
 */
export function tokenOf(name: string): string {
  if (PLAIN.test(name)) return name;
  let token = "";
  for (const byte of new TextEncoder().encode(name)) {
    const character = String.fromCharCode(byte);
    token += PLAIN.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return token;
}
