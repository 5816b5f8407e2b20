import type { Attachments } from "../delivery/attach.ts";
import { progressOf } from "../delivery/places.ts";
import type { SessionActor } from "../delivery/actor.ts";
import type { Anew } from "../delivery/elsewhere.ts";
import { sessionOf, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import type { Subscriptions } from "../delivery/subscriptions.ts";
import { isEnabled } from "../delivery/target.ts";
import { CloseCode } from "../protocol/codes.ts";
import type { Topic } from "../protocol/names.ts";
import type { Logger } from "../ports/logger.ts";
import type { UserRecord } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";

/** What following works with. */
export interface FollowerParts {
  records: UserRecords;
  roster: Roster;
  actor: SessionActor;
  attachments: Attachments;
  subscriptions: Subscriptions;
  logger: Logger;
}

/** Users looked at together when all have to be. */
const WIDTH = 64;

/** Brings the sessions this node holds in line with what other nodes wrote into the store. May repeat: it only looks and follows. */
export class Follower {
  readonly #parts: FollowerParts;
  /** Which record a session's topics began again with, where they did. */
  readonly #begun = new WeakMap<Session, Map<Topic, number>>();
  /** Others took sessions from this node, who knows which. */
  #hasLost = false;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
  }

  /** A newer attachment elsewhere has the session. At once: its connection must not go on beside the newer one. */
  letGo(userId: string, device: string, generation: number): void {
    const { attachments, roster } = this.#parts;
    const session = roster.of(userId).find((session) => session.device === device);
    if (session === undefined || session.generation >= generation) {
      // Its attachment here may be written down and not be through yet.
      return this.heed(userId);
    }
    attachments.lose(session, CloseCode.replaced, "a newer connection took the session");
  }

  /** Follows, and nobody waits for it. */
  heed(userId: string): void {
    const { logger } = this.#parts;
    this.follow(userId).catch((error: unknown) => logger.error("a session's record could not be read", { error }));
  }

  /** Whoever pushes for the user here is in its exclusive section until the request has begun: so none is about to begin after this. */
  async follow(userId: string, anew?: Anew): Promise<void> {
    const { records, roster } = this.#parts;
    await records.exclusively(userId, async () => {
      if (roster.of(userId).length === 0) return;
      const record = await records.store.get(userId);
      for (const session of [...roster.of(userId)]) await this.#follow(session, record, anew);
    });
  }

  /** Sessions were taken from this node: it looks which, soon, and again until it has found out. */
  lost(): void {
    this.#hasLost = true;
  }

  async followLost(): Promise<void> {
    if (!this.#hasLost) return;
    this.#hasLost = false;
    try {
      await this.followAll();
    } catch (error) {
      this.#hasLost = true;
      throw error;
    }
  }

  /** After this node could not be sure for a while that its sessions are its own. */
  async followAll(): Promise<void> {
    const users = [...new Set([...this.#parts.roster].map(({ userId }) => userId))];
    while (users.length > 0) await Promise.all(users.splice(0, WIDTH).map((userId) => this.follow(userId)));
  }

  async #follow(session: Session, record: UserRecord | undefined, anew: Anew | undefined): Promise<void> {
    const { actor, attachments, subscriptions } = this.#parts;
    const stored = record && sessionOf(record, session.deviceId);
    if (record === undefined || stored === undefined) {
      for (const { feed } of session.readers) feed.handOut();
      return actor.raise(session, SessionEvent.signOut);
    }
    if (stored.generation !== session.generation) {
      return attachments.lose(session, CloseCode.replaced, "a newer connection took the session");
    }
    if (stored.node !== session.node) {
      // Another node took it over while this one could not be heard: the client is to come back.
      return attachments.lose(session, CloseCode.drain, "another node holds the session");
    }
    const topics = session.readers.map(({ feed }) => feed.topic);
    for (const topic of topics) if (record.subscriptions[topic] === undefined) subscriptions.end(session, topic, false);
    for (const [topic, start] of Object.entries(record.subscriptions)) {
      const again = topic === anew?.topic && this.#beginsAgain(session, anew);
      if (!again && topics.includes(topic)) continue;
      const progress = progressOf(record, stored, topic);
      // What the device acked of the former subscription may have been written over where the new one begins.
      const { epoch, offset } = start;
      const from = again ? { ...progress, epoch, from: offset, acked: offset, shown: offset } : progress;
      await subscriptions.begin(session, topic, { ...start, recovered: !again || !anew.passes }, from, false);
    }
    const hasTarget = stored.targets.some(isEnabled);
    actor.raise(session, hasTarget ? SessionEvent["target.some"] : SessionEvent["target.none"]);
  }

  /** Whether nobody said so before. */
  #beginsAgain(session: Session, { topic, version }: Anew): boolean {
    let begun = this.#begun.get(session);
    if (begun === undefined) this.#begun.set(session, begun = new Map());
    if ((begun.get(topic) ?? 0) >= version) return false;
    begun.set(topic, version);
    return true;
  }
}
