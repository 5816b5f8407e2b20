import type { Clock } from "../../src/ports/clock.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { closed, closedConnection, unavailable } from "../nats/errors.ts";
import { Link } from "../nats/link.ts";
import type { JetStreamConnection, JetStreamMessage } from "./connection.ts";
import { Gate } from "./gate.ts";
import { Inbox } from "./inbox.ts";
import { Patience } from "./patience.ts";

/** How long something is tried again, unless somebody says otherwise. */
export const PATIENCE_MS = 10_000;
/** Questions under way at a time: a server drops those that its queue has no room for. */
const AT_ONCE = 256;

/** An error that JetStream answers with (https://docs.nats.io/reference/reference-protocols/nats_api_reference). */
export interface ApiError {
  readonly code: number;
  readonly err_code: number;
  readonly description: string;
}

/** The errors of JetStream that mean something here, by `err_code`. */
export const apiCode = {
  /** No servers can be found for a stream or a consumer. */
  noPeers: 10005,
  noResources: 10023,
  notEnabled: 10076,
  notEnabledForAccount: 10039,
  noMessage: 10037,
  streamNotFound: 10059,
  streamExists: 10058,
  subjectsOverlap: 10065,
  /** What the stream's file store says when it takes no more, and when it fails otherwise. */
  storeFailed: 10077,
} as const;

/** What is said when the storage of an account, of a stream or of the servers is used up. */
export const noRoom: ReadonlySet<number> = new Set([10002, apiCode.noResources, 10028, 10047]);

/** An answer in JSON: what was asked for, or why not. */
export type Answer<Good> = { error: ApiError } | ({ error?: undefined } & Good);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** @returns undefined: nothing that can be read */
export function parse({ data }: JetStreamMessage): unknown {
  if (data.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(data));
  } catch {
    return undefined;
  }
}

/** JetStream's API, and the one way to it that all parts of a storage share. */
export class Api {
  readonly link: Link<JetStreamConnection>;
  readonly inbox: Inbox;
  readonly #clock: Clock;
  readonly #room = new Gate(AT_ONCE);
  readonly #ending = new AbortController();
  readonly #closing = this.#ending.signal;

  /** @throws {PeykError} `unavailable` when the connection is closed */
  constructor(connection: JetStreamConnection, { clock, logger, random }: Pick<StorageContext, "clock" | "logger" | "random">) {
    if (connection.isClosed()) throw closedConnection();
    this.#clock = clock;
    this.link = new Link(connection, logger);
    this.inbox = new Inbox(this.link, clock, random.id());
  }

  get isClosed(): boolean {
    return this.#closing.aborted;
  }

  /**
   * Asks until there is an answer: again while nobody answers, no leader is there, or servers are away that it takes. So it must be
   * what may be asked again.
   *
   * @param ms how long to go on asking
   * @param hopeless looked at after each try; true: no other is made
   * @throws {PeykError} `unavailable`, `closed`
   */
  async ask<Good>(verb: string, body: unknown, ms?: number, hopeless?: () => boolean): Promise<Answer<Good>> {
    const subject = `$JS.API.${verb}`;
    const bytes = encoder.encode(JSON.stringify(body));
    const patience = this.patience(ms);
    const turn = this.#room.enter();
    if (turn !== undefined) await turn;
    let away: ApiError | undefined;
    try {
      do {
        const answer = await this.inbox.ask(subject, bytes, answerOf<Good>);
        if (answer?.error !== undefined && areServersAway(answer.error)) away = answer.error;
        else if (answer !== undefined) return answer;
        if (this.link.hasEnded) throw closedConnection();
      } while (!hopeless?.() && await patience.again());
      if (this.isClosed) throw closed();
      throw away === undefined ? unavailable("NATS does not answer") : serversAway(verb, away);
    } finally {
      this.#room.leave();
    }
  }

  /** For what is tried again by other means. */
  patience(ms: number = PATIENCE_MS): Patience {
    return new Patience(this.#clock, this.#closing, ms);
  }

  /** Refuses what is asked from now on. Ends when what is under way was answered, or is late. The connection stays open. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.inbox.close();
    this.link.leave();
  }
}

/** What 503 is said of too, and does not pass. */
const lasting: ReadonlySet<number> = new Set([apiCode.noResources, apiCode.notEnabled, apiCode.notEnabledForAccount]);

/** @returns undefined: the next try may fare better */
function answerOf<Good>(message: JetStreamMessage): Answer<Good> | undefined {
  const answer = parse(message) as Answer<Good & { cluster?: { raft_group?: string; leader?: string } }> | undefined;
  if (answer === undefined) return undefined;
  const { error } = answer;
  if (error !== undefined) return error.code === 503 && !lasting.has(error.err_code) ? undefined : answer;
  // While there is no leader anybody may answer.
  return answer.cluster?.raft_group !== undefined && answer.cluster.leader === undefined ? undefined : answer;
}

/**
 * Whether servers are offline, or JetStream's leader has not heard of them yet, as while a cluster starts. All reasons for which no
 * servers are found share a code, so only the words tell this one from too few servers altogether, which does not pass
 * (`selectPeerError` in nats-server, the same from 2.12 to 2.15).
 */
function areServersAway({ err_code, description }: ApiError): boolean {
  return err_code === apiCode.noPeers && /peer offline|miscellaneous issue/.test(description);
}

function serversAway(verb: string, { description }: ApiError): PeykError {
  return new PeykError("unavailable", `NATS says to ${verb}: ${description}`, {
    retryable: true,
    hint:
      "A stream or a consumer with 3 replicas needs 3 servers online, one with 5 needs 5. Try again when all servers of the cluster run.",
  });
}
