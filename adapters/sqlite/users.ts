import { Buffer } from "node:buffer";
import type { StatementSync } from "node:sqlite";
import type { AddedRow } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Positions, SessionRecord, UserParts, UserRecord, Users, UserVersions } from "../../src/ports/users.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Reader } from "./reader.ts";
import { RecentUsers } from "./recent_users.ts";
import { Lookup } from "./schema.ts";
import type { Writer } from "./writer.ts";

/** Users in the file. */
export class SqliteUsers implements Users {
  readonly #context: StorageContext;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #recent = new RecentUsers();
  /** Nodes, and until when (monotonic) they live. Not in the file: who reopens it is alone with it. */
  readonly #leases = new Map<string, number>();
  readonly #user: StatementSync;
  readonly #names: StatementSync;
  readonly #unseen: StatementSync;
  readonly #nextNode: StatementSync;

  constructor(context: StorageContext, writer: Writer, reader: Reader) {
    this.#context = context;
    this.#writer = writer;
    this.#reader = reader;
    this.#user = reader.prepare(
      "SELECT user.version, user.record, positions.version AS moved, positions.record AS positions " +
        "FROM user JOIN positions ON positions.user = id WHERE name = ?",
    );
    this.#names = reader.prepare("SELECT user FROM lookup WHERE kind = ? AND key = ? AND user > ? ORDER BY user LIMIT ?");
    // Few are unseen for long, so finding them costs less than going through all names.
    this.#unseen = reader.prepare(
      "SELECT name FROM user INDEXED BY user_seen WHERE seen < ? AND name > ? ORDER BY name LIMIT ?",
    );
    this.#nextNode = reader.prepare("SELECT key FROM lookup WHERE kind = ? AND key > ? ORDER BY key LIMIT 1");
  }

  /** What is remembered of users takes so much memory, bytes, about. */
  get heldBytes(): number {
    return this.#recent.bytes;
  }

  get(userId: string): Promise<UserRecord | undefined> {
    return this.#reader.run(() => {
      const recent = this.#recent.get(userId);
      if (recent !== undefined) return recent;
      const row = this.#user.get(userId);
      if (row === undefined) return undefined;
      const [devices, moved] = [String(row.record), String(row.positions)];
      const positions: Positions = { ...JSON.parse(moved), version: Number(row.moved) };
      const record = { ...JSON.parse(devices) as UserRecord, version: Number(row.version), positions };
      this.#recent.add(record, devices.length + moved.length);
      return record;
    });
  }

  async put(record: UserRecord, parts: UserParts, rows: readonly AddedRow[] = []): Promise<UserVersions | undefined> {
    const { positions: { version: moved, ...positions }, seenAt, userId, version, ...devices } = record;
    const next: UserVersions = {
      devices: parts === "positions" ? version : this.#next(version),
      positions: parts === "devices" ? moved : this.#next(moved),
    };
    const isDecision = rows.length > 0;
    const stored = await this.#recent.write(userId, () =>
      this.#writer.send({
        kind: "put",
        userId,
        expected: {
          devices: parts !== "positions" || isDecision ? version : undefined,
          positions: parts !== "devices" || isDecision ? moved : undefined,
        },
        devices: parts === "positions" ? undefined : {
          version: next.devices,
          seenAt,
          keys: JSON.stringify(lookupKeys(record)),
          record: JSON.stringify({ userId, seenAt, ...devices }),
        },
        positions: parts === "devices" ? undefined : { version: next.positions, record: JSON.stringify(positions) },
        rows,
        now: this.#context.clock.now(),
      }));
    return stored ? next : undefined;
  }

  /** A user who was removed and comes back must not pass for the former one, so versions don't begin at 1. */
  #next(version: number): number {
    return version === 0 ? 1 + Math.floor(this.#context.random.fraction() * 0xffff_ffff) : version + 1;
  }

  remove(userId: string, version: number): Promise<boolean> {
    const now = this.#context.clock.now();
    return this.#recent.write(userId, () => this.#writer.send({ kind: "remove", userId, version, now }));
  }

  pushableMembers(topic: Topic, page: Page): Promise<NamesPage> {
    return this.#reader.run(() => toPage(this.#find(Lookup.pushable, topic, page), page));
  }

  holders(what: { deviceId: string } | { targetId: string }): Promise<string[]> {
    const all: Page = { after: undefined, limit: -1 };
    return this.#reader.run(() =>
      "deviceId" in what ? this.#find(Lookup.deviceId, what.deviceId, all) : this.#find(Lookup.targetId, what.targetId, all)
    );
  }

  unseenSince(before: number, page: Page): Promise<NamesPage> {
    return this.#reader.run(() => {
      const rows = this.#unseen.all(before, page.after ?? "", page.limit);
      return toPage(rows.map(({ name }) => String(name)), page);
    });
  }

  lease(node: string, ms: number): Promise<void> {
    this.#leases.set(node, this.#context.clock.elapsed() + ms);
    return Promise.resolve();
  }

  liveNodes(): Promise<string[]> {
    return Promise.resolve([...this.#leases.keys()].filter((node) => this.#lives(node)));
  }

  orphans(page: Page): Promise<NamesPage> {
    return this.#reader.together(() => {
      const names = new Set<string>();
      let node = "";
      for (let row = this.#nextNode.get(Lookup.node, node); row; row = this.#nextNode.get(Lookup.node, node)) {
        node = String(row.key);
        if (this.#lives(node)) continue;
        for (const name of this.#find(Lookup.node, node, page)) names.add(name);
      }
      return toPage([...names].sort(byBytes).slice(0, page.limit), page);
    });
  }

  #lives(node: string): boolean {
    return (this.#leases.get(node) ?? -Infinity) > this.#context.clock.elapsed();
  }

  #find(kind: number, key: string, { after, limit }: Page): string[] {
    return this.#names.all(kind, key, after ?? "", limit).map(({ user }) => String(user));
  }
}

/** The names themselves are where the next page begins. */
function toPage(names: string[], { limit }: Page): NamesPage {
  return { names, next: names.length < limit ? undefined : names.at(-1) };
}

/** What the file finds this user by, in an order that stays the same while the keys do. */
function lookupKeys({ subscriptions, sessions }: UserRecord): [kind: number, key: string][] {
  const keys = new Map<string, [number, string]>();
  const add = (kind: number, key: string) => void keys.set(`${kind} ${key}`, [kind, key]);
  if (sessions.some(isPushable)) {
    for (const topic of Object.keys(subscriptions)) add(Lookup.pushable, topic);
  }
  for (const { deviceId, targets, node } of sessions) {
    add(Lookup.deviceId, deviceId);
    for (const { id } of targets) add(Lookup.targetId, id);
    if (node !== null) add(Lookup.node, node);
  }
  return [...keys.values()];
}

/** Whether the session is away and there is a place that it can be pushed to. */
function isPushable({ leaving, node, targets }: SessionRecord): boolean {
  return (node === null || leaving === true) && targets.some(({ disabled }) => disabled === undefined);
}

/** The order in which sqlite compares text: by its bytes. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
