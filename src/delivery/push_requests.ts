import type { CancelMatch, OutboxRow } from "../ports/outbox.ts";
import type { Session } from "./session.ts";
import type { Sending } from "./unseen.ts";

/** Who drops pushes that nobody is to get any more. */
export interface PushCancellation {
  /**
   * Drops what waits. What is looked at for the last time after the user's record was written finds out by itself.
   * @returns whether another node may be past that look and about to ask a provider: `Elsewhere.follow` waits for it
   */
  dropNow(match: CancelMatch, note: string): Promise<boolean>;
}

/**
 * Who is told of a target that was registered.
 * @param isAnother there was one before, with another token; else it is the same as before, or the first
 */
export type Registered = (target: Pick<OutboxRow, "provider" | "targetId" | "userId">, isAnother: boolean) => void;

/** Who queues the pushes that the fan-out finds due at once. */
export interface PushRequests {
  /** These sessions are connected, but their person is to be told by a push. */
  pushNow(sessions: readonly Session[], sending: Sending): void;
  /** The session came back in the background, and what it acked before is not decided about yet. */
  pushOwed(session: Session): void;
}
