import type { AddedRow, CancelMatch, OutboxEnd, OutboxRow, Take, TopicDecision } from "../../src/ports/outbox.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Failure } from "./failure.ts";

/** What the calling thread asks the writing one to do. `now`: the caller's wall clock, milliseconds. */
export type Command =
  | { kind: "publish"; topic: Topic; bytes: Uint8Array; key: string; expiresAt: number; now: number }
  | { kind: "swept"; topic: Topic; head: number; now: number }
  | {
    kind: "put";
    userId: string;
    /** The versions that must be stored, 0 for none; undefined: any. */
    expected: { devices: number | undefined; positions: number | undefined };
    /** The parts that are written, as JSON. `keys`: what the user is looked up by, `[kind, key][]`. */
    devices: { version: number; seenAt: number; keys: string; record: string } | undefined;
    positions: { version: number; record: string } | undefined;
    rows: readonly AddedRow[];
    now: number;
  }
  | { kind: "remove"; userId: string; version: number; now: number }
  | { kind: "take"; ids: readonly string[]; now: number }
  | { kind: "retry"; takes: readonly Take[]; dueAt: number; note: string; now: number }
  | { kind: "postpone"; ids: readonly string[]; dueAt: number; note: string; now: number }
  | { kind: "settle"; ids: readonly string[]; end: OutboxEnd; note: string; handle: string | undefined; now: number }
  | { kind: "cancel"; match: CancelMatch; note: string; now: number }
  | { kind: "decide"; decision: TopicDecision; next: number; rows: readonly AddedRow[]; now: number };

/** What each command answers. */
export interface Answers {
  publish: { offset: number; duplicate: boolean };
  swept: undefined;
  /** Whether what was expected was there. */
  put: boolean;
  remove: boolean;
  /** The ids that were taken. */
  take: string[];
  retry: undefined;
  postpone: undefined;
  settle: undefined;
  cancel: OutboxRow[];
  /** Whether the version was still that one. */
  decide: boolean;
}

export type Answer = Answers[Command["kind"]];

/** What the writing thread is started with. */
export interface WriterOptions {
  readonly path: string;
  /** The path it was asked for by: the same, or one that leads there over links. */
  readonly askedFor: string;
  readonly maxEntries: number;
  readonly idempotencyMs: number;
  /** The epoch that a new file gets. */
  readonly epoch: number;
  /** When the file is opened, milliseconds since 1970, whole. */
  readonly now: number;
  readonly faults: WriterFaults;
}

/** What tests and benchmarks make worse. */
export interface WriterFaults {
  /** A slow disk: waits this long before each commit. */
  readonly commitDelayMs?: number;
  /** A full disk: the file may not grow beyond this many pages. */
  readonly maxPages?: number;
  /** A failing disk: this commit fails, the first is 1. */
  readonly failCommit?: number;
}

/** From the calling thread: a batch, or the end. */
export type Request = readonly Command[] | "close";

/** From the writing thread. */
export type Reply =
  | { kind: "opened"; epoch: number }
  | { kind: "refused"; failure: Failure }
  /** One answer or failure per command, in order. `broken`: nothing more will be written. */
  | { kind: "done"; outcomes: readonly Outcome[]; broken: Failure | undefined }
  | { kind: "closed" };

export type Outcome = { answer: Answer } | { failure: Failure };
