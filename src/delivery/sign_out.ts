import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import type { Clock } from "../ports/clock.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import type { PushTarget } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import { type Elsewhere, type Nodes, otherNodes } from "./elsewhere.ts";
import type { Outlet } from "./outlet.ts";
import type { PushCancellation } from "./push_requests.ts";
import { sessionOf, type UserRecords, withSession } from "./records.ts";
import type { Roster } from "./roster.ts";
import type { Session } from "./session.ts";

/** What push targets and the end of sessions work with. */
export interface SignOutParts {
  node: string;
  records: UserRecords;
  pushes: PushCancellation;
  providers: readonly PushProvider[];
  roster: Roster;
  elsewhere: Elsewhere;
  actor: SessionActor;
  clock: Clock;
}

/** Where sessions can be pushed to, and what remains of them after the last sign-out: nothing. */
export class SignOut {
  readonly #parts: SignOutParts;

  constructor(parts: SignOutParts) {
    this.#parts = parts;
  }

  /**
   * Makes this token the session's target with that provider. It is taken from whoever had it: a token belongs to one session.
   * @throws {PeykError} `no-provider`, `bad-message` for a token that can't be one of the provider's
   */
  async register(session: Session, provider: string, token: string): Promise<void> {
    const { clock, providers, records } = this.#parts;
    const found = providers.find(({ name }) => name === provider);
    if (found === undefined) throw new PeykError("no-provider", "no push provider of that name here");
    const fault = token.length === 0 || token.length > 4_096
      ? "empty, or longer than 4,096 characters"
      : found.tokenFault?.(token);
    if (fault !== undefined) throw new PeykError("bad-message", `not a token of ${provider}: ${fault}`);
    const target: PushTarget = { id: targetId(provider, token), provider, token, registeredAt: clock.now() };
    const { userId, deviceId } = session;
    for (const holder of await records.store.holders({ targetId: target.id })) {
      await this.#releaseTarget(holder, target.id, holder === userId ? deviceId : undefined);
    }
    await this.#changeTargets(session, (targets) => [...targets.filter((other) => other.provider !== provider), target]);
  }

  /** Removes the session's target with that provider. */
  async unregister(session: Session, provider: string): Promise<void> {
    await this.#changeTargets(session, (targets) => targets.filter((target) => target.provider !== provider));
  }

  /**
   * Ends a user's sessions, or one of them. When it returns, no frame is written and no provider request begins for them.
   * @param last called then, by whoever asks over a connection of the session: it is closed only after that
   * @returns how many sessions ended
   */
  async end(userId: string, deviceId: string | undefined, last?: () => void): Promise<number> {
    const { actor, elsewhere, node, records, roster, pushes } = this.#parts;
    let ended = 0;
    let nodes: Nodes = [];
    const asking: Outlet[] = [];
    await records.exclusively(userId, async () => {
      const matches = (session: { deviceId: string }): boolean => deviceId === undefined || session.deviceId === deviceId;
      await records.updateHeld(userId, (record) => {
        const { leaving = [], staying = [] } = Object.groupBy(record.sessions, (one) => matches(one) ? "leaving" : "staying");
        ended = leaving.length;
        nodes = otherNodes({ ...record, sessions: leaving }, node);
        return ended === 0 ? undefined : { record: { ...record, sessions: staying } };
      });
      if (await pushes.dropNow(deviceId === undefined ? { userId } : { userId, deviceId }, "signed out")) nodes = "all";
      for (const session of [...roster.of(userId)].filter(matches)) {
        for (const { feed } of session.readers) feed.handOut();
        if (last !== undefined && session.outlet !== undefined) {
          asking.push(session.outlet);
          session.outlet = undefined;
        }
        // The machine's answer is "release": the connection is closed, the session is gone from memory.
        actor.raise(session, SessionEvent.signOut);
      }
    });
    try {
      await elsewhere.follow(nodes, userId);
      last?.();
    } finally {
      for (const outlet of asking) outlet.close(CloseCode.signedOut, "signed out");
    }
    return ended;
  }

  async #changeTargets(session: Session, change: (targets: readonly PushTarget[]) => PushTarget[]): Promise<void> {
    const { actor, elsewhere, records, pushes } = this.#parts;
    const { userId, deviceId } = session;
    let nodes: Nodes = [];
    await records.exclusively(userId, async () => {
      let lost: PushTarget[] = [];
      const record = await records.updateHeld(userId, (record) => {
        const stored = sessionOf(record, deviceId);
        // The device may be another attachment's by now, on another node, or another user's.
        if (!session.isStill(stored)) return undefined;
        const targets = change(stored.targets);
        lost = stored.targets.filter(({ id }) => !targets.some((target) => target.id === id));
        return { record: withSession(record, { ...stored, targets }) };
      });
      for (const { id } of lost) {
        if (await pushes.dropNow({ userId, deviceId, targetId: id }, "the target was removed")) nodes = "all";
      }
      const enabled = sessionOf(record, deviceId)?.targets.some(({ disabled }) => disabled === undefined) === true;
      actor.raise(session, enabled ? SessionEvent["target.some"] : SessionEvent["target.none"]);
    });
    await elsewhere.follow(nodes, userId);
  }

  /** Takes a target from every session of a user but one. */
  async #releaseTarget(userId: string, id: string, except: string | undefined): Promise<void> {
    const { actor, elsewhere, node, records, roster, pushes } = this.#parts;
    let nodes: Nodes = [];
    await records.exclusively(userId, async () => {
      const losers: string[] = [];
      const record = await records.updateHeld(userId, (record) => {
        losers.length = 0;
        const sessions = record.sessions.map((session) => {
          if (session.deviceId === except || !session.targets.some((target) => target.id === id)) return session;
          losers.push(session.deviceId);
          return { ...session, targets: session.targets.filter((target) => target.id !== id) };
        });
        return losers.length === 0 ? undefined : { record: { ...record, sessions } };
      });
      if (losers.length > 0) nodes = otherNodes(record, node);
      for (const deviceId of losers) {
        if (await pushes.dropNow({ userId, deviceId, targetId: id }, "the target moved to another session")) nodes = "all";
        const session = roster.find(userId, deviceId);
        const left = sessionOf(record, deviceId)?.targets.some(({ disabled }) => disabled === undefined);
        if (session !== undefined && left !== true) actor.raise(session, SessionEvent["target.none"]);
      }
    });
    await elsewhere.follow(nodes, userId);
  }
}

/**
 * What stands for a token in indexes, rows and explanations. Whoever could make another token with the same name would need to
 * know this one, and could then as well register it.
 */
function targetId(provider: string, token: string): string {
  return fingerprint(`${provider}\0${token}`) + fingerprint(`${token}\0${provider}`);
}
