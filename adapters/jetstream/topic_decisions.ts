import type { AddedRow, TopicDecision } from "../../src/ports/outbox.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { LookUps } from "./look_up.ts";
import { digest, type Draft, fromBytes, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { draftLookUps, placeOf } from "./user_document.ts";
import { type Versioned, type VersionWriter, writesAfter } from "./versions.ts";

/** Topics whose last version is remembered, so that it need not be read again to write the next one, and what that may take, bytes. */
const REMEMBERED = 10_000;
const MOST_BYTES = 8 * 1024 * 1024;

/** How far a topic is decided, as stored. */
interface Version extends Versioned {
  readonly decision: TopicDecision | undefined;
}

/** How far public topics are decided: a document for each, and a look-up of those where something is open. */
export class TopicDecisions {
  readonly #stream: StateStream;
  readonly #writer: VersionWriter;
  readonly #lookUps: LookUps;
  readonly #versions = new Map<Topic, Version>();
  #bytes = 0;

  constructor(stream: StateStream, writer: VersionWriter) {
    this.#stream = stream;
    this.#writer = writer;
    this.#lookUps = new LookUps(stream);
  }

  /** What is remembered takes so much memory, bytes, about. */
  get heldBytes(): number {
    return this.#bytes;
  }

  async get(topic: Topic): Promise<TopicDecision | undefined> {
    return (await this.#read(topic)).decision;
  }

  /** @returns the new version, or undefined when it was not that version any more */
  async put(decision: TopicDecision, rows: readonly AddedRow[]): Promise<number | undefined> {
    const { topic, version } = decision;
    let before = this.#versions.get(topic);
    if (before?.seq !== version) {
      before = await this.#read(topic);
      if (before.seq !== version) return undefined;
    }
    const written = await this.#writer.write({
      before,
      rows,
      draft: (before: Version, write) => this.#drafts(before, decision, write),
      read: () => this.#read(topic),
    });
    if (written?.writes !== undefined) {
      this.#remember(topic, { ...written, writes: written.writes, decision: { ...decision, version: written.seq } });
    }
    return written?.seq;
  }

  /** Topics of which not everything is decided. */
  async open({ after, limit }: Page): Promise<NamesPage> {
    const { names, next } = await this.#lookUps.page(this.#openPrefix, after, limit);
    const decisions = await Promise.all(names.map((topic) => this.get(topic as Topic)));
    return { names: names.filter((_, index) => isOpen(decisions[index])), next };
  }

  #drafts(before: Version, decision: TopicDecision, write: string): Draft[] {
    const { topic, epoch, decided, goal, pass } = decision;
    const document = { topic, decision: { epoch, decided, goal, pass: pass && { to: pass.to, after: pass.after } } };
    const bytes = toBytes({ ...document, writes: writesAfter(before, write) });
    return [
      ...draftLookUps(this.#openLookUps(topic, before.decision), this.#openLookUps(topic, decision)),
      { subject: this.#subject(topic), bytes, expected: before.seq },
    ];
  }

  async #read(topic: Topic): Promise<Version> {
    const stored = await this.#stream.read(this.#subject(topic));
    if (stored === undefined) return { seq: 0, writes: [], decision: undefined };
    const { decision, writes } = fromBytes(stored.bytes) as {
      decision: Omit<TopicDecision, "topic" | "version">;
      writes: string[];
    };
    return { seq: stored.seq, writes, decision: { topic, version: stored.seq, ...decision } };
  }

  #subject(topic: Topic): string {
    return `${this.#stream.prefix}.j.${digest(topic)}`;
  }

  get #openPrefix(): string {
    return `${this.#stream.prefix}.g`;
  }

  #openLookUps(topic: Topic, decision: TopicDecision | undefined): ReadonlySet<string> {
    return new Set(isOpen(decision) ? [`${this.#openPrefix}.${placeOf(topic)}`] : []);
  }

  #remember(topic: Topic, version: Version): void {
    this.#forget(topic);
    this.#versions.set(topic, version);
    this.#bytes += bytesOf(topic, version);
    while (this.#versions.size > REMEMBERED || this.#bytes > MOST_BYTES) this.#forget(this.#versions.keys().next().value!);
  }

  #forget(topic: Topic): void {
    const version = this.#versions.get(topic);
    if (version === undefined) return;
    this.#versions.delete(topic);
    this.#bytes -= bytesOf(topic, version);
  }
}

/** About. */
function bytesOf(topic: Topic, { writes, decision }: Version): number {
  return 500 + 2 * topic.length + (decision?.pass?.after?.length ?? 0) +
    writes.reduce((sum, write) => sum + 24 + write.length, 0);
}

function isOpen(decision: TopicDecision | undefined): boolean {
  return decision !== undefined && decision.goal > decision.decided;
}
