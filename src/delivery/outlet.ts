import type { Connection } from "../ports/connection.ts";

/** A session's way out: the connection it is attached to, as delivery sees it. */
export interface Outlet {
  /** Counts this node's connections: a newer one has a higher number. */
  readonly order: number;
  readonly isOpen: boolean;
  /** For whoever sends the same to many and knows that it is open and that nothing waits to be written. */
  readonly connection: Connection;
  /** Sends a frame, or several back to back, with whatever else this tick brings. The same array for every receiver of the same. */
  write(frames: Uint8Array): void;
  /** Sends whole frames now, behind what `write` gathered. The same array for every receiver. */
  send(frames: Uint8Array): void;
  /** Hands over what `write` gathered, now. */
  flush(): void;
  /** The connection said that more waits than usual. */
  backlog(): void;
  /** Whether so much waits to be taken by the other side that entries should stay in the log. */
  readonly full: boolean;
  /** Hands over what waits, then says goodbye. */
  close(code: number, reason: string): void;
}
