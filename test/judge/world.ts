import { type Topic, topicOf } from "../../src/protocol/names.ts";
import {
  ACK_TIMEOUT_MS,
  begun,
  type Certainty,
  type Device,
  DRAIN_MS,
  goneBy,
  GRACE_MS,
  type Link,
  NEAR_MS,
  read,
  type Standing,
  tell,
  type Token,
  type User,
} from "./known.ts";
import { ATTENDED_MS } from "./presence.ts";
import { answerTarget, askTarget, begin, change, type Pending, signOut } from "./rights.ts";
import { entryKey, type Heard, type Line } from "./trace.ts";
import type { Trouble } from "./trouble.ts";

/** What failed over it is not known to any connection. */
const NO_CONNECTION = -1;

/** What can be known of people and devices from outside, as a trace goes on. */
export class World {
  readonly users = new Map<string, User>();
  readonly tokens = new Map<string, Token>();
  /** Which device published: by user, topic and id. */
  readonly publishers = new Map<string, string>();
  readonly heads = new Map<Topic, { epoch: number; offset: number }>();
  readonly #links = new Map<number, Link>();
  readonly #pending = new Map<string, Pending>();
  readonly #calls = new Map<number, Extract<Line, { what: "call" }>>();
  readonly trouble: Trouble;
  #downSince: number | undefined;
  /** The node that ended last lost what it had not written. */
  hasLost = false;

  constructor(trouble: Trouble) {
    this.trouble = trouble;
  }

  /** No node runs: what is written now was on its way. */
  get isDown(): boolean {
    return this.#downSince !== undefined;
  }

  link(id: number): Link | undefined {
    return this.#links.get(id);
  }

  user(id: string): User {
    let user = this.users.get(id);
    if (user === undefined) this.users.set(id, user = { id, devices: new Map(), subscriptions: new Map() });
    return user;
  }

  device(userId: string, id: string): Device {
    const { devices } = this.user(userId);
    let device = devices.get(id);
    if (device === undefined) {
      const gone = { at: -Infinity, until: -Infinity, late: -Infinity, sure: true, down: false };
      device = {
        user: userId,
        id,
        link: undefined,
        opening: undefined,
        gone,
        lineages: [],
        token: undefined,
        readings: new Map(),
      };
      devices.set(id, device);
    }
    return device;
  }

  /** What was asked with this answer's ref. */
  asked(connection: number, ref: number | null): Pending | undefined {
    return this.#pending.get(`${connection} ${ref}`);
  }

  call(id: number): Extract<Line, { what: "call" }> | undefined {
    return this.#calls.get(id);
  }

  apply(line: Line): void {
    switch (line.what) {
      case "said":
        return this.#said(line);
      case "heard":
        return this.#heard(line);
      case "closed":
        return this.#closed(line);
      case "appended": {
        const { topic, epoch, offset } = line.entry;
        this.heads.set(topic, { epoch, offset });
        return;
      }
      case "call":
        this.#calls.set(line.call, line);
        return change(line.at, line.name, this.user(line.user), line.topic, undefined);
      case "done": {
        const call = this.#calls.get(line.call)!;
        return change(line.at, call.name, this.user(call.user), call.topic, line.ok);
      }
      case "engine":
        return this.#engine(line.at, line.event);
    }
  }

  /** What a device is, as far as it can be known. */
  standing(device: Device, at: number): Standing {
    const { gone, link, opening } = device;
    const standing = (kind: Standing["kind"], early: number, late: number): Standing => ({ kind, early, late, link });
    if (opening !== undefined) return standing("opening", at, Infinity);
    if (link !== undefined) {
      if (!link.visible) return standing("backgrounded", at, at);
      const late = this.lateness(link, at);
      if (late > NEAR_MS) return standing("suspect", at, at);
      return standing(late < -NEAR_MS ? "live" : "wavering", at, at + ACK_TIMEOUT_MS);
    }
    if (gone.down) return standing("down", at, Infinity);
    if (at >= gone.late + NEAR_MS) return standing("away", at, at);
    return standing("recent", gone.sure ? Math.max(at, gone.until) : at, Math.max(at, gone.late));
  }

  /** By how much the oldest unseen message of a connection is overdue, milliseconds; below zero: it is not. */
  lateness(link: Link, at: number): number {
    const oldest = link.brought[link.seen];
    return oldest === undefined ? -Infinity : at - oldest.at - ACK_TIMEOUT_MS;
  }

  /** Whether the person is at another device. */
  attendedElsewhere(device: Device, at: number): Certainty {
    let answer: Certainty = "no";
    for (const other of this.user(device.user).devices.values()) {
      if (other === device) continue;
      const link = other.link ?? other.opening;
      if (link === undefined || !link.visible || link.lastInput === null) continue;
      const idle = at - link.lastInput - ATTENDED_MS;
      const late = this.lateness(link, at);
      if (idle > NEAR_MS || late > NEAR_MS) continue;
      if (other.opening === undefined && idle < -NEAR_MS && late < -NEAR_MS) return "yes";
      answer = "maybe";
    }
    return answer;
  }

  isSubscribed(user: User, topic: Topic, at: number): Certainty {
    const subscription = user.subscriptions.get(topic);
    if (subscription === undefined || subscription.endedSurely <= at || subscription.beganMaybe > at) return "no";
    return subscription.beganSurely <= at && subscription.endedMaybe > at ? "yes" : "maybe";
  }

  #said({ at, user: userId, device: id, connection, frame, presence }: Extract<Line, { what: "said" }>): void {
    const device = this.device(userId, id);
    const { user } = { user: this.user(userId) };
    if (frame.type === "hello") {
      const link: Link = {
        ...{
          id: connection,
          device,
          welcomed: false,
          visible: presence.visible,
          hiddenAt: -Infinity,
          lastInput: null,
          isLeaving: false,
        },
        ...{ brought: [], seen: 0, cursors: new Map(frame.cursors.map((cursor) => [cursor.topic, cursor])) },
      };
      this.#links.set(connection, link);
      device.opening = link;
      tell(link, presence, at);
      const own = topicOf(userId, "default");
      if (!user.subscriptions.has(own)) user.subscriptions.set(own, begun(at, Infinity));
      return;
    }
    const link = this.#links.get(connection)!;
    if (frame.type === "ack" || frame.type === "state") tell(link, presence, at);
    if (frame.type === "ack") {
      link.seen = Math.max(link.seen, frame.seen);
      for (const { topic, epoch, offset } of frame.cursors) {
        const reading = device.readings.get(topic);
        if (reading?.epoch !== epoch || offset <= reading.acked) continue;
        reading.acked = offset;
        reading.acks.push({ through: offset, at, visible: link.visible });
      }
    } else if (frame.type === "failed") {
      device.readings.get(frame.topic)?.failed.set(frame.offset, connection);
    } else if ("ref" in frame) {
      const pending: Pending = { frame, device };
      this.#pending.set(`${connection} ${frame.ref}`, pending);
      if (frame.type === "publish") this.publishers.set(`${userId}\n${frame.topic}\n${frame.id}`, id);
      if (frame.type === "subscribe" || frame.type === "unsubscribe") change(at, frame.type, user, frame.topic, undefined);
      if (frame.type === "target") askTarget(this.tokens, frame.token, pending, at);
      if (frame.type === "logout") {
        link.isLeaving = true;
        for (const lineage of device.lineages) lineage.endedMaybe = Math.min(lineage.endedMaybe, at);
        // Should no answer come, the device may be a new one when it says hello again: then it says nothing of what it had.
        for (const { acked, failed, from } of device.readings.values()) {
          for (let offset = from + 1; offset <= acked; offset++) if (!failed.has(offset)) failed.set(offset, NO_CONNECTION);
        }
      }
    }
  }

  #heard({ at, user: userId, device: id, connection, frame }: Extract<Line, { what: "heard" }>): void {
    const link = this.#links.get(connection)!;
    const device = this.device(userId, id);
    switch (frame.type) {
      case "message":
        link.brought.push({ key: entryKey(frame), at });
        return;
      case "welcome":
        link.welcomed = true;
        device.opening = undefined;
        device.link = link;
        begin(this.user(userId), topicOf(userId, "default"), at);
        for (const { topic, epoch, offset, recovered } of frame.recovery) {
          const claimed = link.cursors.get(topic);
          read(device, topic, epoch, offset, recovered, claimed?.epoch === epoch ? claimed.offset : 0);
          if (claimed?.epoch === epoch) device.readings.get(topic)!.acked = Math.max(offset, claimed.offset);
        }
        return;
      case "subscribed":
        // Whoever asked may have gone without an answer.
        begin(this.user(userId), frame.topic, at);
        return read(device, frame.topic, frame.epoch, frame.offset, true);
      case "ok":
      case "error":
        return this.#answered(at, connection, frame);
    }
  }

  #answered(at: number, connection: number, frame: Extract<Heard, { type: "ok" | "error" }>): void {
    const pending = this.asked(connection, frame.ref);
    if (pending === undefined) return;
    const { device, frame: asked } = pending;
    const ok = frame.type === "ok";
    // What could not be done now may have been done all the same.
    const isOpen = frame.type === "error" && frame.retryable;
    if (asked.type === "subscribe" || asked.type === "unsubscribe") {
      if (!isOpen) change(at, asked.type, this.user(device.user), asked.topic, ok);
      const value = frame.type === "ok" ? frame.value as { epoch: number; offset: number } | null : null;
      if (asked.type === "subscribe" && value !== null) read(device, asked.topic, value.epoch, value.offset, true);
    } else if (asked.type === "target" && !isOpen) answerTarget(this.tokens, asked.token, pending, at, ok);
    else if (asked.type === "logout" && ok) signOut(device, at);
  }

  /** The provider said that a target is dead. @param surely the engine could write it down */
  targetGone({ lineage }: Token, at: number, surely: boolean): void {
    lineage.endedMaybe = Math.min(lineage.endedMaybe, at);
    if (surely) lineage.endedSurely = Math.min(lineage.endedSurely, at + 1_000);
  }

  #closed({ at, user, device: id, connection, ending, code }: Extract<Line, { what: "closed" }>): void {
    const device = this.device(user, id);
    if (device.opening?.id === connection) {
      device.opening = undefined;
      // It may have had its session for a moment.
      const until = Math.max(device.gone.until, at + GRACE_MS);
      if (device.link === undefined && !device.gone.down) device.gone = { at, until, late: until, sure: false, down: false };
      return;
    }
    const { link } = device;
    if (link?.id !== connection) return;
    device.link = undefined;
    if (code === 4103) signOut(device, at);
    device.gone = goneBy(ending, link, at);
    if (this.#downSince !== undefined) device.gone.down = true;
  }

  #engine(at: number, event: Extract<Line, { what: "engine" }>["event"]): void {
    if (event === "closed") return;
    if (event === "started") {
      for (const { devices } of this.users.values()) {
        for (const { gone } of devices.values()) {
          if (!gone.down) continue;
          gone.down = false;
          gone.until = at + GRACE_MS;
          gone.late = at + GRACE_MS + DRAIN_MS + 1_000;
        }
      }
      this.#downSince = undefined;
      return;
    }
    this.#downSince ??= at;
    this.hasLost = event === "killed" || this.trouble.losesAt(at);
    for (const { devices } of this.users.values()) {
      for (const device of devices.values()) {
        const isThere = device.link !== undefined || device.opening !== undefined;
        // Who left just before a node ended that could not write may not have been written down as away.
        const isUnsure = !isThere && device.gone.late > at - (this.hasLost ? 5_000 : NEAR_MS);
        if (!isThere && !isUnsure) continue;
        const sure = device.opening === undefined && (isThere || (device.gone.sure && device.gone.until - 1_000 > at));
        device.gone = { at, until: Infinity, late: Infinity, sure, down: true };
        device.link = device.opening = undefined;
      }
    }
  }
}
