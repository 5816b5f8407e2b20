import { PeykError } from "./errors.ts";
import type { MessageRef, Position } from "./message.ts";
import { splitTopic, type Topic } from "./names.ts";

/** A message that is in a log. */
export interface LoggedRef {
  readonly topic: Topic;
  readonly position: Position;
}

/**
 * Checks what is to name a message.
 *
 * @returns undefined: it names one that is in no log
 * @throws {PeykError} `bad-message`
 */
export function checkMessageRef(ref: MessageRef): LoggedRef | undefined {
  const { topic, position } = (ref ?? {}) as Partial<MessageRef>;
  try {
    splitTopic(topic);
  } catch (cause) {
    throw noRef("its topic is none", cause);
  }
  if (position === undefined) return undefined;
  const { epoch, offset } = (position ?? {}) as Partial<Position>;
  if (!isWhole(epoch, 0) || !isWhole(offset, 1)) throw noRef("its position is none");
  return { topic: topic!, position: { epoch, offset } };
}

function isWhole(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

function noRef(fault: string, cause?: unknown): PeykError {
  return new PeykError("bad-message", `no name of a message: ${fault}`, {
    hint:
      "Give what the publish answered, the message itself, or { topic, position }: ids are unique only for a sender and topic.",
    ...cause === undefined ? {} : { cause },
  });
}
