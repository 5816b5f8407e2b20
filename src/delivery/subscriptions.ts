import { encodeServerFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { Position } from "../protocol/message.ts";
import { DEFAULT_CHANNEL, isPublic, ownerOf, type Topic, topicOf } from "../protocol/names.ts";
import type { Progress, SessionRecord, UserRecord } from "../ports/users.ts";
import type { SessionActor } from "./actor.ts";
import type { CatchUp } from "./catch_up.ts";
import { type Anew, type Elsewhere, type Nodes, otherNodes } from "./elsewhere.ts";
import type { SubscriptionChange } from "./events.ts";
import { Exclusive } from "./exclusive.ts";
import type { Hub } from "./hub.ts";
import type { AwayDecisions } from "./leave.ts";
import type { PushCancellation } from "./push_requests.ts";
import { progressOf } from "./places.ts";
import { progressIn, sessionOf, type UserRecords, withSession } from "./records.ts";
import type { Roster } from "./roster.ts";
import { Reader, type Session } from "./session.ts";

/** What subscriptions work with. */
export interface SubscriptionParts {
  node: string;
  records: UserRecords;
  pushes: PushCancellation;
  away: AwayDecisions;
  hub: Hub;
  roster: Roster;
  elsewhere: Elsewhere;
  actor: SessionActor;
  catchUp: CatchUp;
  /** A write had no answer: what the sessions here read may not be what the store says. */
  strayed(userId: string): void;
  /** What is stored now. */
  changed(change: Omit<SubscriptionChange, "at">): void;
  /** Topics that one user may be subscribed to. */
  maxTopics: number;
}

/** The session whose client asked. */
export interface Asked {
  session: Session;
  /** Called with where the subscription begins, before anything of it is written. */
  answer(value: unknown): void;
  /** The session as it is stored with what the request changes: with the answer, so that a repeat of it gets it too. */
  remember(stored: SessionRecord, value: unknown): SessionRecord;
}

/** The session that asked for the end of a subscription. */
export interface AskedToEnd {
  session: Session;
  /** The session as it is stored with that: with the answer. */
  remember(stored: SessionRecord): SessionRecord;
}

/** Where a subscription begins, and whether what was before it is passed over for good. */
export interface Start extends Position {
  readonly recovered: boolean;
}

/** How to begin. */
export interface Beginning {
  /** Where to begin; undefined: with what comes from now on. */
  since: Position | undefined;
  /** Also when the user is subscribed already. */
  anew?: boolean | undefined;
}

/** Subscriptions belong to the user: all devices, present and future. */
export class Subscriptions {
  readonly #parts: SubscriptionParts;
  /** The last one that was told: a server that lets many into a room tells all of them the same. */
  #told: { readonly topic: Topic; readonly start: Start; readonly frame: Uint8Array } | undefined;
  /** A user's changes of one topic take effect in the order in which they were asked for. */
  readonly #turns = new Exclusive();

  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
  }

  /**
   * Begins to read a topic. Of one that the user reads already nothing changes, unless it is to begin anew: then all devices begin
   * there, and what waits to be pushed of it is dropped.
   *
   * @param asked who asked; it is answered before the first entry, so that it knows where that belongs
   * @returns where it begins
   * @throws {PeykError} `forbidden` for somebody else's private topic, `too-many`
   */
  subscribe(userId: string, topic: Topic, beginning: Beginning, asked?: Asked): Promise<Position> {
    return this.#turns.run(`${userId}\n${topic}`, () => this.#subscribe(userId, topic, beginning, asked));
  }

  async #subscribe(userId: string, topic: Topic, { since, anew = false }: Beginning, asked?: Asked): Promise<Position> {
    const { away, elsewhere, hub, node, pushes, records, roster, strayed } = this.#parts;
    if (!isPublic(topic) && ownerOf(topic) !== userId) {
      throw new PeykError("forbidden", "a private topic of another user", {
        hint: "Rooms for several people are public channels.",
      });
    }
    const feed = await hub.open(topic);
    let nodes: Nodes = [];
    let begun: Anew | undefined;
    try {
      const start = await records.exclusively(userId, async () => {
        let isKnown = false;
        const record = await records.updateHeld(userId, (record) => {
          const stored = asked && sessionOf(record, asked.session.deviceId);
          asked?.session.checkStill(stored);
          isKnown = record.subscriptions[topic] !== undefined;
          if (isKnown && !anew) return undefined;
          const begun = this.#begun(record, topic, since, feed.head);
          if (asked === undefined) return { record: begun };
          const start: Start = { ...begun.subscriptions[topic]!, recovered: !isKnown };
          return { record: withSession(begun, asked.remember(stored!, start)) };
        });
        const passes = isKnown && anew;
        if (!isKnown || anew) {
          const { epoch, offset } = record.subscriptions[topic]!;
          this.#parts.changed({ kind: "subscribed", userId, topic, begins: { epoch, offset }, device: asked?.session.device });
          nodes = otherNodes(record, node);
          begun = { topic, version: record.version, passes };
          if (passes && await pushes.dropNow({ userId, topic }, "subscribed anew")) nodes = "all";
        }
        const start: Start = { ...record.subscriptions[topic]!, recovered: !passes };
        asked?.answer(start);
        // As they are now: one that leaves meanwhile must not hide the next one.
        for (const session of [...roster.of(userId)]) {
          if (isKnown && !anew && session.reader(topic) !== undefined) continue;
          const progress = progressOf(record, sessionOf(record, session.deviceId), topic);
          await this.begin(session, topic, start, progress, session === asked?.session);
        }
        return record.subscriptions[topic]!;
      });
      if (begun !== undefined) {
        await elsewhere.follow(nodes, userId, begun);
        await away.decideBegun(userId, topic);
      }
      return start;
    } catch (error) {
      strayed(userId);
      throw error;
    } finally {
      hub.release(feed);
    }
  }

  /** The record with a subscription that begins now, for all devices. */
  #begun(record: UserRecord, topic: Topic, since: Position | undefined, head: Position): UserRecord {
    const { maxTopics } = this.#parts;
    if (record.subscriptions[topic] === undefined && Object.keys(record.subscriptions).length >= maxTopics) {
      throw new PeykError("too-many", "too many subscriptions", { hint: `A user may have ${maxTopics}.` });
    }
    // The beginning is the same place in every life of the log, and nothing begins beyond the head: what comes would be skipped.
    const isHere = since === undefined || since.offset === 0 || since.epoch === head.epoch;
    const start: Position = isHere ? { epoch: head.epoch, offset: Math.min(since?.offset ?? Infinity, head.offset) } : since;
    const { offset } = start;
    // What is in the log already is there to be read, not to be pushed.
    const progress: Progress = { epoch: start.epoch, from: offset, acked: offset, shown: offset, decided: head.offset };
    const begun: Progress = record.subscriptions[topic] === undefined ? progress : { ...progress, passedOver: true };
    const each = record.sessions.map(({ deviceId }) => [deviceId, { ...progressIn(record, deviceId), [topic]: begun }] as const);
    const positions = {
      ...record.positions,
      progress: Object.fromEntries(each),
      handled: without(record.positions.handled, topic),
    };
    return { ...record, subscriptions: { ...record.subscriptions, [topic]: start }, positions };
  }

  /**
   * Ends a subscription. When it returns, nothing of the topic is written or pushed to this user any more.
   * @param by whose client asked
   * @throws {PeykError} `forbidden` for the user's own `default` channel
   */
  unsubscribe(userId: string, topic: Topic, by?: AskedToEnd): Promise<void> {
    return this.#turns.run(`${userId}\n${topic}`, () => this.#unsubscribe(userId, topic, by));
  }

  async #unsubscribe(userId: string, topic: Topic, by?: AskedToEnd): Promise<void> {
    const { changed, elsewhere, node, pushes, records, roster, strayed } = this.#parts;
    let nodes: Nodes = [];
    let wasKnown = false;
    if (topic === topicOf(userId, DEFAULT_CHANNEL)) {
      throw new PeykError("forbidden", "a user's own default channel can't be left");
    }
    await records.exclusively(userId, async () => {
      const record = await records.updateHeld(userId, (record) => {
        const stored = by && sessionOf(record, by.session.deviceId);
        by?.session.checkStill(stored);
        wasKnown = record.subscriptions[topic] !== undefined;
        if (!wasKnown) return undefined;
        const subscriptions = without(record.subscriptions, topic);
        const handled = without(record.positions.handled, topic);
        const each = record.sessions.map(({ deviceId }) => {
          return [deviceId, without(progressIn(record, deviceId), topic)] as const;
        });
        const positions = { ...record.positions, progress: Object.fromEntries(each), handled };
        const ended = { ...record, subscriptions, positions };
        return { record: by === undefined ? ended : withSession(ended, by.remember(stored!)) };
      });
      if (wasKnown) changed({ kind: "unsubscribed", userId, topic, begins: undefined, device: by?.session.device });
      nodes = otherNodes(record, node);
      for (const session of roster.of(userId)) this.end(session, topic, session === by?.session);
      if (await pushes.dropNow({ userId, topic }, "unsubscribed")) nodes = "all";
    }).catch((error: unknown) => {
      strayed(userId);
      throw error;
    });
    await elsewhere.follow(nodes, userId);
  }

  /**
   * Lets a session read a topic, from where the store says.
   * @param asked its client asked for it, and has its answer
   */
  async begin(session: Session, topic: Topic, start: Start, progress: Progress, asked: boolean): Promise<void> {
    const { catchUp, hub, roster } = this.#parts;
    const feed = await hub.open(topic);
    // Another node may have taken the session over meanwhile: nobody would release what it gets now.
    if (roster.find(session.userId, session.deviceId) !== session) return hub.release(feed);
    const former = this.#leave(session, topic);
    const reader = new Reader(session, feed, progress);
    // What the device confirms of its former subscription may still be on its way.
    reader.sentBefore = former?.epoch === reader.epoch ? Math.max(former.sent, former.sentBefore) : 0;
    // What is pushed to grows by room for 17.
    session.readers = session.readers.concat(reader);
    reader.attachedAt = reader.feed.head.offset;
    reader.feed.join(reader);
    if (!asked) session.outlet?.write(this.#subscribed(topic, start));
    catchUp.resume(session);
  }

  #subscribed(topic: Topic, start: Start): Uint8Array {
    const { epoch, offset, recovered } = start;
    const told = this.#told;
    const isSame = told?.topic === topic && told.start.epoch === epoch && told.start.offset === offset &&
      told.start.recovered === recovered;
    if (isSame) return told.frame;
    const frame = encodeServerFrame({ type: "subscribed", topic, ...start });
    this.#told = { topic, start, frame };
    return frame;
  }

  /** When it returns, nothing of the topic is written to this session any more. */
  end(session: Session, topic: Topic, asked: boolean): void {
    this.#leave(session, topic);
    session.pushed?.forget(topic);
    if (!asked) session.outlet?.write(encodeServerFrame({ type: "unsubscribed", topic }));
    session.outlet?.flush();
  }

  #leave(session: Session, topic: Topic): Reader | undefined {
    const reader = session.reader(topic);
    if (reader === undefined) return undefined;
    reader.feed.handOut();
    this.#parts.actor.separate(session);
    session.readers.splice(session.readers.indexOf(reader), 1);
    reader.feed.leave(reader);
    this.#parts.hub.release(reader.feed);
    return reader;
  }
}

/** The same object where the topic is not in it: mostly nothing was handled. */
function without<Value>(byTopic: Readonly<Record<Topic, Value>>, topic: Topic): Readonly<Record<Topic, Value>> {
  if (!Object.hasOwn(byTopic, topic)) return byTopic;
  const { [topic]: _, ...others } = byTopic;
  return others;
}
