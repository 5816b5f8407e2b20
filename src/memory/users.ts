import type { Clock } from "../ports/clock.ts";
import type { AddedRow } from "../ports/outbox.ts";
import type { Random } from "../ports/random.ts";
import type { SessionRecord, UserParts, UserRecord, Users, UserVersions } from "../ports/users.ts";
import type { NamesPage, Page } from "../ports/page.ts";
import type { Topic } from "../protocol/names.ts";
import { Multimap } from "./multimap.ts";
import type { MemoryOutbox } from "./outbox.ts";
import { byName, SortedList } from "./sorted_list.ts";

/** Users, as long as the process lives. */
export class MemoryUsers implements Users {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #outbox: MemoryOutbox;
  readonly #records = new Map<string, UserRecord>();
  readonly #names = new SortedList<string>(byName);
  readonly #pushableIn = new Map<Topic, SortedList<string>>();
  readonly #onNode = new Map<string, SortedList<string>>();
  readonly #withDevice = new Multimap();
  readonly #withTarget = new Multimap();
  /** Nodes, and until when (monotonic) they are taken to live. */
  readonly #leases = new Map<string, number>();

  constructor(clock: Clock, random: Random, outbox: MemoryOutbox) {
    this.#clock = clock;
    this.#random = random;
    this.#outbox = outbox;
  }

  get(userId: string): Promise<UserRecord | undefined> {
    return Promise.resolve(this.#records.get(userId));
  }

  put(record: UserRecord, parts: UserParts, rows: readonly AddedRow[] = []): Promise<UserVersions | undefined> {
    const { userId } = record;
    const before = this.#records.get(userId);
    const devices = parts !== "positions";
    const positions = parts !== "devices";
    if ((devices || rows.length > 0) && record.version !== (before?.version ?? 0)) return Promise.resolve(undefined);
    if ((positions || rows.length > 0) && record.positions.version !== (before?.positions.version ?? 0)) {
      return Promise.resolve(undefined);
    }
    if (before === undefined && parts !== "both") return Promise.resolve(undefined);
    const after: UserRecord = {
      ...devices ? record : before!,
      version: devices ? this.#next(before?.version) : before!.version,
      positions: positions ? { ...record.positions, version: this.#next(before?.positions.version) } : before!.positions,
    };
    if (devices) this.#reindex(userId, before, after);
    this.#records.set(userId, after);
    this.#outbox.add(rows);
    return Promise.resolve({
      devices: devices ? after.version : record.version,
      positions: positions ? after.positions.version : record.positions.version,
    });
  }

  /**
   * A user who was removed and comes back must not pass for the former one, so versions don't begin at 1. Well within 31 bits:
   * engines keep such numbers unboxed.
   */
  #next(version: number | undefined): number {
    return version === undefined ? 1 + Math.floor(this.#random.fraction() * 0x3fff_ffff) : version + 1;
  }

  remove(userId: string, version: number): Promise<boolean> {
    const before = this.#records.get(userId);
    if (before === undefined || before.version !== version) return Promise.resolve(false);
    this.#reindex(userId, before, undefined);
    this.#records.delete(userId);
    return Promise.resolve(true);
  }

  pushableMembers(topic: Topic, page: Page): Promise<NamesPage> {
    return Promise.resolve(toPage(take(this.#pushableIn.get(topic), page), page));
  }

  holders(what: { deviceId: string } | { targetId: string }): Promise<string[]> {
    return Promise.resolve([
      ..."deviceId" in what ? this.#withDevice.get(what.deviceId) : this.#withTarget.get(what.targetId),
    ]);
  }

  unseenSince(before: number, page: Page): Promise<NamesPage> {
    const names: string[] = [];
    for (const name of this.#names.after(page.after)) {
      if (names.length >= page.limit) break;
      if (this.#records.get(name)!.seenAt < before) names.push(name);
    }
    return Promise.resolve(toPage(names, page));
  }

  lease(node: string, ms: number): Promise<void> {
    this.#leases.set(node, this.#clock.elapsed() + ms);
    return Promise.resolve();
  }

  liveNodes(): Promise<string[]> {
    return Promise.resolve([...this.#leases.keys()].filter((node) => this.#lives(node)));
  }

  orphans(page: Page): Promise<NamesPage> {
    const names = new Set<string>();
    for (const [node, users] of this.#onNode) {
      if (this.#lives(node)) continue;
      for (const name of take(users, page)) names.add(name);
    }
    return Promise.resolve(toPage([...names].sort(byName).slice(0, page.limit), page));
  }

  #lives(node: string): boolean {
    return (this.#leases.get(node) ?? -Infinity) > this.#clock.elapsed();
  }

  #reindex(userId: string, before: UserRecord | undefined, after: UserRecord | undefined): void {
    if (before === undefined) this.#names.add(userId);
    else if (after === undefined) this.#names.delete(userId);
    change(
      pushableTopics(before),
      pushableTopics(after),
      (topic) => remove(this.#pushableIn, topic, userId),
      (topic) => add(this.#pushableIn, topic, userId),
    );
    if (before?.sessions === after?.sessions) return;
    change(nodes(before), nodes(after), (node) => remove(this.#onNode, node, userId), (node) => add(this.#onNode, node, userId));
    change(
      devices(before),
      devices(after),
      (id) => this.#withDevice.delete(id, userId),
      (id) => this.#withDevice.add(id, userId),
    );
    change(
      targets(before),
      targets(after),
      (id) => this.#withTarget.delete(id, userId),
      (id) => this.#withTarget.add(id, userId),
    );
  }
}

const NOTHING: readonly string[] = Object.freeze([]);

function pushableTopics(record: UserRecord | undefined): readonly Topic[] {
  return record?.sessions.some(isPushable) ? Object.keys(record.subscriptions) : NOTHING;
}

/** Whether the session is away and there is a place that it can be pushed to. */
function isPushable({ leaving, node, targets }: SessionRecord): boolean {
  return (node === null || leaving === true) && targets.some(({ disabled }) => disabled === undefined);
}

function nodes(record: UserRecord | undefined): readonly string[] {
  return record?.sessions.flatMap((session) => session.node ?? []) ?? NOTHING;
}

function devices(record: UserRecord | undefined): readonly string[] {
  return record?.sessions.map((session) => session.deviceId) ?? NOTHING;
}

function targets(record: UserRecord | undefined): readonly string[] {
  return record?.sessions.flatMap((session) => session.targets.map((target) => target.id)) ?? NOTHING;
}

/** Each list is as short as a person's devices are few: no sets are made of them. */
function change(
  before: readonly string[],
  after: readonly string[],
  gone: (key: string) => void,
  come: (key: string) => void,
): void {
  for (const key of before) if (!after.includes(key)) gone(key);
  for (const key of after) if (!before.includes(key)) come(key);
}

function add(lists: Map<string, SortedList<string>>, key: string, name: string): void {
  let list = lists.get(key);
  if (list === undefined) lists.set(key, list = new SortedList(byName));
  list.add(name);
}

function remove(lists: Map<string, SortedList<string>>, key: string, name: string): void {
  const list = lists.get(key);
  list?.delete(name);
  if (list?.isEmpty) lists.delete(key);
}

/** The names themselves are where the next page begins. */
function toPage(names: string[], { limit }: Page): NamesPage {
  return { names, next: names.length < limit ? undefined : names.at(-1) };
}

function take(names: SortedList<string> | undefined, { after, limit }: Page): string[] {
  const page: string[] = [];
  for (const name of names?.after(after) ?? []) {
    if (page.length >= limit) break;
    page.push(name);
  }
  return page;
}
