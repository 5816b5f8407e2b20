import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import { type Elsewhere, type Other, otherNodes } from "../delivery/elsewhere.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import type { UserRecord } from "../ports/users.ts";
import type { Stepper } from "../session/step.ts";

/** What the arbiter works with. */
export interface ArbiterParts {
  node: string;
  roster: Roster;
  elsewhere: Elsewhere;
  stepper: Stepper;
  activeElsewhereMs: number;
}

/** Among the devices of one person: whoever is looking at one of them does not need the other to buzz. */
export class Arbiter {
  readonly #parts: ArbiterParts;

  constructor(parts: ArbiterParts) {
    this.#parts = parts;
  }

  /** Until when a push of a message sent then may be held for a device. */
  holdsUntil(sentAt: number): number {
    return sentAt + this.#parts.activeElsewhereMs;
  }

  /** Whether the person is at another of the user's devices, on whichever node. When in doubt: no. */
  async attendedElsewhere(record: UserRecord, device: string): Promise<boolean> {
    const { elsewhere, node } = this.#parts;
    const than = { userId: record.userId, device };
    if (this.attendedHere(than) !== undefined) return true;
    const nodes = otherNodes(record, node);
    return nodes.length > 0 && await elsewhere.attended(nodes, than);
  }

  /** Another session of this user, on this node, whose person is there, if any. */
  attendedHere({ userId, device }: Other): Session | undefined {
    return this.#parts.roster.of(userId).find((session) => session.device !== device && this.isAttended(session));
  }

  /** Whether another of the user's devices, on whichever node, has acked an entry while it was in front. When in doubt: no. */
  async ackedElsewhere(record: UserRecord, device: string, topic: Topic, position: Position): Promise<boolean> {
    const { elsewhere, node } = this.#parts;
    const than = { userId: record.userId, device };
    if (this.ackedHere(than, topic, position)) return true;
    const nodes = otherNodes(record, node);
    return nodes.length > 0 && await elsewhere.acked(nodes, than, topic, position);
  }

  /** Whether another device, on this node, has. What a background handler acks nobody may have seen. */
  ackedHere({ userId, device }: Other, topic: Topic, { epoch, offset }: Position): boolean {
    const { roster, stepper } = this.#parts;
    return roster.of(userId).some((session) => {
      const reader = session.device === device ? undefined : session.reader(topic);
      return reader?.epoch === epoch && reader.acked >= offset && stepper.describe(session.state).state !== "backgrounded";
    });
  }

  isAttended(session: Session): boolean {
    const { state, attended } = this.#parts.stepper.describe(session.state);
    return attended && state === "connected.live";
  }
}
