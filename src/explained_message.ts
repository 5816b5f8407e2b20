import { openEntry } from "./delivery/opened_entry.ts";
import { type Explanation, mergeExplanations, withOutbox, withOwner } from "./explain.ts";
import type { Clock } from "./ports/clock.ts";
import type { Outbox } from "./ports/outbox.ts";
import type { History } from "./ports/transport.ts";
import type { Users } from "./ports/users.ts";
import type { LoggedRef } from "./protocol/message_ref.ts";
import { ownerOf } from "./protocol/names.ts";

/** Where it is looked up what no node remembers. */
export interface ExplainSources {
  outbox: Outbox;
  users: Users;
  clock: Clock;
  /** The log says which id the pushes of a message have that only the outbox remembers, who sent it, and when. */
  history: History | undefined;
}

/**
 * What is known of one message.
 *
 * @param told what the nodes remember of it
 * @returns undefined: neither they nor the outbox know it
 */
export async function explainMessage(
  ref: LoggedRef,
  told: readonly Explanation[],
  { clock, history, outbox, users }: ExplainSources,
): Promise<Explanation | undefined> {
  const remembered = mergeExplanations(told);
  const named = remembered ?? await logged(ref, history);
  if (named === undefined) return undefined;
  // Another sender's message may have the same id.
  const rows = (await outbox.ofMessage(named.id)).filter((row) => isAt(row, ref));
  if (remembered === undefined && rows.length === 0) return undefined;
  const explanation = withOutbox(named, rows);
  if (explanation.verdict !== "no-device") return explanation;
  return withOwner(explanation, await users.get(ownerOf(ref.topic)), clock.now());
}

/** What the log says of a message. */
async function logged({ topic, position }: LoggedRef, history: History | undefined): Promise<Explanation | undefined> {
  const raw = (await history?.read(topic, position.offset - 1, 1))?.entries[0];
  // Where it has expired, or was in a log that is lost, this is another message, and may have the same id.
  if (raw === undefined || raw.epoch !== position.epoch || raw.offset !== position.offset) return undefined;
  const { id, from, sentAt } = openEntry(raw);
  return { id, topic, position, from, sentAt, verdict: "routed", devices: [], counts: {}, delivered: 0 };
}

function isAt(row: LoggedRef, { topic, position: { epoch, offset } }: LoggedRef): boolean {
  return row.topic === topic && row.position.epoch === epoch && row.position.offset === offset;
}
