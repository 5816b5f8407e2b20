import { createHash } from "node:crypto";
import type { UserRecord } from "../../src/ports/users.ts";
import { isPublic } from "../../src/protocol/names.ts";
import { tokenOf } from "../nats/subjects.ts";
import { digest, type Draft, fromBytes, type Stored, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { type Versioned, writesAfter } from "./versions.ts";

/** How long a removed user's last document stays: longer than a write may be under way that still expects it. */
const GONE_SECONDS = 3_600;
/** The least that a server keeps. */
const TOMBSTONE_SECONDS = 1;
/** What `seen` look-ups are gathered by. */
const WEEK_MS = 7 * 24 * 3600_000;
const LAST_WEEK = 5_199;

/** A user as stored: what is needed to write the next version. */
export interface UserDocument extends Versioned {
  /** Undefined: was removed. */
  readonly record: UserRecord | undefined;
}

const NONE: UserDocument = { record: undefined, writes: [], seq: 0 };

export function readDocument(stored: Stored | undefined): UserDocument {
  if (stored === undefined) return NONE;
  const { record, writes } = fromBytes(stored.bytes) as { record?: UserRecord; writes: string[] };
  return { record: record && { ...record, version: stored.seq }, writes, seq: stored.seq };
}

/** The document that follows `before`. */
export function draftDocument(
  stream: StateStream,
  before: Versioned,
  write: string,
  userId: string,
  record: UserRecord | undefined,
): Draft {
  const bytes = toBytes({ record: record && { ...record, version: undefined }, writes: writesAfter(before, write) });
  const draft = { subject: documentSubject(stream, userId), bytes, expected: before.seq };
  return record === undefined ? { ...draft, ttl: GONE_SECONDS } : draft;
}

export function documentSubject({ prefix }: StateStream, userId: string): string {
  return `${prefix}.u.${tokenOf(userId)}`;
}

// Look-ups are subjects of their own with the user at the end, written in one step with the document. They say who may be meant,
// the record decides: one that was taken off a look-up leaves an empty document there for a moment.

/** Who is away in a topic. */
export function awayPrefix({ prefix }: StateStream, topic: string): string {
  return `${prefix}.a.${digest(topic)}`;
}

export function nodePrefix({ prefix }: StateStream, node: string): string {
  return `${prefix}.n.${digest(node)}`;
}

export function devicePrefix({ prefix }: StateStream, deviceId: string): string {
  return `${prefix}.d.${digest(deviceId)}`;
}

export function targetPrefix({ prefix }: StateStream, targetId: string): string {
  return `${prefix}.t.${digest(targetId)}`;
}

/** Who was last seen in a week. */
export function seenPrefix({ prefix }: StateStream, week: number): string {
  return `${prefix}.s.${week}`;
}

export function weekOf(time: number): number {
  return Math.min(Math.max(Math.floor(time / WEEK_MS), 0), LAST_WEEK);
}

/** Which look-ups a user stands in. */
export function lookUps(stream: StateStream, record: UserRecord | undefined): ReadonlySet<string> {
  const subjects = new Set<string>();
  if (record === undefined) return subjects;
  const { userId, sessions, seenAt, subscriptions } = record;
  const user = placeOf(userId);
  subjects.add(`${seenPrefix(stream, weekOf(seenAt))}.${user}`);
  if (sessions.some(({ leaving, node }) => node === null || leaving)) {
    for (const topic of Object.keys(subscriptions)) {
      // Nobody asks who is away in a private one: its owner alone reads it.
      if (isPublic(topic)) subjects.add(`${awayPrefix(stream, topic)}.${user}`);
    }
  }
  for (const { node, deviceId, targets } of sessions) {
    if (node !== null) subjects.add(`${nodePrefix(stream, node)}.${user}`);
    subjects.add(`${devicePrefix(stream, deviceId)}.${user}`);
    for (const { id } of targets) subjects.add(`${targetPrefix(stream, id)}.${user}`);
  }
  return subjects;
}

/** Where a name stands within a look-up: large ones are read in parts, of 16, 256 or 4,096. */
export function placeOf(name: string): string {
  const [a, b, c] = createHash("sha256").update(name).digest("hex");
  return `${a}.${b}.${c}.${tokenOf(name)}`;
}

/** What the look-ups change from one version to the next. */
export function draftLookUps(before: ReadonlySet<string>, after: ReadonlySet<string>): Draft[] {
  const drafts: Draft[] = [];
  for (const subject of after) if (!before.has(subject)) drafts.push({ subject, bytes: HERE });
  for (const subject of before) if (!after.has(subject)) drafts.push({ subject, bytes: GONE, ttl: TOMBSTONE_SECONDS });
  return drafts;
}

const HERE = new Uint8Array([1]);
const GONE = new Uint8Array();
