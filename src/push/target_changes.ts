import type { SessionActor } from "../delivery/actor.ts";
import type { Counters } from "../delivery/counters.ts";
import { sessionOf, type UserRecords, withSession } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import { isEnabled, tokenId } from "../delivery/target.ts";
import type { Clock } from "../ports/clock.ts";
import type { OutboxRow } from "../ports/outbox.ts";
import type { PushTarget } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";
import type { PendingPushes } from "./pending.ts";

/** What changing targets works with. */
export interface TargetChangesParts {
  actor: SessionActor;
  /** What the services' clocks say. */
  wall: Clock;
  counters: Counters;
  pending: PendingPushes;
  records: UserRecords;
  roster: Roster;
}

type Place = Pick<OutboxRow, "userId" | "deviceId" | "targetId">;

/** Targets of which it is remembered that they live though they were called dead. */
const REMEMBERED = 10_000;

/** What becomes of a stored target by what its service says of it. */
export class TargetChanges {
  readonly #parts: TargetChangesParts;
  /** Places whose target was called dead since before it was registered, and by which of both. */
  readonly #revived = new Map<string, string>();

  constructor(parts: TargetChangesParts) {
    this.#parts = parts;
  }

  /**
   * A dead target stays to be seen, with its reason; nothing more is sent to it.
   * @param since when it died, milliseconds since 1970. One that was registered later lives: it is dead when it is called so again
   * @returns false: it lives, or is not the session's target any more
   */
  async disable(place: Place, { id }: PushTarget, reason: string, since: number = Infinity): Promise<boolean> {
    const { actor, counters, pending, roster, wall } = this.#parts;
    const { userId, deviceId, targetId } = place;
    let revival: string | undefined;
    const { isThere, isLeft } = await this.#change(place, id, (target) => {
      revival = since < target.registeredAt ? `${since} ${target.registeredAt}` : undefined;
      if (this.#revived.get(targetId) === revival) revival = undefined;
      return revival === undefined ? { ...target, disabled: { reason, at: wall.now() } } : target;
    });
    this.#revived.delete(targetId);
    if (revival !== undefined) {
      this.#revived.set(targetId, revival);
      if (this.#revived.size > REMEMBERED) this.#revived.delete(this.#revived.keys().next().value!);
    }
    if (!isThere || revival !== undefined) return false;
    await pending.dropNow({ userId, deviceId, targetId }, "the target is gone");
    counters.targetsGone++;
    const session = roster.find(userId, deviceId);
    if (session !== undefined && !isLeft) actor.raise(session, SessionEvent["target.none"]);
    return true;
  }

  /**
   * The service knows the target by another token: what waits for the place goes there. A token belongs to one session, and who
   * registered it knows better than the service: where somebody has it already, the former one is dead.
   * @returns what became of it, in words; undefined: it stays, or is not the session's target any more
   */
  async replace(place: Place, target: PushTarget, token: string): Promise<string | undefined> {
    const { counters, records, wall } = this.#parts;
    const id = tokenId(target.provider, token);
    if (id === target.id) return undefined;
    if ((await records.store.holders({ targetId: id })).length > 0) {
      const why = "its token was replaced by one that is registered elsewhere";
      return await this.disable(place, target, why) ? `it is dead: ${why}` : undefined;
    }
    const { isThere } = await this.#change(place, target.id, (stored) => ({ ...stored, id, token, registeredAt: wall.now() }));
    if (!isThere) return undefined;
    counters.targetsReplaced++;
    return `it is ${id} from now on`;
  }

  /** @returns whether the session had that target, and has one that may be pushed to */
  async #change(
    { userId, deviceId }: Place,
    id: string,
    change: (target: PushTarget) => PushTarget,
  ): Promise<{ isThere: boolean; isLeft: boolean }> {
    let isThere = false;
    const record = await this.#parts.records.update(userId, (record) => {
      const session = sessionOf(record, deviceId);
      isThere = session?.targets.some((target) => target.id === id) === true;
      if (session === undefined || !isThere) return undefined;
      const targets = session.targets.map((one) => one.id === id ? change(one) : one);
      return targets.every((one, at) => one === session.targets[at])
        ? undefined
        : { record: withSession(record, { ...session, targets }) };
    });
    return { isThere, isLeft: sessionOf(record, deviceId)?.targets.some(isEnabled) === true };
  }
}
