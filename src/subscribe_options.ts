import { PeykError } from "./protocol/errors.ts";
import { checkFields, type FieldsOf } from "./protocol/fields.ts";
import type { Position } from "./protocol/message.ts";

/** Where a subscription leads, and from when. */
export interface SubscribeOptions {
  /** `*` for a public channel, or the user's own id. */
  to: string;
  /** Default "default". */
  channel?: string;
  /** Begin after this position (`{ epoch: 0, offset: 0 }`: at the log's beginning). Default: with what comes from now on. */
  since?: Position;
  /** Of a topic that the user is subscribed to: begin again there, on all devices. Without it nothing changes. */
  anew?: boolean;
}

const UNSUBSCRIBE_FIELDS: FieldsOf<Omit<SubscribeOptions, "since" | "anew">> = { to: true, channel: true };
const SUBSCRIBE_FIELDS: FieldsOf<SubscribeOptions> = { ...UNSUBSCRIBE_FIELDS, since: true, anew: true };

/** @throws {PeykError} `bad-message` for a field that is not known, and a `since` that is no position */
export function checkSubscribeOptions(options: SubscribeOptions): SubscribeOptions {
  checkFields(options, SUBSCRIBE_FIELDS, "subscribe", "bad-message");
  const { since } = options;
  // It would be stored, and each device would begin there.
  if (since === undefined || (isWhole(since?.epoch) && isWhole(since.offset))) return options;
  throw new PeykError("bad-message", "since: not a position", {
    hint: "Give { epoch, offset }, as a message or a publish's result has it; both 0: from the log's beginning.",
  });
}

/** @throws {PeykError} `bad-message` for a field that is not known */
export function checkUnsubscribeOptions(options: Omit<SubscribeOptions, "since" | "anew">): typeof options {
  checkFields(options, UNSUBSCRIBE_FIELDS, "unsubscribe", "bad-message");
  return options;
}

function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
