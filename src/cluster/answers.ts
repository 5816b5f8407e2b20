import type { Attention } from "../delivery/attention.ts";
import type { Elsewhere } from "../delivery/elsewhere.ts";
import type { Roster } from "../delivery/roster.ts";
import type { SignOut } from "../delivery/sign_out.ts";
import type { ExplanationBook } from "../explanation_book.ts";
import type { Logger } from "../ports/logger.ts";
import type { Peers } from "../ports/peers.ts";
import type { Arbiter } from "../push/arbiter.ts";
import type { Stepper } from "../session/step.ts";
import type { Follower } from "./follower.ts";
import { addressOf, ALL_NODES, decodeTalk, encodeTalk, type HeldSession, type Question } from "./questions.ts";

/** What answering works with. */
export interface AnswerParts {
  node: string;
  peers: Peers;
  roster: Roster;
  arbiter: Arbiter;
  attention: Attention;
  follower: Follower;
  signOut: SignOut;
  /** What is to be done where a target has another token. */
  replaced: Elsewhere["replaced"];
  journal: ExplanationBook;
  stepper: Stepper;
  logger: Logger;
}

/**
 * Answers what other nodes ask.
 * @returns what ends it
 */
export async function answerNeighbours(parts: AnswerParts): Promise<{ close(): void }> {
  const { node, peers, logger } = parts;

  async function heard(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      const { from, question } = decodeTalk(bytes) as { from: string; question: Question };
      return from === node ? undefined : encodeTalk(await answerOf(question, parts));
    } catch (error) {
      // Whoever asked gets no answer, and asks again or does without.
      logger.error("another node's question could not be answered", { error });
      return undefined;
    }
  }

  const listeners = await Promise.all([peers.listen(addressOf(node), heard), peers.listen(ALL_NODES, heard)]);
  return { close: () => listeners.forEach((listener) => listener.close()) };
}

async function answerOf(
  question: Question,
  parts: AnswerParts,
): Promise<unknown> {
  const { arbiter, follower, journal, signOut } = parts;
  switch (question.kind) {
    case "takeOver":
      return follower.letGo(question.userId, question.device, question.generation) ?? null;
    case "follow":
      return await follower.follow(question.userId, question.anew) ?? null;
    case "signedOut":
      await signOut.endHere(question.userId, question.device);
      return await follower.follow(question.userId) ?? null;
    case "lost":
      return follower.lost() ?? null;
    case "replaced":
      return parts.replaced(question) ?? null;
    case "attended":
      return arbiter.attendedHere(question);
    case "sessions":
      return heldSessions(question.userId, parts);
    case "explain":
      return journal.find(question.message);
  }
}

/** A user's sessions on this node. */
export function heldSessions(
  userId: string,
  { attention, roster, stepper }: Pick<AnswerParts, "attention" | "roster" | "stepper">,
): HeldSession[] {
  return roster.of(userId).map((session): HeldSession => {
    const { state } = stepper.describe(session.state);
    return { device: session.device, state, attended: attention.isAttended(session), unseen: session.unseen.count };
  });
}
