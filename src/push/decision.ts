import type { OpenedEntry } from "../delivery/opened_entry.ts";
import type { Route } from "../session/step.ts";

/** The machine's word about one entry for one device. */
export interface Decision {
  readonly entry: OpenedEntry;
  readonly route: Route;
  /** The session remembers that it is pushed. Absent: it is decided with a part of the log. */
  readonly isNoted?: true;
}
