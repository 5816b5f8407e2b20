import type { AddedRow } from "../../src/ports/outbox.ts";
import type { SessionRecord, UserParts, UserRecord, Users, UserVersions } from "../../src/ports/users.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Leases } from "./leases.ts";
import { LookUps } from "./look_up.ts";
import type { Draft } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import {
  bytesOf,
  devicePrefix,
  draftCondition,
  draftDevices,
  draftLookUps,
  draftPositions,
  isPushable,
  lookUps,
  nodePrefix,
  partsOf,
  pushablePrefix,
  readUser,
  recordOf,
  seenPrefix,
  targetPrefix,
  type UserDocuments,
  weekOf,
} from "./user_document.ts";
import { type Versioned, type VersionWriter, writesAfter } from "./versions.ts";

/** Users whose last version is remembered, so that it need not be read again to write the next one, and what that may take, bytes. */
const REMEMBERED = 10_000;
const MOST_BYTES = 32 * 1024 * 1024;
/** Weeks that are looked into at a time. */
const WEEKS_AT_ONCE = 64;

/** What is to be known of a user to write the next version. By itself it is the document that tells what became of a write. */
interface Version extends Versioned {
  readonly user: UserDocuments;
}

/** Users as two documents of the state stream each: a version is a sequence of the stream, so none comes twice. */
export class JetStreamUsers implements Users {
  readonly #stream: StateStream;
  readonly #writer: VersionWriter;
  readonly #leases: Leases;
  readonly #lookUps: LookUps;
  readonly #versions = new Map<string, UserDocuments>();
  #bytes = 0;

  constructor(stream: StateStream, writer: VersionWriter, leases: Leases) {
    this.#stream = stream;
    this.#writer = writer;
    this.#leases = leases;
    this.#lookUps = new LookUps(stream);
  }

  async get(userId: string): Promise<UserRecord | undefined> {
    return recordOf(await readUser(this.#stream, userId));
  }

  /** What is remembered takes so much memory, bytes, about. */
  get heldBytes(): number {
    return this.#bytes;
  }

  recent(userId: string): UserRecord | undefined {
    const known = this.#versions.get(userId);
    return known && recordOf(known);
  }

  async put(record: UserRecord, parts: UserParts, rows: readonly AddedRow[] = []): Promise<UserVersions | undefined> {
    const { userId, version, positions } = record;
    if (version === 0 && parts !== "both") return undefined;
    const isDecision = rows.length > 0;
    return await this.#replace({
      userId,
      parts,
      record,
      rows,
      expected: {
        devices: parts !== "positions" || isDecision ? version : undefined,
        positions: parts !== "devices" || isDecision ? positions.version : undefined,
      },
    });
  }

  async remove(userId: string, version: number): Promise<boolean> {
    const expected = { devices: version, positions: undefined };
    return version > 0 && await this.#replace({ userId, parts: "both", record: undefined, rows: [], expected }) !== undefined;
  }

  pushableMembers(topic: Topic, page: Page): Promise<NamesPage> {
    return this.#list(
      pushablePrefix(this.#stream, topic),
      page,
      ({ sessions, subscriptions }) => subscriptions[topic] !== undefined && sessions.some(isPushable),
    );
  }

  async holders(what: { deviceId: string } | { targetId: string }): Promise<string[]> {
    if ("deviceId" in what) {
      const found = await this.#lookUps.all(devicePrefix(this.#stream, what.deviceId));
      return await this.#those(found, ({ sessions }) => sessions.some(({ deviceId }) => deviceId === what.deviceId));
    }
    const found = await this.#lookUps.all(targetPrefix(this.#stream, what.targetId));
    return await this.#those(
      found,
      ({ sessions }) => sessions.some(({ targets }) => targets.some(({ id }) => id === what.targetId)),
    );
  }

  async unseenSince(before: number, page: Page): Promise<NamesPage> {
    const [first = 0] = parsePlace(page.after);
    const weeks = await this.#weeksWithUsers(Number(first), weekOf(before));
    return await this.#through(weeks, page, (week) => seenPrefix(this.#stream, week), () => ({ seenAt }) => seenAt < before);
  }

  lease(node: string, ms: number): Promise<void> {
    return this.#leases.renew(node, ms);
  }

  liveNodes(): Promise<string[]> {
    return this.#leases.live();
  }

  async orphans(page: Page): Promise<NamesPage> {
    const leases = await this.#leases.lapsed();
    const nodes = leases.map(({ node }) => node);
    const found = await this.#through(
      nodes,
      page,
      (node) => nodePrefix(this.#stream, node),
      (node) => ({ sessions }) => sessions.some((session) => session.node === node),
    );
    if (page.after === undefined && found.names.length === 0 && found.next === undefined) {
      await Promise.all(leases.map((lease) => this.#leases.forget(lease)));
    }
    return found;
  }

  /** Several look-ups, one after the other in the order of their keys, as one list. */
  async #through<Key extends string | number>(
    keys: readonly Key[],
    { after, limit }: Page,
    prefixOf: (key: Key) => string,
    meantBy: (key: Key) => (record: UserRecord) => boolean,
  ): Promise<NamesPage> {
    const names: string[] = [];
    const [first, place] = parsePlace(after) as [Key?, string?];
    for (const key of keys) {
      if (first !== undefined && key < first) continue;
      if (names.length >= limit) return { names, next: JSON.stringify([key]) };
      const page = { after: key === first ? place : undefined, limit: limit - names.length };
      const found = await this.#list(prefixOf(key), page, meantBy(key));
      names.push(...found.names);
      if (found.next !== undefined) return { names, next: JSON.stringify([key, found.next]) };
    }
    return { names, next: undefined };
  }

  async #list(prefix: string, { after, limit }: Page, meant: (record: UserRecord) => boolean): Promise<NamesPage> {
    const { names, next } = await this.#lookUps.page(prefix, after, limit);
    return { names: await this.#those(names, meant), next };
  }

  /** Those of the users whose records agree. */
  async #those(names: readonly string[], meant: (record: UserRecord) => boolean): Promise<string[]> {
    const records = await Promise.all(names.map((name) => this.get(name)));
    return names.filter((_, index) => records[index] !== undefined && meant(records[index]!));
  }

  async #weeksWithUsers(first: number, last: number): Promise<number[]> {
    const weeks: number[] = [];
    for (let from = first; from <= last; from += WEEKS_AT_ONCE) {
      const some = Array.from({ length: Math.min(WEEKS_AT_ONCE, last - from + 1) }, (_, index) => from + index);
      const found = await Promise.all(some.map((week) => this.#stream.any(`${seenPrefix(this.#stream, week)}.>`)));
      weeks.push(...some.filter((_, index) => found[index]));
    }
    return weeks;
  }

  /** @returns the versions that are stored then, or undefined when what was expected was not there any more */
  async #replace(change: Replacement): Promise<UserVersions | undefined> {
    const { userId, parts, record, rows, expected } = change;
    const known = this.#versions.get(userId);
    const isKnown = record !== undefined && known?.devices.seq === record.version &&
      known.positions.seq === record.positions.version;
    const user = isKnown ? known : await readUser(this.#stream, userId);
    // Whatever comes of the write, that is not the last version any more, or was not.
    this.#forget(userId);
    if (!isExpected(user, expected)) return undefined;
    const carrier = parts === "positions" ? "positions" : "devices";
    const asVersion = (user: UserDocuments): Version => ({ seq: user[carrier].seq, writes: user[carrier].writes, user });
    let next = user;
    const written = await this.#writer.write({
      before: asVersion(user),
      rows,
      draft: ({ user }: Version, write) => {
        next = follow(user, write, change);
        return this.#drafts(user, next, change);
      },
      read: async () => asVersion(await readUser(this.#stream, userId)),
      holds: ({ user: before }, { user: now }) =>
        (expected.devices === undefined || now.devices.seq === before.devices.seq) &&
        (expected.positions === undefined || now.positions.seq === before.positions.seq),
      // A removed user's last documents have left, or stand there now.
      mayReplace: (now) => expected.devices === 0 && now.user.devices.devices === undefined,
    });
    if (written === undefined) return undefined;
    // Of both, the devices come last.
    const seqs = {
      devices: parts === "positions" ? user.devices.seq : written.seq,
      positions: parts === "devices" ? user.positions.seq : parts === "both" ? written.seq - 1 : written.seq,
    };
    if (written.writes !== undefined) {
      const devices = { ...next.devices, seq: seqs.devices };
      this.#remember(userId, { devices, positions: { ...next.positions, seq: seqs.positions } });
    }
    return {
      devices: parts === "positions" ? record!.version : seqs.devices,
      positions: parts === "devices" ? record!.positions.version : seqs.positions,
    };
  }

  /** The documents to write. Those that rely on others stand behind them, and the one that tells what became of the write is the last. */
  async #drafts(before: UserDocuments, next: UserDocuments, { userId, parts, rows }: Replacement): Promise<Draft[]> {
    const drafts: Draft[] = [];
    if (parts !== "positions") {
      const known = lookUps(this.#stream, before.devices.devices);
      drafts.push(...draftLookUps(known, lookUps(this.#stream, next.devices.devices)));
      drafts.push(...await this.#leases.drafts(this.#newNodes(known, next.devices.devices?.sessions ?? [])));
    }
    if (rows.length > 0 && parts !== "both") {
      const other = parts === "devices" ? "positions" : "devices";
      drafts.push(draftCondition(this.#stream, userId, other, before[other]));
    }
    if (parts !== "devices") drafts.push(draftPositions(this.#stream, userId, next.positions, before.positions));
    if (parts !== "positions") {
      const since = parts === "both" ? undefined : before.positions.seq;
      drafts.push(draftDevices(this.#stream, userId, next.devices, before.devices, since));
    }
    return drafts;
  }

  /** Nodes that hold the user now, and did not before. */
  #newNodes(lookUps: ReadonlySet<string>, sessions: readonly SessionRecord[]): string[] {
    const known = (node: string): boolean => [...lookUps].some((subject) => subject.startsWith(nodePrefix(this.#stream, node)));
    return sessions.flatMap(({ node }) => node === null || known(node) ? [] : [node]);
  }

  #remember(userId: string, user: UserDocuments): void {
    this.#forget(userId);
    this.#versions.set(userId, user);
    this.#bytes += bytesOf(user);
    while (this.#versions.size > REMEMBERED || this.#bytes > MOST_BYTES) this.#forget(this.#versions.keys().next().value!);
  }

  #forget(userId: string): void {
    const user = this.#versions.get(userId);
    if (user === undefined) return;
    this.#versions.delete(userId);
    this.#bytes -= bytesOf(user);
  }
}

/** What takes the place of a user's parts. */
interface Replacement {
  readonly userId: string;
  readonly parts: UserParts;
  /** Undefined: nobody. */
  readonly record: UserRecord | undefined;
  readonly rows: readonly AddedRow[];
  /** The versions that must be stored; 0: none, undefined: any. */
  readonly expected: { readonly devices: number | undefined; readonly positions: number | undefined };
}

function isExpected(user: UserDocuments, { devices, positions }: Replacement["expected"]): boolean {
  const stored = recordOf(user);
  return (devices === undefined || devices === (stored?.version ?? 0)) &&
    (positions === undefined || positions === (stored?.positions.version ?? 0));
}

/** A user's documents behind a write. Their sequences are those before it. */
function follow({ devices, positions }: UserDocuments, write: string, { parts, record }: Replacement): UserDocuments {
  const [nextDevices, nextPositions] = record === undefined ? [] : partsOf(record);
  return {
    devices: parts === "positions" ? devices : { ...devices, devices: nextDevices, writes: writesAfter(devices, write) },
    positions: parts === "devices"
      ? positions
      : { ...positions, positions: nextPositions, writes: writesAfter(positions, write) },
  };
}

/** Where a page of several look-ups begins: in which, and where in that. */
function parsePlace(place: string | undefined): [key?: string | number, place?: string] {
  return place === undefined ? [] : JSON.parse(place);
}
