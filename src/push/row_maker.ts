import { isAway } from "../delivery/records.ts";
import type { EntryName } from "../delivery/journal.ts";
import type { OpenedEntry } from "../delivery/opened_entry.ts";
import { deviceName } from "../delivery/session.ts";
import { isEnabled, placeOf } from "../delivery/target.ts";
import { isPublic, ownerOf } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { AddedRow, NewOutboxRow, Outbox, OutboxRow } from "../ports/outbox.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import type { Policy } from "../session/policy.ts";
import type { Arbiter } from "./arbiter.ts";
import type { Decision } from "./decision.ts";
import { type Done, whyDone } from "./need.ts";
import type { PendingPushes } from "./pending.ts";
import { isPartOf, type Plan, Plans, type PushClass } from "./plan.ts";
import { type Decider, restId, rowId } from "./row_id.ts";

/** What rows are made with. */
export interface RowMakerParts {
  arbiter: Arbiter;
  outbox: Pick<Outbox, "ofMessage" | "waiting">;
  pending: PendingPushes;
  policy: Policy;
  clock: Clock;
}

/** What became of decisions: rows of the outbox, and entries that need none. */
export interface MadeRows {
  readonly rows: readonly AddedRow[];
  /** Ids of rows that wait and are not needed any more: a newer message of their collapse key is there. */
  readonly superseded: readonly string[];
  readonly spared: readonly { readonly entry: EntryName; readonly userId: string; readonly why: string }[];
}

/** Rows of one target and topic that wait with their own words; the next one stands for all that come. */
const OWN_WORDS = { private: 20, public: 3 };

/**
 * Turns decisions into rows: one per place that a device can be pushed to, due now or later. What waits for a place in one topic is
 * bounded: beyond some rows one stands for all further entries, and each that comes is added to it as long as it is pending. Of a
 * collapse key only the newest row stays.
 */
export class RowMaker {
  readonly #parts: RowMakerParts;
  readonly #plans = new Plans();

  constructor(parts: RowMakerParts) {
    this.#parts = parts;
  }

  /**
   * @param record with what the user's sessions on this node have acked by now
   * @param decisions by topic, those of one topic by offset
   */
  async make(
    session: SessionRecord,
    record: UserRecord,
    decisions: readonly Decision[],
    decider: Decider,
  ): Promise<MadeRows> {
    const { outbox, pending } = this.#parts;
    const targets = session.targets.filter(isEnabled).map(({ provider }) => {
      return { provider, targetId: placeOf(record.userId, session.deviceId, provider) };
    });
    const work = new Work(this.#parts, session, record, decider);
    const mayWait = pending.mayHave(record.userId);
    for (const plan of this.#plans.of(decisions)) {
      const { topic } = plan;
      if (record.subscriptions[topic] === undefined) continue;
      const waiting = mayWait ? await outbox.waiting(targets.map(({ targetId }) => targetId), topic) : [];
      for (const target of targets) await work.add(target, plan, waiting.filter(({ targetId }) => targetId === target.targetId));
    }
    return { rows: work.rows, superseded: work.superseded, spared: [...work.spared.values()] };
  }
}

/** Where a push goes to. */
interface Place {
  readonly provider: string;
  readonly targetId: string;
}

/** Rows that are being made for one device. */
class Work {
  readonly rows: AddedRow[] = [];
  readonly superseded: string[] = [];
  readonly spared = new Map<OpenedEntry, MadeRows["spared"][number]>();
  readonly #parts: RowMakerParts;
  readonly #session: SessionRecord;
  readonly #record: UserRecord;
  readonly #decider: Decider;
  readonly #now: number;
  /** One question for all of them, and only when an answer can hold something back. */
  #attended: Promise<boolean> | undefined;

  constructor(parts: RowMakerParts, session: SessionRecord, record: UserRecord, decider: Decider) {
    this.#parts = parts;
    this.#decider = decider;
    this.#session = session;
    this.#record = record;
    this.#now = parts.clock.now();
  }

  async add(place: Place, { alone, classes, topic }: Plan, waiting: readonly OutboxRow[]): Promise<void> {
    const keys = new Set<string>();
    for (const decision of alone) {
      if (!this.#needs(place, decision, waiting)) continue;
      const row = await this.#row(place, decision);
      this.rows.push(row);
      if (row.collapseKey !== undefined) keys.add(row.collapseKey);
    }
    for (const { id, collapseKey } of waiting) if (collapseKey !== undefined && keys.has(collapseKey)) this.superseded.push(id);
    const own = waiting.filter(({ after, collapseKey }) => after === undefined && collapseKey === undefined).length;
    let room = (isPublic(topic) ? OWN_WORDS.public : OWN_WORDS.private) - own;
    for (const pushClass of classes) {
      const { coalesced, decisions } = pushClass;
      // What a provider was asked for already stays as it is: it may have arrived.
      const { epoch } = decisions[0]!.entry.position;
      const rest = waiting
        .filter((row) =>
          row.after !== undefined && row.coalesced === coalesced && row.attempts === 0 && row.position.epoch === epoch
        )
        .reduce<OutboxRow | undefined>((last, row) => last === undefined || isBehind(row, last) ? row : last, undefined);
      let next = 0;
      // Once one row stands for the rest, what comes is part of it.
      for (; next < decisions.length && room > 0 && rest === undefined; next++) {
        if (!this.#needs(place, decisions[next]!, waiting)) continue;
        this.rows.push(await this.#row(place, decisions[next]!));
        room--;
      }
      const row = await this.#rest(place, pushClass, next, waiting, rest);
      if (row !== undefined) this.rows.push(row);
    }
  }

  /** One row for all decisions from an index on, and for those of the one that stands for the rest so far. */
  async #rest(
    place: Place,
    pushClass: PushClass,
    from: number,
    waiting: readonly OutboxRow[],
    known: OutboxRow | undefined,
  ): Promise<AddedRow | undefined> {
    const { decisions } = pushClass;
    let first = from;
    const last = await this.#lastOpen(place, decisions, from, waiting);
    while (first < last && !this.#needs(place, decisions[first]!, waiting)) first++;
    if (last < first) return undefined;
    const row = await this.#row(place, decisions[last]!);
    const { dueAt } = first === last ? row : await this.#row(place, decisions[first]!);
    const { expiresAt, isHigh } = pushClass.restFrom(first);
    // Of what comes later than what is newer (it was acked before this connection, say) the new row has to stand alone: in the place
    // of the other one it would end before it.
    const isSame = known !== undefined && isBehind(row, known);
    return {
      ...row,
      id: restId(place.targetId, row.topic, row.position, this.#decider),
      after: decisions[first]!.entry.position.offset - 1,
      urgency: isHigh || (isSame && known.urgency === "high") ? "high" : row.urgency,
      dueAt: isSame ? Math.min(known.dueAt, dueAt) : dueAt,
      expiresAt: isSame ? Math.max(known.expiresAt, expiresAt) : expiresAt,
      ...isSame ? { replaces: known.id } : {},
    };
  }

  /** The index of the last decision that no row stands for; less than `from`: there is none. */
  async #lastOpen(place: Place, decisions: readonly Decision[], from: number, waiting: readonly OutboxRow[]): Promise<number> {
    const mayBeMade = this.#decider === "user" && isAway(this.#session) && isPublic(decisions[0]?.entry.topic ?? "");
    for (let last = decisions.length - 1;;) {
      while (last >= from && !this.#needs(place, decisions[last]!, waiting)) last--;
      if (last < from || !mayBeMade) return last;
      const after = await this.#madeAfter(place, decisions[last]!);
      if (after === undefined) return last;
      while (last >= from && decisions[last]!.entry.position.offset > after) last--;
    }
  }

  /** While a device goes away, another node may decide about the topic. @returns behind which entry its row with that last one begins */
  async #madeAfter({ targetId }: Place, { entry: { id, position, topic } }: Decision): Promise<number | undefined> {
    const ids = [rowId(targetId, topic, position), restId(targetId, topic, position, "topic")];
    const rows = await this.#parts.outbox.ofMessage(id, ids);
    return rows.length === 0 ? undefined : Math.min(...rows.map(({ after = position.offset - 1 }) => after));
  }

  /** Whether an entry needs a row; where not though its route says so, why. */
  #needs({ targetId }: Place, { entry }: Decision, waiting: readonly OutboxRow[]): boolean {
    if (entry.expiresAt <= this.#now || waiting.some((rest) => isPartOf(entry, rest))) return false;
    if (this.#parts.pending.knows(rowId(targetId, entry.topic, entry.position))) return false;
    const why = whySpared(this.#record, this.#session, entry);
    if (why === undefined) return true;
    this.spared.set(entry, { entry, userId: this.#record.userId, why });
    return false;
  }

  async #row({ provider, targetId }: Place, { entry, route }: Decision): Promise<NewOutboxRow> {
    const { arbiter, policy } = this.#parts;
    const { userId } = this.#record;
    const { deviceId } = this.#session;
    const { collapseKey, position, silent, topic } = entry;
    const isLate = route.push === "coalesced";
    const until = arbiter.holdsUntil(entry.appendedAt);
    const isHeld = until > this.#now &&
      await (this.#attended ??= arbiter.attendedElsewhere(this.#record, deviceName(deviceId)));
    const dueAt = isHeld ? until : this.#now;
    return {
      id: rowId(targetId, topic, position),
      userId,
      deviceId,
      targetId,
      provider,
      topic,
      position,
      messageId: entry.id,
      urgency: entry.urgency,
      dueAt: isLate ? Math.max(dueAt, this.#now + policy.coalesceMs) : dueAt,
      expiresAt: entry.expiresAt,
      coalesced: isLate && !silent && collapseKey === undefined,
      ...silent ? { silent } : {},
      ...collapseKey === undefined ? {} : { collapseKey },
      rule: route.rule,
    };
  }
}

/** Whether a row ends at a later entry than another one. */
function isBehind({ position }: Pick<OutboxRow, "position">, other: Pick<OutboxRow, "position">): boolean {
  return position.offset > other.position.offset;
}

/** Why a device is not pushed an entry though its route says so; undefined: it is. */
export function whySpared(record: UserRecord, { deviceId }: SessionRecord, entry: OpenedEntry): string | undefined {
  const { topic, position, from } = entry;
  if (from === record.userId) {
    if (isPublic(topic)) return "the user's own message";
    if (ownerOf(topic) === from && entry.device === deviceName(deviceId)) return "sent from this device";
  }
  const done = whyDone(record, deviceId, topic, position);
  return done && SPARED[done];
}

const SPARED: Readonly<Record<Done, string>> = {
  read: "read on another device",
  dismissed: "dismissed on another device",
  handled: "dealt with on another device",
  shown: "shown on this device",
  seen: "seen on this device",
};
