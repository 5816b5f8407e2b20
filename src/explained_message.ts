import { openEntry } from "./delivery/opened_entry.ts";
import { type Explanation, mergeExplanations, withOutbox } from "./explain.ts";
import type { OutboxRow } from "./ports/outbox.ts";
import type { History } from "./ports/transport.ts";
import type { Position } from "./protocol/message.ts";
import type { Topic } from "./protocol/names.ts";

/** Which message is meant of several with the same id. What a publish answered says it, as it is. */
export interface ExplainedMessage {
  readonly topic?: Topic | undefined;
  readonly position?: Position | undefined;
  /** Who sent it. */
  readonly from?: string | undefined;
}

/**
 * All messages of one id: an id is its sender's and topic's own, so others may have the same.
 *
 * @param known what the nodes remember of them
 * @param rows the outbox's, of all messages with this id
 * @param history the log says who sent a message that only the outbox remembers, and when
 */
export async function explainEach(
  known: readonly Explanation[],
  rows: readonly OutboxRow[],
  history: History | undefined,
): Promise<Explanation[]> {
  const knownOf = Map.groupBy(known, keyOf);
  const rowsOf = Map.groupBy(rows, keyOf);
  const keys = new Set([...knownOf.keys(), ...rowsOf.keys()]);
  return await Promise.all([...keys].map((key) => {
    const explanation = withOutbox(mergeExplanations(knownOf.get(key) ?? []), rowsOf.get(key) ?? [])!;
    return explanation.sentAt === undefined ? withLog(explanation, history) : explanation;
  }));
}

/** The message that is meant; of several the one that was sent first: a later message with the same id does not take its place. */
export function choose(messages: readonly Explanation[], { topic, position, from }: ExplainedMessage): Explanation | undefined {
  const meant = messages.filter((message) =>
    (topic === undefined || message.topic === topic) && (from === undefined || message.from === from) &&
    (position === undefined || (message.position.epoch === position.epoch && message.position.offset === position.offset))
  );
  // What the log has no more is older than what it has.
  return meant.toSorted((a, b) => (a.sentAt ?? 0) - (b.sentAt ?? 0))[0];
}

async function withLog(explanation: Explanation, history: History | undefined): Promise<Explanation> {
  const { topic, position: { epoch, offset } } = explanation;
  const page = await history?.read(topic, offset - 1, 1);
  const raw = page?.entries[0];
  if (raw?.epoch !== epoch || raw.offset !== offset) return explanation;
  const { from, sentAt } = openEntry(raw);
  return { ...explanation, from, sentAt };
}

function keyOf({ topic, position: { epoch, offset } }: Pick<Explanation, "topic" | "position">): string {
  return `${topic}\n${epoch}.${offset}`;
}
