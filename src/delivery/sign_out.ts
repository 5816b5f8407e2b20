import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import { checkDetails, type PushAddress } from "../protocol/target.ts";
import type { Clock } from "../ports/clock.ts";
import type { CancelMatch } from "../ports/outbox.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import type { Positions, PushTarget, SessionRecord } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import { type Elsewhere, type Nodes, otherNodes } from "./elsewhere.ts";
import type { Outlet } from "./outlet.ts";
import type { PushCancellation, Registered } from "./push_requests.ts";
import { withProgressHere, withProgressOf } from "./progress.ts";
import { sessionOf, type UserRecords, withHandledIn, withoutDevices, withPositionsMoved, withSession } from "./records.ts";
import type { Roster } from "./roster.ts";
import { deviceName, type Session } from "./session.ts";
import { withStartsBehind } from "./starts.ts";
import { faultOf, isEnabled, placeOf, tokenId } from "./target.ts";

/** What push targets and the end of sessions work with. */
export interface SignOutParts {
  node: string;
  records: UserRecords;
  pushes: PushCancellation;
  registered: Registered;
  providers: readonly PushProvider[];
  roster: Roster;
  elsewhere: Elsewhere;
  actor: SessionActor;
  /**
   * Nothing that waits on this node for that user (on that device, by its short name) has an effect any more.
   * @param before connections as new as this one, and newer, are let in all the same
   */
  forbid(userId: string, device: string | undefined, before?: Outlet): void;
  clock: Clock;
  /** What the services' clocks say. */
  wall: Clock;
}

/** A target that a client registers. */
export interface NewTarget {
  provider: string;
  token: string;
  /** What the client said of it, unchecked. */
  details: unknown;
}

/** The session as it is stored with a change of its targets: with the answer to who asked for it. */
export type Remember = (stored: SessionRecord) => SessionRecord;

/** Which of a user's sessions end, and what goes with them. */
interface Ending {
  matches(session: { deviceId: string }): boolean;
  /** Asked before the record is written. A throw: it is not. */
  check?(): void;
  /** The pushes that are dropped. */
  drops(gone: readonly SessionRecord[]): CancelMatch[];
  /** The record is written: inside the user's section, before anything else happens there. */
  written(): void;
  /** Gets the connections that the caller closes itself. */
  asking: Outlet[] | undefined;
}

/** Where sessions can be pushed to, and what remains of them after the last sign-out: nothing. */
export class SignOut {
  readonly #parts: SignOutParts;

  constructor(parts: SignOutParts) {
    this.#parts = parts;
  }

  /**
   * Makes this token the session's target with that provider. It is taken from whoever had it: a token belongs to one session.
   * @param remember the session as it is stored with it
   * @throws {PeykError} `unsupported` of a temporary device, `no-provider`, `no-app`, `bad-message` for what can't be a target of the provider
   */
  async register(session: Session, { provider, token, details }: NewTarget, remember: Remember): Promise<void> {
    const { providers, records, registered, wall } = this.#parts;
    if (session.isTemporary) {
      throw new PeykError("unsupported", "a temporary device takes no push target", {
        hint:
          "Its deviceId is kept nowhere: nobody could release the target. Say hello without `temporary` for one that is kept.",
      });
    }
    const found = providers.find(({ name }) => name === provider);
    if (found === undefined) throw new PeykError("no-provider", "no push provider of that name here");
    const address: PushAddress = { ...checkDetails(details), token };
    if (found.apps !== undefined && !found.apps.includes(address.app!)) {
      throw new PeykError("no-app", `not an app that ${provider} is set up for`, {
        hint: "Register with the `app` of this build.",
      });
    }
    const fault = token.length === 0 || token.length > 4_096 ? "empty, or longer than 4,096 characters" : faultOf(found, address);
    if (fault !== undefined) throw new PeykError("bad-message", `not a target of ${provider}: ${fault}`);
    const target: PushTarget = { ...address, id: tokenId(provider, token), provider, registeredAt: wall.now() };
    const { userId, deviceId } = session;
    for (const holder of await records.store.holders({ targetId: target.id })) {
      session.checkSignedIn();
      await this.#releaseTarget(holder, target, holder === userId ? deviceId : undefined);
    }
    // What waits for a token that is replaced goes to the new one: it is the same place.
    let former: PushTarget | undefined;
    await this.#changeTargets(session, (targets) => {
      former = targets.find((other) => other.provider === provider);
      return [...targets.filter((other) => other !== former), target];
    }, remember);
    const isAnother = former !== undefined && former.id !== target.id;
    registered({ provider, targetId: placeOf(userId, deviceId, provider), userId }, isAnother);
  }

  /** Removes the session's target with that provider. */
  async unregister(session: Session, provider: string, remember: Remember): Promise<void> {
    await this.#changeTargets(session, (targets) => targets.filter((target) => target.provider !== provider), remember);
  }

  /**
   * Ends a user's sessions, or one of them. When it returns, no frame is written and no provider request begins for them, and whoever
   * said hello before, or asked for something, and was still waiting, waits in vain.
   * @param last called then, by whoever asks over a connection of the session: it is closed only after that
   * @returns how many sessions ended
   */
  async end(userId: string, deviceId: string | undefined, last?: () => void): Promise<number> {
    const { elsewhere, forbid } = this.#parts;
    const device = deviceId === undefined ? undefined : deviceName(deviceId);
    const asking: Outlet[] = [];
    const { ended, nodes } = await this.#end(userId, {
      matches: (session) => deviceId === undefined || session.deviceId === deviceId,
      drops: () => [deviceId === undefined ? { userId } : { userId, deviceId }],
      written: () => forbid(userId, device),
      asking: last && asking,
    });
    try {
      // Of all devices one may be saying hello on a node that the record does not name.
      await elsewhere.signedOut(deviceId === undefined ? "all" : nodes, userId, device);
      last?.();
    } finally {
      for (const outlet of asking) outlet.close(CloseCode.signedOut, "signed out");
    }
    return ended;
  }

  /**
   * Ends all users' sessions on a device, as `end` does, for a hello that tells of a sign-out which could not be said when it was made.
   * Connections as new as the one that hello came on, and newer, are not meant: it may be their own device.
   * @throws {PeykError} `closed`: that connection is gone. It is said again on the next one, so nothing more is done on its behalf
   */
  async endBefore(asker: Outlet, own: Pick<SessionRecord, "deviceId">, deviceId: string): Promise<void> {
    const { elsewhere, forbid, records, roster } = this.#parts;
    const device = deviceName(deviceId);
    for (const userId of await records.store.holders({ deviceId })) {
      const { nodes } = await this.#end(userId, {
        matches: (session) => session.deviceId === deviceId && !isNewer(roster.find(userId, deviceId), asker),
        check() {
          if (!asker.isOpen) throw new PeykError("closed", "the connection was gone before it was its turn");
        },
        drops: (gone) => gone.map(() => ({ userId, deviceId })),
        written: () => forbid(userId, device, asker),
        asking: undefined,
      });
      // A hello on another node with the device's own name may be newer. What the record has is looked at there.
      if (deviceId === own.deviceId) await elsewhere.follow(nodes, userId);
      else await elsewhere.signedOut(nodes, userId, device);
    }
  }

  /**
   * Another node signs a user out. Whoever was let in on this one before it heard of that, and after the record was read there, goes
   * too; those whom the record does not have any more are the follower's.
   * @param device its short name; undefined: all devices
   */
  async endHere(userId: string, device: string | undefined): Promise<void> {
    const { elsewhere, forbid, records, roster } = this.#parts;
    const known = new Set(roster.of(userId));
    forbid(userId, device);
    const matches: Ending["matches"] = ({ deviceId }) => {
      const session = roster.find(userId, deviceId);
      if (session === undefined || (device !== undefined && session.device !== device)) return false;
      // Of one that was being let in the connection has just been closed.
      return known.has(session) || session.outlet === undefined;
    };
    // That one may be on its way.
    await records.exclusively(userId, () => Promise.resolve());
    if (!roster.of(userId).some(matches)) return;
    const { nodes } = await this.#end(userId, {
      matches,
      drops: (gone) => gone.map(({ deviceId }) => ({ userId, deviceId })),
      written() {},
      asking: undefined,
    });
    await elsewhere.follow(nodes, userId);
  }

  async #end(
    userId: string,
    { matches, check, drops, written: isWritten, asking }: Ending,
  ): Promise<{ ended: number; nodes: Nodes }> {
    const { actor, clock, node, records, roster, pushes } = this.#parts;
    let ended = 0;
    let nodes: Nodes = [];
    await records.exclusively(userId, async () => {
      const here = roster.of(userId).filter(matches);
      const told = (): string => here.flatMap(({ readers }) => readers.map(({ acked, handled }) => `${acked} ${handled}`)).join();
      let written = told();
      let gone: readonly SessionRecord[] = [];
      let known: Positions["progress"] = {};
      await records.updateHeld(userId, (stored) => {
        const record = withProgressHere(stored, roster);
        gone = record.sessions.filter(matches);
        known = record.positions.progress;
        nodes = otherNodes({ ...record, sessions: gone }, node);
        check?.();
        if (gone.length === 0) return undefined;
        return { record: { ...withoutDevices(withStartsBehind(record, gone), matches), seenAt: clock.now() } };
      });
      isWritten();
      ended = gone.length;
      // What was acked while this was written counts too.
      while (ended > 0 && told() !== written) {
        written = told();
        await records.updateHeld(userId, (stored) => {
          const positions = { ...stored.positions, progress: { ...stored.positions.progress, ...known } };
          const record = withProgressHere({ ...stored, sessions: [...gone, ...stored.sessions], positions }, roster);
          const { subscriptions } = withStartsBehind(record, record.sessions.filter(matches));
          return { record: withHandledIn({ ...stored, subscriptions }, record.positions.handled) };
        });
      }
      for (const session of [...roster.of(userId)].filter(matches)) {
        for (const { feed } of session.readers) feed.handOut();
        if (asking !== undefined && session.outlet !== undefined) {
          asking.push(session.outlet);
          session.outlet = undefined;
        }
        // The machine's answer is "release": the connection is closed, the session is gone from memory.
        actor.raise(session, SessionEvent.signOut);
      }
      // Last: should it fail, nothing is written to these sessions any more, and the last look drops what no session has a target for.
      for (const match of drops(gone)) if (await pushes.dropNow(match, "signed out")) nodes = "all";
    });
    return { ended, nodes };
  }

  async #changeTargets(
    session: Session,
    change: (targets: readonly PushTarget[]) => PushTarget[],
    remember: Remember,
  ): Promise<void> {
    const { actor, elsewhere, records, pushes } = this.#parts;
    const { userId, deviceId } = session;
    let nodes: Nodes = [];
    await records.exclusively(userId, async () => {
      let lost: PushTarget[] = [];
      const record = await records.updateHeld(userId, (record) => {
        const stored = sessionOf(record, deviceId);
        // The device may be another attachment's by now, on another node, or another user's.
        session.checkStill(stored);
        const targets = change(stored.targets);
        lost = stored.targets.filter(({ provider }) => !targets.some((target) => target.provider === provider));
        const changed = withSession(record, remember({ ...stored, targets }));
        if (stored.targets.some(isEnabled) || !targets.some(isEnabled)) return { record: changed };
        // A first target gets what is appended from now on: about all before that the mind is made up.
        for (const reader of session.readers) reader.decided = Math.max(reader.decided, reader.feed.head.offset);
        // From now on what a person does at the user's other devices is to be told.
        return { record: withPositionsMoved(withProgressOf(changed, session)) };
      });
      for (const { provider } of lost) {
        const targetId = placeOf(userId, deviceId, provider);
        if (await pushes.dropNow({ userId, deviceId, targetId }, "the target was removed")) nodes = "all";
      }
      const enabled = sessionOf(record, deviceId)?.targets.some(isEnabled) === true;
      actor.raise(session, enabled ? SessionEvent["target.some"] : SessionEvent["target.none"]);
    });
    await elsewhere.follow(nodes, userId);
  }

  /** Takes a target from every session of a user but one. */
  async #releaseTarget(userId: string, { id, provider }: PushTarget, except: string | undefined): Promise<void> {
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
        const targetId = placeOf(userId, deviceId, provider);
        if (await pushes.dropNow({ userId, deviceId, targetId }, "the target moved to another session")) nodes = "all";
        const session = roster.find(userId, deviceId);
        const left = sessionOf(record, deviceId)?.targets.some(isEnabled);
        if (session !== undefined && left !== true) actor.raise(session, SessionEvent["target.none"]);
      }
    });
    await elsewhere.follow(nodes, userId);
  }
}

/** Whether a session has a connection that came after that one. */
function isNewer(session: Session | undefined, { order }: Outlet): boolean {
  return session?.outlet !== undefined && session.outlet.order > order;
}
