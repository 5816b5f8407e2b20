import type { CancelMatch } from "../ports/outbox.ts";
import type { Session } from "./session.ts";
import type { Sending } from "./unseen.ts";

/** Who drops pushes that nobody is to get any more. */
export interface PushCancellation {
  /** When it resolves, none of them can leave unless it is on its way already. */
  dropNow(match: CancelMatch, note: string): Promise<void>;
}

/** Who queues the pushes that the fan-out finds due at once. */
export interface PushRequests {
  /** These sessions are connected, but their person is to be told by a push. */
  pushNow(sessions: readonly Session[], sending: Sending): void;
}
