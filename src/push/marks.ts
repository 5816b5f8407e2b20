import { PeykError } from "../protocol/errors.ts";
import type { MarkFrame } from "../protocol/frames.ts";
import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";
import { openEntry } from "../delivery/opened_entry.ts";
import type { CacheBytes } from "../delivery/cache_bytes.ts";
import type { ReceiptEntry, Receipts } from "../delivery/receipts.ts";
import { type UserRecords, withHandledIn } from "../delivery/records.ts";
import type { Reader, Session } from "../delivery/session.ts";
import { placeOf } from "../delivery/target.ts";
import type { Outbox } from "../ports/outbox.ts";
import type { History } from "../ports/transport.ts";
import type { UserRecord } from "../ports/users.ts";
import { howHandled, withHandled, withRead } from "../reading/handled.ts";
import type { PendingPushes } from "./pending.ts";
import { RecentEntries } from "./recent_entries.ts";
import { entryOf, rowIds } from "./row_id.ts";

/** What marks work with. */
export interface MarkParts {
  receipts: Receipts;
  pending: PendingPushes;
  outbox: Outbox;
  records: UserRecords;
  history: History | undefined;
  /** Where the bytes are counted of entries that are remembered. */
  held: CacheBytes;
}

/** An entry that a person dealt with. */
interface Marked {
  readonly topic: Topic;
  readonly position: Position;
  /** So are those after this offset. Absent: it alone. */
  readonly after?: number | undefined;
}

/** Marks of which it is remembered that they were told; of more the one that came first is forgotten. */
const TOLD = 1_000;

/**
 * Takes in that the person read or dismissed a message: it is stored before it is answered, the publisher hears it
 * once however often it is said, and no device is pushed for it that was not yet.
 * @returns a function that takes a mark frame of a session
 */
export function createMarks({ receipts, pending, outbox, records, history, held }: MarkParts): (
  session: Session,
  frame: MarkFrame,
) => Promise<void> {
  const told = new Set<string>();
  /** What many mark is read once. */
  const recent = new RecentEntries<ReceiptEntry>(held, ({ from, id }) => id.length + (from?.length ?? 0));

  /** Whether a mark is to be told: it changed something, or this node has not told of it before. */
  function isNews(
    userId: string,
    { kind, topic, epoch, offset }: MarkFrame,
    { positions }: UserRecord,
    changes: boolean,
  ): boolean {
    const key = `${kind}\n${userId}\n${topic}\n${epoch}.${offset}`;
    const known = positions.handled[topic];
    const isStored = kind === "read" && known?.epoch === epoch && known.read === offset;
    if (!changes && (isStored || told.has(key))) return false;
    told.add(key);
    if (told.size > TOLD) told.delete(told.keys().next().value!);
    return true;
  }

  /** The marked entry; undefined: it expired. */
  async function find({ feed }: Reader, { topic, epoch, offset }: MarkFrame): Promise<ReceiptEntry | undefined> {
    const read = async (): Promise<ReceiptEntry[]> => {
      const { entries = [], head = feed.head } = await history?.read(topic, offset - 1, 1) ?? {};
      if (epoch !== head.epoch || offset < 1 || offset > head.offset) throw notThere();
      return entries[0]?.offset === offset ? [nameOf(openEntry(entries[0]))] : [];
    };
    // Of another life of the log nothing is remembered.
    const [entry] = epoch === feed.head.epoch ? await recent.get(`${epoch} ${offset} ${topic}`, read) : await read();
    return entry;
  }

  /** With a dismissed notification all that it stood for is dismissed. */
  async function dismissed(userId: string, { topic, epoch, offset }: MarkFrame, id: string | undefined): Promise<Marked[]> {
    // Of what expired no push waits.
    if (id === undefined) return [{ topic, position: { epoch, offset } }];
    const { sessions = [] } = await records.store.get(userId) ?? {};
    // A row's place and position make its id: those of everybody else in a room are not looked at.
    const ids = sessions.flatMap(({ deviceId, targets }) => {
      return targets.flatMap(({ provider }) => rowIds(placeOf(userId, deviceId, provider), topic, { epoch, offset }));
    });
    const rows = await outbox.ofMessage(id, ids);
    const after = rows.find((row) => row.after !== undefined)?.after;
    return [{ topic, position: { epoch, offset }, after }, ...rows.flatMap(({ covers }) => covers.map(entryOf))];
  }

  return async (session, frame) => {
    const { kind, topic, epoch, offset } = frame;
    const { userId, deviceId } = session;
    if (kind !== "read" && kind !== "dismissed") throw new PeykError("unsupported", "a mark of a kind that is not known here");
    const reader = session.reader(topic);
    if (reader === undefined) throw new PeykError("not-subscribed", "a topic this user is not subscribed to");
    const entry = await find(reader, frame);
    const marked = kind === "read" ? [] : await dismissed(userId, frame, entry?.id);
    let changes = false;
    const record = await records.update(userId, (record) => {
      session.checkSignedIn();
      const changed = kind === "read" ? withReadMark(record, topic, { epoch, offset }) : withDismissed(record, marked);
      changes = changed !== record;
      return changes ? { record: changed } : undefined;
    });
    if (isNews(userId, frame, record, changes) && entry !== undefined) receipts.marked(kind, entry, session);
    await pending.dropDone(
      userId,
      ({ topic, position }) => howHandled(record.positions.handled[topic], position) === undefined ? undefined : kind,
      deviceId,
    );
  };
}

function notThere(): PeykError {
  return new PeykError("bad-message", "a mark on a message that is not there");
}

function nameOf({ from, id, position, topic }: ReceiptEntry): ReceiptEntry {
  return { id, topic, position, from };
}

function withReadMark(record: UserRecord, topic: Topic, { epoch, offset }: Position): UserRecord {
  if (record.subscriptions[topic] === undefined) return record;
  const { handled } = record.positions;
  const after = withRead(handled[topic], epoch, offset);
  return after === handled[topic] ? record : withHandledIn(record, { ...handled, [topic]: after });
}

function withDismissed(record: UserRecord, marked: readonly Marked[]): UserRecord {
  let { handled } = record.positions;
  for (const { topic, position: { epoch, offset }, after = offset - 1 } of marked) {
    if (record.subscriptions[topic] === undefined) continue;
    const changed = withHandled(handled[topic], epoch, after, offset);
    if (changed !== handled[topic]) handled = { ...handled, [topic]: changed };
  }
  return withHandledIn(record, handled);
}
