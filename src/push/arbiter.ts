import type { Attention } from "../delivery/attention.ts";
import { type Elsewhere, type Other, otherNodes } from "../delivery/elsewhere.ts";
import type { Roster } from "../delivery/roster.ts";
import type { UserRecord } from "../ports/users.ts";

/** What the arbiter works with. */
export interface ArbiterParts {
  node: string;
  roster: Roster;
  elsewhere: Elsewhere;
  attention: Attention;
  activeElsewhereMs: number;
}

/** Among the devices of one person: while the person is at one of them, the others wait a little. */
export class Arbiter {
  readonly #parts: ArbiterParts;

  constructor(parts: ArbiterParts) {
    this.#parts = parts;
  }

  /** Until when a push of a message that the log took then may be held for a device. */
  holdsUntil(appendedAt: number): number {
    return appendedAt + this.#parts.activeElsewhereMs;
  }

  /** Whether the person is at another of the user's devices, on any node. When in doubt: no. */
  async attendedElsewhere(record: UserRecord, device: string): Promise<boolean> {
    const { elsewhere, node } = this.#parts;
    const than = { userId: record.userId, device };
    if (this.attendedHere(than)) return true;
    const nodes = otherNodes(record, node);
    return nodes.length > 0 && await elsewhere.attended(nodes, than);
  }

  /** Whether the person is at another of the user's devices, on this node. */
  attendedHere({ userId, device }: Other): boolean {
    const { attention, roster } = this.#parts;
    return roster.of(userId).some((session) => session.device !== device && attention.isAttended(session));
  }
}
