import { type Attachments, progressOf } from "../delivery/attach.ts";
import type { SessionActor } from "../delivery/actor.ts";
import { sessionOf, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Session } from "../delivery/session.ts";
import type { Subscriptions } from "../delivery/subscriptions.ts";
import { CloseCode } from "../protocol/codes.ts";
import type { Topic } from "../protocol/names.ts";
import type { UserRecord } from "../ports/users.ts";
import { SessionEvent } from "../session/step.ts";

/** What following works with. */
export interface FollowerParts {
  records: UserRecords;
  roster: Roster;
  actor: SessionActor;
  attachments: Attachments;
  subscriptions: Subscriptions;
}

/** Users looked at together when all have to be. */
const WIDTH = 64;

/** Brings the sessions this node holds in line with what other nodes wrote into the store. May repeat: it only looks and follows. */
export class Follower {
  readonly #parts: FollowerParts;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
  }

  /** A newer attachment elsewhere has the session. At once: its connection must not go on beside the newer one. */
  letGo(userId: string, device: string, generation: number): void {
    const { attachments, roster } = this.#parts;
    const session = roster.of(userId).find((session) => session.device === device);
    if (session === undefined || session.generation >= generation) return;
    attachments.dismantle(session, CloseCode.replaced, "a newer connection took the session");
  }

  /** @param anew a topic that begins again */
  async follow(userId: string, anew?: Topic): Promise<void> {
    const { records, roster } = this.#parts;
    await records.exclusively(userId, async () => {
      const record = await records.store.get(userId);
      for (const session of [...roster.of(userId)]) await this.#follow(session, record, anew);
    });
  }

  /** After this node could not be sure for a while that its sessions are its own. */
  async followAll(): Promise<void> {
    const users = [...new Set([...this.#parts.roster].map(({ userId }) => userId))];
    while (users.length > 0) await Promise.all(users.splice(0, WIDTH).map((userId) => this.follow(userId)));
  }

  async #follow(session: Session, record: UserRecord | undefined, anew: Topic | undefined): Promise<void> {
    const { actor, attachments, subscriptions } = this.#parts;
    const stored = record && sessionOf(record, session.deviceId);
    if (record === undefined || stored === undefined) {
      for (const { feed } of session.readers) feed.handOut();
      return actor.raise(session, SessionEvent.signOut);
    }
    if (stored.generation !== session.generation) {
      return attachments.dismantle(session, CloseCode.replaced, "a newer connection took the session");
    }
    if (stored.node !== session.node) {
      // Another node took it over while this one could not be heard: the client is to come back.
      return attachments.dismantle(session, CloseCode.drain, "another node holds the session");
    }
    const topics = session.readers.map(({ feed }) => feed.topic);
    for (const topic of topics) if (record.subscriptions[topic] === undefined) subscriptions.end(session, topic, false);
    for (const [topic, start] of Object.entries(record.subscriptions)) {
      if (topic !== anew && topics.includes(topic)) continue;
      await subscriptions.begin(session, topic, start, progressOf(record, stored, topic), false);
    }
    const hasTarget = stored.targets.some(({ disabled }) => disabled === undefined);
    actor.raise(session, hasTarget ? SessionEvent["target.some"] : SessionEvent["target.none"]);
  }
}
