import type { Random } from "../../src/ports/random.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { closed, closedConnection, unavailable } from "../nats/errors.ts";
import { type Api, type ApiError, noRoom, parse } from "./api.ts";
import { Batches } from "./batches.ts";
import { rawHeaders } from "./log_format.ts";
import type { Draft, Outcome } from "./state_format.ts";

/** What the server admits in one batch. */
const MAX_BATCH = 1_000;
/** The most that headers take. */
const HEADER_BYTES = 1_024;

const CONFLICTS: readonly number[] = [10071, 10164];
const TOO_LARGE: readonly number[] = [10054, 10097, 10199];

/** What a stream says of a publish. */
interface Ack {
  readonly error?: ApiError;
  readonly seq?: number;
}

/** Writes documents of the state stream, each try once: whoever gets no answer must look what became of it. */
export class StateWriter {
  readonly #api: Api;
  readonly #random: Random;
  readonly #batches = new Batches((drafts) => this.#writeBatch(drafts));

  constructor(api: Api, random: Random) {
    this.#api = api;
    this.#random = random;
  }

  /** @throws {PeykError} `too-large`, `storage-full`, `unavailable`, `closed` */
  async write(drafts: readonly Draft[]): Promise<Outcome> {
    if (this.#api.isClosed) throw closed();
    if (drafts.length > MAX_BATCH) throw tooLarge(`${drafts.length} documents in one step`);
    const most = (this.#api.link.connection.info?.max_payload ?? Infinity) - HEADER_BYTES;
    for (const { bytes } of drafts) if (bytes.length > most) throw tooLarge(`a document of ${bytes.length} bytes`);
    return await (drafts.length === 1 ? this.#commit(drafts[0]!, {}) : this.#batches.write(drafts));
  }

  async #writeBatch(drafts: readonly Draft[]): Promise<Outcome> {
    const batch = this.#random.id();
    const headers = (index: number): Record<string, string> => ({
      "Nats-Batch-Id": batch,
      "Nats-Batch-Sequence": String(index + 1),
    });
    const last = drafts.length - 1;
    for (const [index, draft] of drafts.slice(0, last).entries()) {
      const left = this.#api.link.send(draft.subject, draft.bytes, { headers: headersOf(draft, headers(index)) });
      if (!left) return { kind: "unsure", cause: "it did not leave" };
    }
    return await this.#commit(drafts[last]!, { ...headers(last), "Nats-Batch-Commit": "1" });
  }

  async #commit(draft: Draft, more: Record<string, string>): Promise<Outcome> {
    const { inbox, link } = this.#api;
    const ack = await inbox.ask(draft.subject, draft.bytes, (message) => parse(message) as Ack, headersOf(draft, more));
    if (ack === undefined) {
      if (link.hasEnded) throw closedConnection();
      return { kind: "unsure", cause: "no answer in time" };
    }
    const { error, seq } = ack;
    if (seq !== undefined && seq > 0 && error === undefined) return { kind: "stored", seq };
    const code = error?.err_code ?? 0;
    if (CONFLICTS.includes(code)) return { kind: "conflict" };
    if (TOO_LARGE.includes(code)) throw tooLarge(error!.description);
    if (noRoom.has(code)) {
      throw new PeykError("storage-full", "JetStream takes no more", {
        retryable: true,
        hint: "Give its account or its disk more room.",
      });
    }
    return { kind: "unsure", cause: error?.description };
  }
}

/** Says that nobody knows what became of a write. */
export function unanswered(cause: unknown): PeykError {
  return unavailable("JetStream does not answer, or not in time; whether a write was stored is not known", cause);
}

function tooLarge(what: string): PeykError {
  return new PeykError("too-large", `a record and its pushes are more than JetStream takes at once: ${what}`, {
    hint: "A record must fit into the server's max_payload, and into 1,000 documents with its changed look-ups and new pushes.",
  });
}

function headersOf({ expected, expectedOf, ttl }: Draft, more: Record<string, string>): ReturnType<typeof rawHeaders> {
  const fields: Record<string, string | number> = { ...more };
  if (expected !== undefined) fields["Nats-Expected-Last-Subject-Sequence"] = expected;
  if (expectedOf !== undefined) fields["Nats-Expected-Last-Subject-Sequence-Subject"] = expectedOf;
  if (ttl !== undefined) fields["Nats-TTL"] = `${ttl}s`;
  return rawHeaders(fields);
}
