import type { ErrorCode } from "../protocol/errors.ts";
import type { Topic } from "../protocol/names.ts";
import type { Position } from "../protocol/message.ts";
import type { PushAddress } from "../protocol/target.ts";
import type { AddedRow } from "./outbox.ts";
import type { NamesPage, Page } from "./page.ts";

/** Where a device can be pushed to. */
export interface PushTarget extends PushAddress {
  /** A stable short hash of provider and token: what logs, explanations and indexes use. */
  readonly id: string;
  readonly provider: string;
  /** Milliseconds since 1970. */
  readonly registeredAt: number;
  /** Why and when it was found dead; it stays to be seen. */
  readonly disabled?: { readonly reason: string; readonly at: number };
}

/** How far one session is in one topic. */
export interface Progress {
  readonly epoch: number;
  /** Where this device's reading began: it says nothing about entries up to here. */
  readonly from: number;
  /** The app's handler is done up to here. */
  readonly acked: number;
  /** This device had it in front of a person up to here: no push goes to it for that. Not above `acked`. */
  readonly shown: number;
  /** Entries above `from` that the app's handler gave up on, rising, at most 8. Absent: none. */
  readonly failed?: readonly number[];
  /** The engine has made up its mind about pushing up to here. */
  readonly decided: number;
  /** The subscription was begun anew: entries before `from` are passed over, and the device was not told yet. Absent: no. */
  readonly passedOver?: true;
}

/** What a person has dealt with in one topic, on any device. It holds for one epoch of the log; of another one nothing is known. */
export interface Handled {
  readonly epoch: number;
  /** Marked as read up to here. */
  readonly read: number;
  /** Handled above `read`: (after, to], rising, apart from each other, at most 8. */
  readonly ranges: readonly (readonly [after: number, to: number])[];
  /** What devices acked where the last input was a while ago: handled if there is input at that device in time. One of each, at most 8. */
  readonly unsure?: readonly Unsure[];
}

/** Entries of which it shows later whether a person was there. */
export interface Unsure {
  /** The device's short name. */
  readonly device: string;
  readonly after: number;
  readonly to: number;
  /** Pushes of the user's other devices wait until then. Milliseconds since 1970. */
  readonly until: number;
}

/** One user on one device, as stored. */
export interface SessionRecord {
  readonly deviceId: string;
  /** Counts attachments. */
  readonly generation: number;
  /** The node that holds the session, connected or recent; null: away. */
  readonly node: string | null;
  /**
   * The node has given it up and decides about what is left. Until that is done and `node` is null it counts as away for new entries,
   * and as the node's own should that die. Absent: no.
   */
  readonly leaving?: true;
  /** It has no push target, and is forgotten an hour after it left. Absent: no. */
  readonly temporary?: true;
  /** When `node` last changed. Milliseconds since 1970. */
  readonly changedAt: number;
  readonly targets: readonly PushTarget[];
  /** Requests that this device said, and how they were answered. Absent: none are to be remembered. */
  readonly lines?: DeviceLines;
}

/** What is remembered of a device's requests, so that one that is said again gets the first answer. */
export interface DeviceLines {
  /** At most 16. */
  readonly lines: readonly LineRecord[];
  /** Lines that were used up to here may be forgotten. Milliseconds since 1970. Absent: none. */
  readonly forgottenUpTo?: number;
}

/** One line of requests. */
export interface LineRecord {
  readonly id: string;
  /** Requests up to this number were answered. */
  readonly last: number;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  /** Rising, of the last 32 numbers. */
  readonly answers: readonly LineAnswer[];
}

/** How one request was answered: with a value, or an error. */
export interface LineAnswer {
  readonly number: number;
  /** What it asked for. */
  readonly what: string;
  /** Plain data. */
  readonly value?: unknown;
  readonly error?: {
    readonly code: ErrorCode;
    readonly retryable: boolean;
    readonly retryAfterMs?: number;
    readonly hint?: string;
  };
}

/** How far a user's devices are, and what was dealt with. It moves with every ack, and its size grows with devices times topics. */
export interface Positions {
  /** Like the devices' version, and independent of it. */
  readonly version: number;
  /** By deviceId, which may be any name. A device that does not stand here, or a topic that does not, is as one without a past. */
  readonly progress: Readonly<Record<string, Readonly<Record<Topic, Progress>>>>;
  /** Topics in which something was handled. */
  readonly handled: Readonly<Record<Topic, Handled>>;
}

/**
 * A person. It is stored in two parts with a version each: the devices, which are all fields but `positions`, and the positions. So
 * an ack doesn't write the devices, a sign-in doesn't write what others have acked, and neither is in the other's way.
 */
export interface UserRecord {
  readonly userId: string;
  /**
   * The devices' version; 0: not stored yet. The store sets it on put, to a number that this part of this user never had before: so
   * whoever holds an older one finds out, and a user who was removed and made again is not mistaken for the former one.
   */
  readonly version: number;
  /** The latest of when the user was made, and when a device last attached or left. Milliseconds since 1970. */
  readonly seenAt: number;
  /** Where each subscription began. */
  readonly subscriptions: Readonly<Record<Topic, Position>>;
  readonly sessions: readonly SessionRecord[];
  readonly positions: Positions;
}

/** What a put writes. */
export type UserParts = "devices" | "positions" | "both";

/** The versions of a user's parts. */
export interface UserVersions {
  readonly devices: number;
  readonly positions: number;
}

/**
 * Keeps users.
 *
 * An implementer MUST treat records as values (never change one it was given or has handed out), MUST make `put` one atomic
 * step of the parts that it writes together with the outbox rows, MUST read its own writes and those of every other node that came
 * before, MUST NOT begin the versions of a user at a fixed number, and MUST keep the look-ups in step with `put`. A list that is
 * paged through while it changes MAY name somebody twice, MUST NOT leave out who was on it all the time, and goes on when the last
 * one named has left.
 */
export interface Users {
  /** The positions are at least as new as the devices: with what was put together one is never read without the other. */
  get(userId: string): Promise<UserRecord | undefined>;
  /**
   * The record as this node wrote it last, without asking anybody; undefined: it is not remembered. Others may have written
   * either part since: only a `put` that expects that part finds out. A store that is quick to read leaves this out.
   */
  recent?(userId: string): UserRecord | undefined;
  /**
   * Stores those parts of `record`, adding `rows` to the outbox in the same step. What it writes must be stored with the version
   * that `record` has of it; with rows, both parts must be. Who is not stored yet (version 0 in both) is put as a whole, or the put is
   * refused. Rows whose id the outbox knows are left as they are.
   *
   * @returns the versions that are stored now, of a part that was not written the one that was given; undefined: somebody else was
   * faster, and nothing was changed
   */
  put(record: UserRecord, parts: UserParts, rows?: readonly AddedRow[]): Promise<UserVersions | undefined>;
  /** Forgets both parts of a user if the devices' version is still that one. */
  remove(userId: string, version: number): Promise<boolean>;
  /**
   * Users subscribed to `topic` who have at least one session with `node: null`, or `leaving`, that has a push target which is not
   * disabled: those whom a new entry may be pushed to though no node holds their session.
   */
  pushableMembers(topic: Topic, page: Page): Promise<NamesPage>;
  /** Users who have a session with this deviceId, or a push target with this id. */
  holders(what: { deviceId: string } | { targetId: string }): Promise<string[]>;
  /** Users with `seenAt` before that time. */
  unseenSince(before: number, page: Page): Promise<NamesPage>;
  /**
   * Says for `ms` more milliseconds that this node lives; 0: that it leaves. A store that admits one process at a time drops
   * other nodes' leases at open. A shared one counts a lease as lapsed only when it was at hand all that time: while nobody can
   * renew, nobody is dead.
   */
  lease(node: string, ms: number): Promise<void>;
  /** Nodes with a live lease. */
  liveNodes(): Promise<string[]>;
  /** Users with a session on a node that has no live lease. */
  orphans(page: Page): Promise<NamesPage>;
}
