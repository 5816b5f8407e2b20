import type { OpenedEntry } from "../delivery/opened_entry.ts";
import type { Sending } from "../delivery/unseen.ts";
import type { Route } from "../session/step.ts";

/** The machine's word about one entry for one device. */
export interface Decision {
  readonly entry: OpenedEntry;
  readonly route: Route;
  /** As it stands in the session's window, when it was sent already. */
  readonly sending?: Sending;
}
