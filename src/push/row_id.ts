import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** Digits of any offset: ids of one topic sort as its entries do. */
const DIGITS = 16;

/** The id of the one push of an entry to a place. Names hold no line breaks. */
export function rowId(placeId: string, topic: Topic, { epoch, offset }: Position): string {
  return `${placeId}\n${topic}\n${epoch}.${String(offset).padStart(DIGITS, "0")}`;
}

/** The entry that a row of this id is about. */
export function entryOf(id: string): { topic: Topic; position: Position } {
  const [, topic, place] = id.split("\n") as [string, Topic, string];
  const [epoch, offset] = place.split(".").map(Number) as [number, number];
  return { topic, position: { epoch, offset } };
}
