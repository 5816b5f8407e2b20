import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Random } from "../../src/ports/random.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { Gate } from "./gate.ts";
import { Questions } from "./inbox.ts";
import type { JetStreamConnection } from "./link.ts";

/** What the state needs of a NATS connection. */
export type StateConnection = Pick<JetStreamConnection, "info" | "options" | "publish" | "subscribe" | "isClosed">;

/** A document as the stream's leader has it. */
export interface Stored {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/** A document to write. */
export interface Draft {
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** The sequence that this subject, or the other one that is named, must have now; 0: none. */
  readonly expected?: number;
  readonly expectedOf?: string;
  /** Seconds after which the server removes it. */
  readonly ttl?: number;
}

/**
 * What became of a write. Conflict: a document was not at its expected sequence, or is being written just now; nothing was stored.
 * Unsure: no answer came, or one that says nothing; it may be stored, or be stored later.
 */
export type Outcome = { kind: "stored"; seq: number } | { kind: "conflict" } | { kind: "unsure"; cause: unknown };

/** How long something is tried again before it is `unavailable`, milliseconds. */
export const PATIENCE_MS = 10_000;
/** How long one answer is waited for. */
const ANSWER_MS = 2_500;
const FIRST_PAUSE_MS = 10;
const LAST_PAUSE_MS = 500;
/** What the server admits in one batch. */
const MAX_BATCH = 1_000;
/** Batches of this node under way. The server admits 50 per stream, from all nodes together. */
const BATCHES = 12;
/** Questions of this node under way. A server drops those that its queue has no room for. */
const AT_ONCE = 256;
/** The most that headers take. */
const HEADER_BYTES = 1_024;

const NO_MESSAGE = 10037;
const DISABLED: readonly number[] = [10039, 10076];
const CONFLICTS: readonly number[] = [10071, 10164];
const TOO_LARGE: readonly number[] = [10054, 10097, 10199];
const FULL: readonly number[] = [10002, 10023, 10047];
const EMPTY = new Uint8Array();
const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Answer {
  error?: { code: number; err_code: number; description: string };
  seq?: number;
  total?: number;
  message?: { seq: number; data?: string };
  state?: { subjects?: Record<string, number> };
  cluster?: { raft_group?: string; leader?: string };
}

/** The stream that holds users, leases and the outbox: of each subject the last document. All that is read comes from its leader. */
export class StateStream {
  /** What all subjects begin with. */
  readonly prefix: string;
  readonly name: string;
  readonly #connection: StateConnection;
  readonly #random: Random;
  readonly #batches = new Gate(BATCHES);
  readonly #questions: Questions;
  readonly #asking = new Gate(AT_ONCE);
  #closed = false;

  constructor(connection: StateConnection, name: string, random: Random) {
    this.#connection = connection;
    this.#random = random;
    this.#questions = new Questions(connection, random.id(), ANSWER_MS);
    this.name = `${name}_STATE`;
    this.prefix = `${name}.st`;
  }

  /**
   * Makes the stream if it is not there.
   * @throws {PeykError} `bad-config`, `unavailable`
   */
  async open(replicas: number): Promise<void> {
    const answer = await this.#ask(`STREAM.CREATE.${this.name}`, {
      name: this.name,
      subjects: [`${this.prefix}.>`],
      storage: "file",
      retention: "limits",
      discard: "old",
      num_replicas: replicas,
      max_msgs_per_subject: 1,
      // Replicas may be behind: what decides is asked of the leader.
      allow_direct: false,
      allow_atomic: true,
      allow_msg_ttl: true,
    });
    if (answer.error === undefined) return;
    throw new PeykError("bad-config", `the stream ${this.name} can't be had: ${answer.error.description}`, {
      hint:
        "Is there another stream of that name or on these subjects, made otherwise? Name this cluster differently, or remove it.",
    });
  }

  /** The document of a subject. */
  async read(subject: string): Promise<Stored | undefined> {
    const { error, message } = await this.#ask(`STREAM.MSG.GET.${this.name}`, { last_by_subj: subject });
    if (error?.err_code === NO_MESSAGE) return undefined;
    if (message === undefined) throw unavailable(error?.description);
    return { seq: message.seq, bytes: message.data === undefined ? EMPTY : fromBase64(message.data) };
  }

  /** Whether a document matches. Costs the server little, however many do not. */
  async any(filter: string): Promise<boolean> {
    const { error } = await this.#ask(`STREAM.MSG.GET.${this.name}`, { next_by_subj: filter });
    if (error !== undefined && error.err_code !== NO_MESSAGE) throw unavailable(error.description);
    return error === undefined;
  }

  /** The subjects that match, in no order. The server takes them from memory; what it takes depends on how many match. */
  async subjects(filter: string): Promise<string[]> {
    const found: string[] = [];
    for (let total = 1; found.length < total;) {
      const body = { subjects_filter: filter, offset: found.length };
      const { error, state, total: all = 0 } = await this.#ask(`STREAM.INFO.${this.name}`, body);
      if (error !== undefined) throw unavailable(error.description);
      const page = Object.keys(state?.subjects ?? {});
      if (page.length === 0) break;
      found.push(...page);
      total = all;
    }
    return found;
  }

  /** Writes documents in one step: all of them, or none. The last one gets the highest sequence, they stand one after the other. */
  async write(drafts: readonly Draft[]): Promise<Outcome> {
    if (this.#closed) throw closed();
    if (drafts.length > MAX_BATCH) throw tooLarge(`${drafts.length} documents in one step`);
    const most = (this.#connection.info?.max_payload ?? Infinity) - HEADER_BYTES;
    for (const { bytes } of drafts) if (bytes.length > most) throw tooLarge(`a document of ${bytes.length} bytes`);
    if (drafts.length === 1) return await this.#commit(drafts[0]!, {});
    return await this.#batches.run(() => this.#writeBatch(drafts));
  }

  /** Makes a consumer of the stream. */
  async consume(name: string, config: Record<string, unknown>): Promise<void> {
    const body = { stream_name: this.name, config: { ...config, name }, action: "create" };
    const { error } = await this.#ask(`CONSUMER.CREATE.${this.name}.${name}`, body);
    if (error !== undefined) throw unavailable(error.description);
  }

  /** Lets go of a consumer, as far as the server hears it. */
  forgetConsumer(name: string): void {
    if (this.#connection.isClosed()) return;
    this.#connection.publish(`$JS.API.CONSUMER.DELETE.${this.name}.${name}`, EMPTY);
  }

  /** Ends when what is under way was answered. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#questions.close();
  }

  async #writeBatch(drafts: readonly Draft[]): Promise<Outcome> {
    const batch = this.#random.id();
    const headers = (index: number): Record<string, string> => ({
      "Nats-Batch-Id": batch,
      "Nats-Batch-Sequence": String(index + 1),
    });
    const last = drafts.length - 1;
    try {
      for (const [index, draft] of drafts.slice(0, last).entries()) {
        this.#connection.publish(draft.subject, draft.bytes, { headers: headersOf(draft, headers(index)) });
      }
    } catch (cause) {
      return { kind: "unsure", cause };
    }
    return await this.#commit(drafts[last]!, { ...headers(last), "Nats-Batch-Commit": "1" });
  }

  async #commit(draft: Draft, more: Record<string, string>): Promise<Outcome> {
    let answer: Answer;
    try {
      answer = parse(await this.#questions.ask(draft.subject, draft.bytes, headersOf(draft, more)));
    } catch (cause) {
      if (this.#connection.isClosed()) throw unavailable("the connection is closed", cause);
      return { kind: "unsure", cause };
    }
    const { error, seq } = answer;
    if (seq !== undefined && seq > 0 && error === undefined) return { kind: "stored", seq };
    const code = error?.err_code ?? 0;
    if (CONFLICTS.includes(code)) return { kind: "conflict" };
    if (TOO_LARGE.includes(code)) throw tooLarge(error!.description);
    if (FULL.includes(code)) {
      throw new PeykError("storage-full", "JetStream takes no more", {
        retryable: true,
        hint: "Give its account or its disk more room.",
      });
    }
    return { kind: "unsure", cause: error?.description };
  }

  /** Asks the leader until it answers. */
  #ask(verb: string, body: unknown): Promise<Answer> {
    return this.#asking.run(() => this.#persist(verb, body));
  }

  async #persist(verb: string, body: unknown): Promise<Answer> {
    const payload = encoder.encode(JSON.stringify(body));
    let cause: unknown;
    for await (const _ of tries()) {
      if (this.#closed) throw closed();
      try {
        const answer = parse(await this.#questions.ask(`$JS.API.${verb}`, payload));
        // While there is no leader anybody may answer.
        const leaderless = answer.cluster?.raft_group !== undefined && answer.cluster.leader === undefined;
        if (!leaderless && !isPassing(answer)) return answer;
        cause = answer.error?.description;
      } catch (error) {
        if (this.#connection.isClosed()) throw unavailable("the connection is closed", error);
        cause = error;
      }
    }
    throw unavailable(cause);
  }
}

/** Begins at once, and goes on with pauses that grow, until the patience is at its end. */
export async function* tries(ms: number = PATIENCE_MS): AsyncGenerator<void> {
  const end = performance.now() + ms;
  for (let pause = FIRST_PAUSE_MS;; pause = Math.min(pause * 2, LAST_PAUSE_MS)) {
    yield;
    if (performance.now() + pause > end) return;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** What stands for a text in subjects, which servers show in their logs: nobody can tell the text from it. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}

export function toBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function fromBytes(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes));
}

export function unavailable(why: unknown, cause?: unknown): PeykError {
  return new PeykError("unavailable", "JetStream does not answer, or not in time; whether a write was stored is not known", {
    retryable: true,
    hint: "Try again when NATS answers. See whether its servers run, and a quorum of them.",
    cause: cause ?? why,
  });
}

function closed(): PeykError {
  return new PeykError("closed", "the storage is closed", { hint: "Open the storage again." });
}

function tooLarge(what: string): PeykError {
  return new PeykError("too-large", `a user's record and its pushes are more than JetStream takes at once: ${what}`, {
    hint: "A record must fit into the server's max_payload, and into 1,000 documents with its changed look-ups and new pushes.",
  });
}

/** Whether the next try may fare better. */
function isPassing({ error }: Answer): boolean {
  return error?.code === 503 && !DISABLED.includes(error.err_code);
}

function parse(data: Uint8Array): Answer {
  return fromBytes(data) as Answer;
}

function fromBase64(text: string): Uint8Array {
  return Buffer.from(text, "base64");
}

/** Both clients ask a message's headers for nothing but their bytes. */
function headersOf({ expected, expectedOf, ttl }: Draft, more: Record<string, string>): { encode(): Uint8Array } {
  let text = "NATS/1.0\r\n";
  const fields = {
    ...more,
    "Nats-Expected-Last-Subject-Sequence": expected,
    "Nats-Expected-Last-Subject-Sequence-Subject": expectedOf,
    "Nats-TTL": ttl === undefined ? undefined : `${ttl}s`,
  };
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) text += `${name}: ${value}\r\n`;
  const bytes = encoder.encode(text + "\r\n");
  return { encode: () => bytes };
}
