import type { StorageContext } from "../../src/ports/storage.ts";
import { unavailable } from "../nats/errors.ts";
import type { PeykError } from "../../src/protocol/errors.ts";
import { type Api, apiCode, type ApiError } from "./api.ts";
import { DocumentReader } from "./document_reader.ts";
import type { Draft, Outcome, Stored } from "./state_format.ts";
import { StateWriter } from "./state_writer.ts";
import { readAtLeader } from "./stored_message.ts";
import { findLog, FORMAT, otherVersion, refused } from "./streams.ts";

const EMPTY = new Uint8Array();
/** How long a consumer of one name is asked for. */
const CONSUMER_MS = 2_000;

/** A part of the stream's subjects, and how many there are. */
interface Subjects {
  readonly total?: number;
  readonly state: { readonly subjects?: Record<string, number> };
}

/**
 * The stream that holds users, leases and the outbox: of each subject the last document. All that is read is as new as its leader
 * has it.
 */
export class StateStream {
  readonly api: Api;
  /** What all subjects begin with. */
  readonly prefix: string;
  readonly name: string;
  readonly #reader: DocumentReader;
  readonly #writer: StateWriter;
  /** A document that says nothing, and is always there. */
  readonly #mark: string;

  constructor(api: Api, name: string, { clock, random }: Pick<StorageContext, "clock" | "random">) {
    this.api = api;
    this.name = `${name}_STATE`;
    this.prefix = `${name}.st`;
    this.#mark = `${this.prefix}.o`;
    this.#reader = new DocumentReader(api, clock, this.name, this.#mark);
    this.#writer = new StateWriter(api, random);
  }

  /**
   * Makes the stream if it is not there.
   * @throws {PeykError} `bad-config`, `storage-version`, `storage-full`, `unavailable`
   */
  async open(replicas: number): Promise<void> {
    const { error } = await this.api.ask(`STREAM.CREATE.${this.name}`, {
      name: this.name,
      subjects: [`${this.prefix}.>`],
      storage: "file",
      retention: "limits",
      discard: "old",
      num_replicas: replicas,
      max_msgs_per_subject: 1,
      allow_direct: true,
      allow_atomic: true,
      allow_msg_ttl: true,
      metadata: { "peyk-format": `${FORMAT}` },
    });
    // A node that is not the first finds it there.
    if (error !== undefined) throw await this.#complaint(error);
    await this.write([{ subject: this.#mark, bytes: EMPTY, expected: 0 }]);
  }

  /** Why it can't be had: a stream of that name that was made otherwise may be ours, of another format. */
  async #complaint(error: ApiError): Promise<PeykError> {
    const info = error.err_code === apiCode.streamExists ? await findLog(this.api, this.name) : undefined;
    const { subjects, allow_atomic, max_msgs_per_subject, metadata } = info?.config ?? {};
    const isOurs = JSON.stringify(subjects) === JSON.stringify([`${this.prefix}.>`]) && allow_atomic === true &&
      max_msgs_per_subject === 1;
    // The first format was not named.
    const format = Number(metadata?.["peyk-format"] ?? 1);
    return isOurs && format > 0 && format !== FORMAT ? otherVersion(this.name, format) : refused(this.name, error);
  }

  /** The document of a subject. */
  read(subject: string): Promise<Stored | undefined> {
    return this.#reader.read(subject);
  }

  /** Whether a document matches. Costs the server little, however many do not. */
  async any(filter: string): Promise<boolean> {
    return await readAtLeader(this.api, this.name, { next_by_subj: filter }) !== undefined;
  }

  /** The subjects that match, in no order. The server takes them from memory; what it takes depends on how many match. */
  async subjects(filter: string): Promise<string[]> {
    const found: string[] = [];
    for (let total = 1; found.length < total;) {
      const body = { subjects_filter: filter, offset: found.length };
      const answer = await this.api.ask<Subjects>(`STREAM.INFO.${this.name}`, body);
      if (answer.error !== undefined) throw unavailable(answer.error.description);
      const page = Object.keys(answer.state.subjects ?? {});
      if (page.length === 0) break;
      found.push(...page);
      total = answer.total ?? 0;
    }
    return found;
  }

  /**
   * Writes documents in one step: all of them, or none. The last one gets the highest sequence, they stand one after the other.
   * @throws {PeykError} `too-large`, `storage-full`, `unavailable`, `closed`
   */
  write(drafts: readonly Draft[]): Promise<Outcome> {
    return this.#writer.write(drafts);
  }

  /** Makes a consumer of the stream. */
  async consume(name: string, config: Record<string, unknown>): Promise<void> {
    const body = { stream_name: this.name, config: { ...config, name }, action: "create" };
    // Not for long: one that came to be on a server that does not answer never will, and another name is another chance.
    const { error } = await this.api.ask(`CONSUMER.CREATE.${this.name}.${name}`, body, CONSUMER_MS);
    if (error !== undefined) throw unavailable(error.description);
  }

  /** Lets go of a consumer, as far as the server hears it. */
  forgetConsumer(name: string): void {
    this.api.link.send(`$JS.API.CONSUMER.DELETE.${this.name}.${name}`, EMPTY);
  }
}
