import type { SessionActor } from "../delivery/actor.ts";
import type { Attention } from "../delivery/attention.ts";
import type { CacheBytes } from "../delivery/cache_bytes.ts";
import { withProgressHere } from "../delivery/progress.ts";
import { sessionOf, type UserRecords } from "../delivery/records.ts";
import type { Roster } from "../delivery/roster.ts";
import type { Clock } from "../ports/clock.ts";
import type { OutboxEnd, OutboxRow } from "../ports/outbox.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import type { History } from "../ports/transport.ts";
import type { PushTarget, UserRecord } from "../ports/users.ts";
import type { Topic } from "../protocol/names.ts";
import type { Policy } from "../session/policy.ts";
import { type OpenedEntry, openEntry, withoutBytes } from "../delivery/opened_entry.ts";
import { SessionEvent } from "../session/step.ts";
import { dropWords, unsureOf, whyDone } from "./need.ts";
import { RecentEntries } from "./recent_entries.ts";
import { whySpared } from "./row_maker.ts";
import type { PendingPushes } from "./pending.ts";

/** What the last look works with. */
export interface LastLookParts {
  history: History | undefined;
  records: UserRecords;
  roster: Roster;
  attention: Attention;
  actor: SessionActor;
  pending: PendingPushes;
  providers: readonly PushProvider[];
  policy: Pick<Policy, "ackTimeoutMs">;
  clock: Clock;
  /** Where the bytes are counted of entries that are remembered. */
  held: CacheBytes;
}

/** A push that is about to leave. */
export interface Parcel {
  readonly row: OutboxRow;
  readonly target: PushTarget;
  readonly provider: PushProvider;
  /** The newest of the messages that it stands for. */
  readonly entry: OpenedEntry;
  /** The others of them, the newest first, without their bytes: as many as are counted, and one more where there are more. */
  readonly others: readonly OpenedEntry[];
  /** It waited for input at another device, and there was none. */
  readonly isReleased: boolean;
}

/** What was read for the last look. */
export interface Found {
  readonly entry: OpenedEntry | undefined;
  /** Of a row that stands for several: those before the last one, the newest first. Without their bytes but where the push is named after one. */
  readonly others: readonly OpenedEntry[];
  readonly stored: UserRecord | undefined;
}

/** What the last look finds: the push leaves, ends here, or waits until then (milliseconds since 1970). */
export type Look = Parcel | { end: OutboxEnd; note: string } | { until: number; note: string };

/** Messages that a push is said to stand for at most; of more it is said that there are more. */
const MOST_COUNTED = 100;
/** Entries that are read for that: some may be dealt with. */
const MOST_READ = 500;

const NONE: readonly OpenedEntry[] = Object.freeze([]);

/** When what a push is named after expires between reading and leaving, it is looked at again so much later. */
const AGAIN_MS = 1_000;

/** What is read of a log at a time: entries, for rows that leave together, and the bytes of all of them. */
const PAGE = 100;
const PAGE_BYTES = 256 * 1024;

/** The last look before a push leaves. */
export class LastLook {
  readonly #parts: LastLookParts;
  /** Opened: many pushes are about the same ones. */
  readonly #recent: RecentEntries<OpenedEntry>;
  readonly #counted: RecentEntries<OpenedEntry>;

  constructor(parts: LastLookParts) {
    this.#parts = parts;
    this.#recent = new RecentEntries(parts.held, ({ bytes }) => bytes.length);
    this.#counted = new RecentEntries(parts.held, ({ from, id }) => id.length + (from?.length ?? 0));
  }

  /**
   * Reads what the last look goes by: the record last, for it is what decides.
   * @param rows of one user
   * @returns by the rows' ids
   */
  async read(rows: readonly OutboxRow[]): Promise<Map<string, Found>> {
    const { records } = this.#parts;
    const entries = new Map<string, OpenedEntry>();
    for (const [topic, ofTopic] of Map.groupBy(rows, ({ topic }) => topic)) await this.#readEntries(topic, ofTopic, entries);
    const others = new Map<string, readonly OpenedEntry[]>();
    for (const row of rows) if (row.after !== undefined) others.set(row.id, await this.#others(row, row.after));
    for (;;) {
      const stored = rows.length === 0 ? undefined : await records.store.get(rows[0]!.userId);
      const found = new Map(rows.map((row): [string, Found] => {
        return [row.id, {
          entry: entries.get(nameOf(row.topic, row.position.offset)),
          others: others.get(row.id) ?? NONE,
          stored,
        }];
      }));
      // What a push is named after is mostly the row's own entry. Where that was dealt with, or is gone, it is one of the others.
      const bare = rows.filter((row) => this.#namedAfter(row, found.get(row.id)!)?.bytes.length === 0);
      if (bare.length === 0) return found;
      for (const row of bare) {
        others.set(row.id, await this.#fill(found.get(row.id)!.others, this.#namedAfter(row, found.get(row.id)!)!));
      }
    }
  }

  async #readEntries(topic: Topic, rows: readonly OutboxRow[], into: Map<string, OpenedEntry>): Promise<void> {
    const { history } = this.#parts;
    if (history === undefined) return;
    // One alone is often that of many other users.
    if (rows.length === 1) {
      const { epoch, offset } = rows[0]!.position;
      const read = async (): Promise<OpenedEntry[]> => (await history.read(topic, offset - 1, 1)).entries.map(openEntry);
      const [entry] = await this.#recent.get(`${epoch} ${nameOf(topic, offset)}`, read);
      if (entry?.position.offset === offset) into.set(nameOf(topic, offset), entry);
      return;
    }
    const wanted = new Set(rows.map(({ position }) => position.offset));
    // Rows that wait together are near each other; where one is far, a page begins before it.
    for (let after = Math.min(...wanted) - 1; wanted.size > 0; after = Math.max(after, Math.min(...wanted) - 1)) {
      const page = await history.read(topic, after, PAGE, PAGE_BYTES);
      for (const entry of page.entries) if (wanted.delete(entry.offset)) into.set(nameOf(topic, entry.offset), openEntry(entry));
      for (const offset of wanted) if (offset <= page.through) wanted.delete(offset);
      if (page.through <= after) break;
      after = page.through;
    }
  }

  /** The entries that a row stands for beside its last one, the newest first. As many as are counted, and some that may be dealt with by now. */
  #others({ topic, position }: OutboxRow, after: number): Promise<readonly OpenedEntry[]> {
    const { history } = this.#parts;
    return this.#counted.get(`${position.epoch} ${after} ${nameOf(topic, position.offset)}`, async () => {
      const entries: OpenedEntry[] = [];
      for (let at = after; history !== undefined && at < position.offset - 1 && entries.length < MOST_READ;) {
        const page = await history.read(topic, at, MOST_READ - entries.length, PAGE_BYTES);
        const counted = page.entries.filter(({ epoch, offset }) => epoch === position.epoch && offset < position.offset);
        entries.push(...counted.map((raw) => withoutBytes(openEntry(raw))));
        if (page.through <= at) break;
        at = page.through;
      }
      return entries.reverse();
    });
  }

  /** The same entries, one of them with its bytes, or not among them any more if the log does not have it. */
  async #fill(entries: readonly OpenedEntry[], bare: OpenedEntry): Promise<readonly OpenedEntry[]> {
    const { topic, position: { epoch, offset } } = bare;
    const page = await this.#parts.history!.read(topic, offset - 1, 1);
    const raw = page.entries.find((raw) => raw.epoch === epoch && raw.offset === offset);
    return entries.flatMap((entry) => entry !== bare ? [entry] : raw === undefined ? [] : [openEntry(raw)]);
  }

  /** Is it still needed, and still this session's target? By what was read, and what the sessions here have acked by now. */
  at(row: OutboxRow, found: Found): Look {
    const { clock, pending, providers, roster } = this.#parts;
    const { deviceId, topic, position } = row;
    if (row.expiresAt <= clock.now()) return { end: "expired", note: "expired before it left" };
    const record = found.stored && withProgressHere(found.stored, roster);
    const target = record && sessionOf(record, deviceId)?.targets.find(({ provider }) => provider === row.provider);
    if (record === undefined || target === undefined) {
      return { end: "dropped", note: "the target is not this session's any more" };
    }
    if (target.disabled !== undefined) return { end: "dropped", note: "the target is disabled" };
    if (record.subscriptions[topic] === undefined) return { end: "dropped", note: "unsubscribed" };
    const provider = providers.find(({ name }) => name === target.provider);
    if (provider === undefined) return { end: "rejected", note: `no provider "${target.provider}" here` };
    const all = entriesOf(row, found);
    if (all.length === 0) {
      return { end: "expired", note: "the log does not have it any more" };
    }
    const left = row.after === undefined ? all : this.#left(row, record, all, MOST_COUNTED + 1);
    const newest = left[0];
    if (newest === undefined) return { end: "dropped", note: "all that it stood for was dealt with" };
    if (row.after === undefined) {
      const done = whyDone(record, deviceId, topic, position);
      if (done !== undefined) return { end: "dropped", note: dropWords(done, row, undefined, clock.now()) };
    }
    const spared = pending.whySpared(row);
    if (spared !== undefined) return { end: "dropped", note: spared };
    // What was the newest has expired since it was read.
    if (newest.bytes.length === 0) {
      return { until: clock.now() + AGAIN_MS, note: "the newest that it stood for has expired: looks again" };
    }
    const unsure = unsureOf(record, topic, newest.position);
    if (unsure !== undefined && unsure.until > clock.now()) {
      return { until: unsure.until, note: "shown on another device that was not touched for a while: waits for input there" };
    }
    const parcel = { row, target, provider, entry: newest, others: left.slice(1), isReleased: unsure !== undefined };
    return this.#backInFront(row) ?? parcel;
  }

  /** The newest of what a row is to tell of still, as things stand; undefined: nothing, or that is found out otherwise. */
  #namedAfter(row: OutboxRow, found: Found): OpenedEntry | undefined {
    const record = found.stored && withProgressHere(found.stored, this.#parts.roster);
    if (row.after === undefined || record === undefined || sessionOf(record, row.deviceId) === undefined) return undefined;
    return this.#left(row, record, entriesOf(row, found), 1)[0];
  }

  /** Of the entries that a row stands for those that are to be told of still, the newest first. */
  #left(
    { coalesced, deviceId }: OutboxRow,
    record: UserRecord,
    entries: readonly OpenedEntry[],
    most: number,
  ): OpenedEntry[] {
    const { clock } = this.#parts;
    const device = sessionOf(record, deviceId)!;
    const left: OpenedEntry[] = [];
    for (const entry of entries) {
      if (left.length === most) break;
      // Remembered ones may have expired since they were read.
      if (entry.expiresAt <= clock.now()) continue;
      // Others have rows of their own, or none.
      const isPart = entry.event === (coalesced ? SessionEvent["message.quiet"] : SessionEvent["message.alert"]);
      if (!isPart || entry.silent || entry.collapseKey !== undefined) continue;
      if (whySpared(record, device, entry) !== undefined) continue;
      left.push(entry);
    }
    return left;
  }

  /** A device that came back in front before its push left is pushed to as if it had been there all the time. */
  #backInFront(row: OutboxRow): Look | undefined {
    const { actor, attention, clock, pending, policy, roster } = this.#parts;
    const { userId, deviceId, topic, position, urgency } = row;
    const session = roster.find(userId, deviceId);
    // Once a provider was asked it was due: only what a person does calls it back.
    if (session?.outlet === undefined || !attention.isInFront(session) || pending.wasAsked(row)) return undefined;
    if (urgency === "low" || urgency === "very-low") return { end: "dropped", note: "the app is in front again" };
    const reader = session.reader(topic);
    const { state } = actor.stepper.describe(session.state);
    // A connection is live while nothing is overdue: then what is not seen yet may still be seen in time.
    if (state !== "connected.live" || reader === undefined || reader.seenUpTo() >= position.offset) return undefined;
    let wait = policy.ackTimeoutMs;
    for (const { at, entry } of session.unseen) {
      if (entry.topic === topic && entry.position.offset === position.offset) wait += at - clock.elapsed();
    }
    return { until: clock.now() + Math.max(1, Math.ceil(wait)), note: "the app is in front again: it gets time to show it" };
  }
}

/** What was found of the entries that a row stands for, the newest first. */
function entriesOf({ position }: OutboxRow, { entry, others }: Found): readonly OpenedEntry[] {
  const isThere = entry?.position.offset === position.offset && entry.position.epoch === position.epoch;
  return isThere ? [entry, ...others] : others;
}

function nameOf(topic: string, offset: number): string {
  return `${offset} ${topic}`;
}
