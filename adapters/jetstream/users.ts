import type { AddedRow } from "../../src/ports/outbox.ts";
import type { UserRecord, Users } from "../../src/ports/users.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Leases } from "./leases.ts";
import { LookUps } from "./look_up.ts";
import type { StateStream } from "./state_stream.ts";
import {
  awayPrefix,
  devicePrefix,
  documentSubject,
  draftDocument,
  draftLookUps,
  lookUps,
  nodePrefix,
  readDocument,
  seenPrefix,
  targetPrefix,
  type UserDocument,
  weekOf,
} from "./user_document.ts";
import type { VersionWriter } from "./versions.ts";

/** Users whose last version is remembered, so that it need not be read again to write the next one. */
const REMEMBERED = 10_000;
/** Weeks that are looked into at a time. */
const WEEKS_AT_ONCE = 64;

/** What is to be known of a version to write the next one. */
interface Version extends UserDocument {
  readonly lookUps: ReadonlySet<string>;
}

/** Users as documents of the state stream: a version is a sequence of the stream, so none comes twice. */
export class JetStreamUsers implements Users {
  readonly #stream: StateStream;
  readonly #writer: VersionWriter;
  readonly #leases: Leases;
  readonly #lookUps: LookUps;
  readonly #versions = new Map<string, Version>();

  constructor(stream: StateStream, writer: VersionWriter, leases: Leases) {
    this.#stream = stream;
    this.#writer = writer;
    this.#leases = leases;
    this.#lookUps = new LookUps(stream);
  }

  async get(userId: string): Promise<UserRecord | undefined> {
    return (await this.#read(userId)).record;
  }

  recent(userId: string): UserRecord | undefined {
    return this.#versions.get(userId)?.record;
  }

  async put(record: UserRecord, rows: readonly AddedRow[] = []): Promise<number | undefined> {
    return await this.#replace(record.userId, record.version, record, rows);
  }

  async remove(userId: string, version: number): Promise<boolean> {
    return version > 0 && await this.#replace(userId, version, undefined, []) !== undefined;
  }

  awayMembers(topic: Topic, page: Page): Promise<NamesPage> {
    return this.#list(
      awayPrefix(this.#stream, topic),
      page,
      ({ sessions, subscriptions }) =>
        subscriptions[topic] !== undefined && sessions.some(({ leaving, node }) => node === null || leaving),
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

  /**
   * Puts `record`, or nobody, in the place of a version.
   * @returns the new version, or undefined when it was not that version any more
   */
  async #replace(
    userId: string,
    version: number,
    record: UserRecord | undefined,
    rows: readonly AddedRow[],
  ): Promise<number | undefined> {
    let before = this.#versions.get(userId);
    if (before?.seq !== version || version === 0) {
      before = await this.#version(userId);
      if ((before.record?.version ?? 0) !== version) return undefined;
    }
    const after = lookUps(this.#stream, record);
    const written = await this.#writer.write({
      before,
      rows,
      draft: async (before: Version, write) => [
        ...draftLookUps(before.lookUps, after),
        ...await this.#leases.drafts(this.#newNodes(before, record)),
        draftDocument(this.#stream, before, write, userId, record),
      ],
      read: () => this.#version(userId),
      // A removed user's last document has left, or stands there now.
      mayReplace: (now) => version === 0 && now.record === undefined,
    });
    if (written?.writes !== undefined) {
      const { seq, writes } = written;
      this.#remember(userId, { seq, writes, lookUps: after, record: record && { ...record, version: seq } });
    }
    return written?.seq;
  }

  /** Nodes that hold the user now, and did not before. */
  #newNodes({ lookUps }: Version, record: UserRecord | undefined): string[] {
    const known = (node: string): boolean => [...lookUps].some((subject) => subject.startsWith(nodePrefix(this.#stream, node)));
    return record?.sessions.flatMap(({ node }) => node === null || known(node) ? [] : [node]) ?? [];
  }

  async #read(userId: string): Promise<UserDocument> {
    return readDocument(await this.#stream.read(documentSubject(this.#stream, userId)));
  }

  async #version(userId: string): Promise<Version> {
    const document = await this.#read(userId);
    return { ...document, lookUps: lookUps(this.#stream, document.record) };
  }

  #remember(userId: string, version: Version): void {
    this.#versions.delete(userId);
    this.#versions.set(userId, version);
    if (this.#versions.size > REMEMBERED) this.#versions.delete(this.#versions.keys().next().value!);
  }
}

/** Where a page of several look-ups begins: in which, and where in that. */
function parsePlace(place: string | undefined): [key?: string | number, place?: string] {
  return place === undefined ? [] : JSON.parse(place);
}
