import type { StorageContext } from "../../src/ports/storage.ts";
import type { PeykError } from "../../src/protocol/errors.ts";
import { type Inbox, isUnheard } from "./inbox.ts";
import { closedConnection, type JetStreamMessage, type Link, unavailable } from "./link.ts";

/** How long a server has for one answer. */
const ANSWER_MS = 2_000;
/** The waits between tries. */
const RETRY_MS = 50;
const MAX_RETRY_MS = 1_000;
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
  noLeader: 10008,
  noResources: 10023,
  notEnabled: 10076,
  notEnabledForAccount: 10039,
  noMessage: 10037,
  streamNotFound: 10059,
  streamExists: 10058,
  /** What the stream's file store says when it takes no more, and when it fails otherwise. */
  storeFailed: 10077,
} as const;

/** An answer in JSON: what was asked for, or why not. */
export type Answer<Good> = { error: ApiError } | ({ error?: undefined } & Good);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function parse(message: JetStreamMessage): unknown {
  return JSON.parse(decoder.decode(message.data));
}

/** Asks JetStream's API. Everything asked may be asked again. */
export class Api {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly #clock: StorageContext["clock"];
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(link: Link, inbox: Inbox, clock: StorageContext["clock"]) {
    this.link = link;
    this.inbox = inbox;
    this.#clock = clock;
  }

  /**
   * Asks until there is an answer: again while nobody answers, or no leader is there.
   *
   * @param ms how long to go on asking
   * @param hopeless looked at after each try; true: no other is made
   * @throws {PeykError} `unavailable`
   */
  async ask<Good>(verb: string, body: unknown, ms: number, hopeless?: () => boolean): Promise<Answer<Good>> {
    return await this.#persist(ms, hopeless, () =>
      this.#question(verb, body, (message) => {
        const answer = parse(message) as Answer<Good>;
        return isPassing(answer.error) ? undefined : { done: answer };
      }));
  }

  /**
   * Asks what is answered by several messages.
   *
   * @param take looks at each; true: it was the last one
   */
  async gather<Item>(
    verb: string,
    body: unknown,
    ms: number,
    take: (message: JetStreamMessage, items: Item[]) => boolean,
  ): Promise<Item[]> {
    return await this.#persist(ms, undefined, () => {
      const items: Item[] = [];
      return this.#question(verb, body, (message) => take(message, items) ? { done: items } : "more");
    });
  }

  async #persist<Result>(
    ms: number,
    hopeless: (() => boolean) | undefined,
    once: () => Promise<{ done: Result } | undefined>,
  ): Promise<Result> {
    const end = this.#clock.elapsed() + ms;
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running++;
    try {
      for (let wait = RETRY_MS;; wait = Math.min(MAX_RETRY_MS, wait * 2)) {
        const result = await once();
        if (result !== undefined) return result.done;
        if (this.#closed !== undefined) throw this.#closed;
        if (this.link.hasEnded) throw closedConnection();
        if (this.#clock.elapsed() + wait > end || hopeless?.()) throw unavailable("NATS does not answer");
        await this.#pause(wait);
      }
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  /** @returns undefined when it is to be asked again */
  #question<Result>(
    verb: string,
    body: unknown,
    take: (message: JetStreamMessage) => { done: Result } | "more" | undefined,
  ): Promise<{ done: Result } | undefined> {
    return new Promise((resolve) => {
      const end = (result: { done: Result } | undefined): void => {
        this.inbox.forget(reply);
        this.#clock.clearTimeout(timer);
        this.#waiting.delete(stop);
        resolve(result);
      };
      const stop = (): void => end(undefined);
      const reply = this.inbox.open((message) => {
        const taken = isUnheard(message) ? undefined : take(message);
        if (taken === "more") heardAt = this.#clock.elapsed();
        else end(taken);
      });
      const check = (): void => {
        const left = heardAt + ANSWER_MS - this.#clock.elapsed();
        if (left <= 0) stop();
        else timer = this.#clock.setTimeout(check, left);
      };
      let heardAt = this.#clock.elapsed();
      let timer = this.#clock.setTimeout(check, ANSWER_MS);
      this.#waiting.add(stop);
      if (!this.link.send(`$JS.API.${verb}`, encoder.encode(JSON.stringify(body)), { reply })) stop();
    });
  }

  /** Everybody who waits for something, to be let go at the end. */
  readonly #waiting = new Set<() => void>();
  #closed: PeykError | undefined;

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#clock.clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }

  /** Ends what waits, with that error. */
  close(error: PeykError): void {
    this.#closed = error;
    for (const stop of [...this.#waiting]) stop();
  }
}

/** What 503 is said of too, and does not pass. */
const lasting: ReadonlySet<number> = new Set([apiCode.noResources, apiCode.notEnabled, apiCode.notEnabledForAccount]);

/** Whether the next try may fare better. */
function isPassing(error: ApiError | undefined): boolean {
  return error !== undefined && error.code === 503 && !lasting.has(error.err_code);
}
