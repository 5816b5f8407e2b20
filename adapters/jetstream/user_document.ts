import { createHash } from "node:crypto";
import type { Positions, SessionRecord, UserRecord } from "../../src/ports/users.ts";
import { isPublic } from "../../src/protocol/names.ts";
import { tokenOf } from "../nats/subjects.ts";
import { digest, type Draft, fromBytes, type Stored, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import type { Versioned } from "./versions.ts";

/** How long a removed user's last document stays: longer than a write may be under way that still expects it. */
const GONE_SECONDS = 3_600;
/** The least that a server keeps. */
const TOMBSTONE_SECONDS = 1;
/** What `seen` look-ups are gathered by. */
const WEEK_MS = 7 * 24 * 3600_000;
const LAST_WEEK = 5_199;

type Devices = Omit<UserRecord, "version" | "positions">;
type Moved = Omit<Positions, "version">;

/** The devices of a user, as stored. */
export interface DevicesDocument extends Versioned {
  /** Undefined: the user was removed. */
  readonly devices: Devices | undefined;
  /** The positions that belong to them are not older than this sequence. */
  readonly since: number;
}

/** A user's positions, as stored. */
export interface PositionsDocument extends Versioned {
  /** Undefined: the user was removed. */
  readonly positions: Moved | undefined;
}

/** A user as stored: what is needed to write the next version of either part. */
export interface UserDocuments {
  readonly devices: DevicesDocument;
  readonly positions: PositionsDocument;
}

/** What a user takes in memory, bytes, about. */
export function bytesOf({ devices: { devices }, positions: { positions } }: UserDocuments): number {
  const topics = Object.keys(devices?.subscriptions ?? {}).length + Object.keys(positions?.handled ?? {}).length;
  const places = Object.values(positions?.progress ?? {}).reduce((sum, progress) => sum + Object.keys(progress).length, 0);
  const targets = devices?.sessions.flatMap(({ targets }) => targets) ?? [];
  const targetBytes = targets.reduce((sum, { token }) => sum + 600 + token.length, 0);
  const answers =
    devices?.sessions.flatMap(({ lines }) => lines?.lines ?? []).reduce((sum, line) => sum + 1 + line.answers.length, 0) ?? 0;
  return 1_500 + (devices?.sessions.length ?? 0) * 400 + targetBytes + topics * 200 + places * 200 + answers * 400;
}

/** Reads both documents at once. What was written together is not read in part. */
export async function readUser(stream: StateStream, userId: string): Promise<UserDocuments> {
  const read = async (): Promise<PositionsDocument> => readPositions(await stream.read(positionsSubject(stream, userId)));
  const [stored, positions] = await Promise.all([stream.read(devicesSubject(stream, userId)), read()]);
  const devices = readDevices(stored);
  return { devices, positions: positions.seq < devices.since ? await read() : positions };
}

export function recordOf(
  { devices: { devices, seq }, positions: { positions, seq: moved } }: UserDocuments,
): UserRecord | undefined {
  return devices && positions && { ...devices, version: seq, positions: { ...positions, version: moved } };
}

function readDevices(stored: Stored | undefined): DevicesDocument {
  if (stored === undefined) return { devices: undefined, writes: [], seq: 0, since: 0 };
  const { seq } = stored;
  // Positions that are written in the same step stand right before.
  const { devices, writes, since = seq - 1 } = fromBytes(stored.bytes) as { devices?: Devices; writes: string[]; since?: number };
  return { devices, writes, seq, since };
}

function readPositions(stored: Stored | undefined): PositionsDocument {
  if (stored === undefined) return { positions: undefined, writes: [], seq: 0 };
  const { positions, writes } = fromBytes(stored.bytes) as { positions?: Moved; writes: string[] };
  return { positions, writes, seq: stored.seq };
}

/** What of a record stands in which document. */
export function partsOf({ version: _, positions: { version: __, ...positions }, ...devices }: UserRecord): [Devices, Moved] {
  return [devices, positions];
}

/** @param since undefined: the positions are written right before it */
export function draftDevices(
  stream: StateStream,
  userId: string,
  { devices, writes }: DevicesDocument,
  { seq }: Versioned,
  since: number | undefined,
): Draft {
  const draft = { subject: devicesSubject(stream, userId), bytes: toBytes({ devices, writes, since }), expected: seq };
  return devices === undefined ? { ...draft, ttl: GONE_SECONDS } : draft;
}

export function draftPositions(
  stream: StateStream,
  userId: string,
  { positions, writes }: PositionsDocument,
  { seq }: Versioned,
): Draft {
  const draft = { subject: positionsSubject(stream, userId), bytes: toBytes({ positions, writes }) };
  // A user is removed wherever the devices are by then.
  return positions === undefined ? { ...draft, ttl: GONE_SECONDS } : { ...draft, expected: seq };
}

/** Makes sure in the same step that the other part, which is not written, is as it was. */
export function draftCondition(stream: StateStream, userId: string, part: keyof UserDocuments, { seq }: Versioned): Draft {
  const expectedOf = part === "devices" ? devicesSubject(stream, userId) : positionsSubject(stream, userId);
  const subject = `${stream.prefix}.c.${tokenOf(userId)}`;
  return { subject, bytes: GONE, expected: seq, expectedOf, ttl: TOMBSTONE_SECONDS };
}

function devicesSubject({ prefix }: StateStream, userId: string): string {
  return `${prefix}.u.${tokenOf(userId)}`;
}

function positionsSubject({ prefix }: StateStream, userId: string): string {
  return `${prefix}.w.${tokenOf(userId)}`;
}

// Look-ups are subjects of their own with the user at the end, written in one step with the devices. They say who may be meant,
// the record decides: one that was taken off a look-up leaves an empty document there for a moment.

/** Who can be pushed to in a topic, on a device that is away. */
export function pushablePrefix({ prefix }: StateStream, topic: string): string {
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
export function lookUps(stream: StateStream, devices: Devices | undefined): ReadonlySet<string> {
  const subjects = new Set<string>();
  if (devices === undefined) return subjects;
  const { userId, sessions, seenAt, subscriptions } = devices;
  const user = placeOf(userId);
  subjects.add(`${seenPrefix(stream, weekOf(seenAt))}.${user}`);
  if (sessions.some(isPushable)) {
    for (const topic of Object.keys(subscriptions)) {
      // Only public topics are asked about: a private one has its owner as its only subscriber.
      if (isPublic(topic)) subjects.add(`${pushablePrefix(stream, topic)}.${user}`);
    }
  }
  for (const { node, deviceId, targets } of sessions) {
    if (node !== null) subjects.add(`${nodePrefix(stream, node)}.${user}`);
    subjects.add(`${devicePrefix(stream, deviceId)}.${user}`);
    for (const { id } of targets) subjects.add(`${targetPrefix(stream, id)}.${user}`);
  }
  return subjects;
}

/** Whether the session is away and there is a place that it can be pushed to. */
export function isPushable({ leaving, node, targets }: SessionRecord): boolean {
  return (node === null || leaving === true) && targets.some(({ disabled }) => disabled === undefined);
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
