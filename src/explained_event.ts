import type { NoteKind, PushFacts } from "./delivery/journal.ts";
import type { OutboxEnd, OutboxRow } from "./ports/outbox.ts";
import { queuedNote } from "./push/need.ts";
import { NOT_ASKED } from "./push/pending.ts";

/** Something that happened to a message on its way to a device; of a push with its provider and target. */
export interface ExplainedEvent extends PushFacts {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: NoteKind;
  readonly detail: string | undefined;
  /** How often it happened: a push that waits, or is asked for again and again, is one event. Absent: once. */
  readonly times?: number;
  /** When it happened the last time. Absent: once, `at`. */
  readonly lastAt?: number;
}

/** Of one message at one device. */
export const EVENTS_KEPT = 50;

/** What may happen to a push without end. */
const REPEATED: ReadonlySet<NoteKind> = new Set(["push-held", "push-retry", "target-rested"]);

/** What happens again and again is counted where it stands; once the list is full the last event gives way: how it ended is told. */
export function addEvent(events: ExplainedEvent[], event: ExplainedEvent): void {
  const { at, kind, detail, provider, target } = event;
  const index = !REPEATED.has(kind)
    ? -1
    : events.findLastIndex((known) =>
      known.kind === kind && known.detail === detail && known.provider === provider && known.target === target
    );
  const known = events[index];
  if (known !== undefined) events[index] = { ...known, ...event, at: known.at, times: (known.times ?? 1) + 1, lastAt: at };
  else if (events.length < EVENTS_KEPT) events.push(event);
  else events[EVENTS_KEPT - 1] = event;
}

/** The last thing that happened to a push, as the engine told it. */
export function eventOf(row: OutboxRow): ExplainedEvent {
  const { changedAt: at, note, provider, status, dueAt: until } = row;
  if (status === "sending") return { at, kind: "push-asked", detail: undefined, provider };
  if (status !== "pending") return { at, kind: NOTE_OF[status], detail: note, provider };
  if (note === undefined) return { at, ...queuedNote(row, at) };
  if (note.startsWith(NOT_ASKED)) return { at, kind: "push-held", detail: note.slice(NOT_ASKED.length), provider, until };
  return { at, kind: "push-retry", detail: note, provider, until };
}

const NOTE_OF = {
  sent: "push-sent",
  gone: "push-gone",
  rejected: "push-rejected",
  expired: "expired",
  dropped: "push-dropped",
} as const satisfies Record<OutboxEnd, NoteKind>;
