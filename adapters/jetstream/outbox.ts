import type { StorageContext } from "../../src/ports/storage.ts";
import type { AddedRow, CancelMatch, Outbox, OutboxEnd, OutboxRow, Take, TopicDecision } from "../../src/ports/outbox.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { OpenRows } from "./open_rows.ts";
import type { Change, OutboxChanges } from "./outbox_changes.ts";
import type { OutboxIndex } from "./outbox_index.ts";
import { asOf, endedPrefix, endedSubject, type OpenRow } from "./outbox_row.ts";
import { fromBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import type { TopicDecisions } from "./topic_decisions.ts";

/** Rows that are changed in one step: a conflict of one makes all of them be looked at again. */
const TOGETHER = 100;
/** Rows that end in one step as one push, each with two documents: less than a batch takes. */
const ONE_PUSH = 400;

/** What an outbox is made of. */
export interface OutboxParts {
  readonly stream: StateStream;
  readonly context: StorageContext;
  readonly index: OutboxIndex;
  readonly rows: OpenRows;
  readonly changes: OutboxChanges;
  readonly decisions: TopicDecisions;
}

/** Pushes as documents of the state stream. Each change is a compare-and-set at the stream's leader. */
export class JetStreamOutbox implements Outbox {
  readonly #stream: StateStream;
  readonly #context: StorageContext;
  readonly #index: OutboxIndex;
  readonly #rows: OpenRows;
  readonly #changes: OutboxChanges;
  readonly #decisions: TopicDecisions;
  /** This node, as long as it runs. */
  readonly #self: string;

  constructor({ stream, context, index, rows, changes, decisions }: OutboxParts) {
    this.#stream = stream;
    this.#context = context;
    this.#index = index;
    this.#rows = rows;
    this.#changes = changes;
    this.#decisions = decisions;
    this.#self = context.random.id();
  }

  due(now: number, limit: number, provider?: string): Promise<{ rows: OutboxRow[]; nextDueAt: number | undefined }> {
    return Promise.resolve(this.#index.due(now, this.#context.clock.now(), limit, provider));
  }

  waiting(targetIds: readonly string[], topic?: Topic): Promise<OutboxRow[]> {
    const rows = [...new Set(targetIds)].flatMap((targetId) => this.#pendingOf(targetId));
    return Promise.resolve(rows.filter((row) => row.topic === (topic ?? row.topic)));
  }

  waitingIn(topic: Topic, dueBy: number, limit: number): Promise<number> {
    return Promise.resolve(Math.min(this.#index.waitingIn(topic, dueBy, this.#context.clock.now()), limit));
  }

  async take(ids: readonly string[]): Promise<string[]> {
    const steps = await this.#changes.inSteps(
      ids,
      (row) => {
        if (row.status !== "pending") return undefined;
        return { row: { ...row, status: "sending", attempts: row.attempts + 1 }, by: this.#self };
      },
      TOGETHER,
    );
    const taken = new Set(steps.flatMap((step) => step.status === "fulfilled" ? step.value.map(({ id }) => id) : []));
    // Those of a step that failed are pending again after a while, if they were taken at all.
    const failed = steps.find((step) => step.status === "rejected");
    if (failed !== undefined && taken.size === 0) throw failed.reason;
    return [...new Set(ids)].filter((id) => taken.has(id));
  }

  async retry(takes: readonly Take[], dueAt: number, note: string): Promise<void> {
    const attempts = new Map(takes.map((take) => [take.id, take.attempts]));
    await this.#changes.all(
      [...attempts.keys()],
      (row, by) => {
        // Once it is pending again by itself, another node may have it.
        if (row.status !== "sending" || by !== this.#self || row.attempts !== attempts.get(row.id)) return undefined;
        return { row: { ...row, status: "pending", dueAt, note } };
      },
      TOGETHER,
    );
  }

  async postpone(ids: readonly string[], dueAt: number, note: string): Promise<void> {
    const change: Change = (row) => {
      const then = Math.min(dueAt, row.expiresAt);
      if (row.status !== "pending" || row.dueAt >= then) return undefined;
      return { row: { ...row, dueAt: then, note: row.attempts === 0 ? note : row.note } };
    };
    await this.#changes.all(ids, change, TOGETHER);
  }

  async settle(ids: readonly string[], end: OutboxEnd, note: string, handle?: string): Promise<void> {
    const [first, ...others] = new Set(ids);
    if (first === undefined) return;
    const isOnePush = end === "sent";
    const change: Change = (row) => {
      const isFirst = row.id === first;
      const given = isFirst && handle !== undefined ? { handle } : {};
      return { row: { ...row, status: end, note, covers: isOnePush && isFirst ? others : [], ...given } };
    };
    if (!isOnePush) return void await this.#changes.all([first, ...others], change, TOGETHER);
    if (others.length < ONE_PUSH) return void await this.#changes.all([first, ...others], change, ONE_PUSH);
    // The first stays open until then: when the node dies in between, the push is asked again under the same id.
    await this.#changes.all(others, change, TOGETHER);
    await this.#changes.all([first], change, 1);
  }

  async cancel(match: CancelMatch, note: string): Promise<OutboxRow[]> {
    return await this.#changes.all(
      await this.#rows.matching(match),
      (row) => row.status === "pending" ? { row: { ...row, status: "dropped", note } } : undefined,
      TOGETHER,
    );
  }

  async underWay(match: CancelMatch): Promise<boolean> {
    return (await this.#rows.matching(match)).some(({ row }) => this.#asOfNow(row).status === "sending");
  }

  async ofMessage(messageId: string, some?: readonly string[]): Promise<OutboxRow[]> {
    // First those that are open: one that ends meanwhile is then found among those that ended.
    const open = some === undefined ? this.#index.ofMessage(messageId) : this.#openOf(messageId, some);
    const subjects = some === undefined
      ? await this.#stream.subjects(`${endedPrefix(this.#stream, messageId)}.*`)
      : [...new Set(some)].map((id) => endedSubject(this.#stream, { messageId, id }));
    const stored = await Promise.all(subjects.map((subject) => this.#stream.read(subject)));
    const ended = stored.filter((document) => document !== undefined)
      .map(({ bytes }) => fromBytes(bytes) as OutboxRow);
    const ids = new Set(ended.map(({ id }) => id));
    return [...ended, ...open.map(({ row }) => this.#asOfNow(row)).filter(({ id }) => !ids.has(id))];
  }

  decision(topic: Topic): Promise<TopicDecision | undefined> {
    return this.#decisions.get(topic);
  }

  decide(decision: TopicDecision, rows: readonly AddedRow[]): Promise<number | undefined> {
    return this.#decisions.put(decision, rows);
  }

  undecided(page: Page): Promise<NamesPage> {
    return this.#decisions.open(page);
  }

  #openOf(messageId: string, ids: readonly string[]): OpenRow[] {
    const found = [...new Set(ids)].flatMap((id) => this.#index.find(id) ?? []);
    return found.filter(({ row }) => row.messageId === messageId);
  }

  #pendingOf(targetId: string): OutboxRow[] {
    return this.#index.ofTarget(targetId).map(({ row }: OpenRow) => this.#asOfNow(row)).filter(({ status }) =>
      status === "pending"
    );
  }

  #asOfNow(row: OutboxRow): OutboxRow {
    return asOf(this.#context.clock.now(), row);
  }
}
