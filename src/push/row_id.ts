import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** Digits of any offset: ids of one topic sort as its entries do. */
const DIGITS = 16;

/**
 * Who decides about a part of a log for a device: its user's records are gone through, or the members of a topic are. Both may come
 * to the same entries when a device goes away, on two nodes.
 */
export type Decider = "user" | "topic";

/** The id of the one push of an entry to a place. Names hold no line breaks. */
export function rowId(placeId: string, topic: Topic, { epoch, offset }: Position): string {
  return `${placeId}\n${topic}\n${epoch}.${String(offset).padStart(DIGITS, "0")}`;
}

/**
 * The id of the push that stands for several entries, the last of which is that one. No other row has it: neither that of the last
 * entry alone, nor one that the other decider made, which stands for fewer or more. An outbox would leave out the later of them.
 */
export function restId(placeId: string, topic: Topic, last: Position, decider: Decider): string {
  return `${rowId(placeId, topic, last)}.${decider}`;
}

/** All ids that rows to a place can have whose last entry is that one. */
export function rowIds(placeId: string, topic: Topic, last: Position): string[] {
  return [rowId(placeId, topic, last), restId(placeId, topic, last, "user"), restId(placeId, topic, last, "topic")];
}

/** The entry that a row of this id is about; of several the last one. */
export function entryOf(id: string): { topic: Topic; position: Position } {
  const [, topic, place] = id.split("\n") as [string, Topic, string];
  const [epoch, offset] = place.split(".").map(Number) as [number, number];
  return { topic, position: { epoch, offset } };
}
