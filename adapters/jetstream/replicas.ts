import type { Clock, Timer } from "../../src/ports/clock.ts";
import type { PeykError } from "../../src/protocol/errors.ts";
import { closedConnection, unavailable } from "../nats/errors.ts";
import type { Api } from "./api.ts";
import type { JetStreamMessage } from "./connection.ts";
import { Gate } from "./gate.ts";
import { READ_MS } from "./head.ts";
import { isUnheard } from "./inbox.ts";

/** A question without an answer for so long is asked once more; then after twice as long, and so on. */
const FIRST_MS = 300;
const LAST_MS = 2_400;
/** The same while questions are known to get lost: for so long after one was. */
const QUICK_MS = 40;
const SUSPECT_MS = 10_000;
/** Repeated questions under way: servers that are slow because they have much to do must not get much more. */
const REPEATED = 32;
/** Questions under way at a time: a server drops those that its queue has no room for. */
const AT_ONCE = 256;
/** Messages asked for at a time. */
const MOST = 1_000;

const encoder = new TextEncoder();

/** A part of a stream, as one replica has it. */
export interface Batch {
  readonly messages: JetStreamMessage[];
  /** Whether the replica has more. */
  readonly more: boolean;
}

/**
 * Reads a stream at whichever replica answers. The servers choose one blindly: while one of three is frozen or cut off, every third
 * question is lost. So a question that stays without an answer is asked again beside the first, and the first answer is taken (a
 * hedged request: Dean and Barroso, "The Tail at Scale").
 */
export class Replicas {
  readonly #api: Pick<Api, "inbox" | "link">;
  readonly #clock: Clock;
  readonly #room = new Gate(AT_ONCE);
  readonly #waiting = new Set<(error: PeykError) => void>();
  #repeated = 0;
  #suspectUntil = -Infinity;
  #closed: PeykError | undefined;

  constructor(api: Pick<Api, "inbox" | "link">, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
  }

  /**
   * Messages that match, from that sequence on.
   *
   * @param most how many are wanted; there may be fewer though there are more
   * @param maxBytes about how much they may take together, bytes. Default: no bound
   * @throws {PeykError} `unavailable`
   */
  async read(stream: string, filter: string, seq: number, most: number, maxBytes: number = Infinity): Promise<Batch> {
    const bound = maxBytes === Infinity ? {} : { max_bytes: Math.max(1, maxBytes) };
    const question = encoder.encode(JSON.stringify({ batch: Math.min(most, MOST), seq, next_by_subj: filter, ...bound }));
    const turn = this.#room.enter();
    if (turn !== undefined) await turn;
    try {
      return await this.#ask(`$JS.API.DIRECT.GET.${stream}`, question);
    } finally {
      this.#room.leave();
    }
  }

  /** Ends what waits, with that error. */
  close(error: PeykError): void {
    this.#closed = error;
    for (const stop of [...this.#waiting]) stop(error);
  }

  #ask(subject: string, question: Uint8Array): Promise<Batch> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const { inbox, link } = this.#api;
    return new Promise((resolve, reject) => {
      const begun = this.#clock.elapsed();
      const replies: string[] = [];
      let heardAt = begun;
      let wait = begun < this.#suspectUntil ? QUICK_MS : FIRST_MS;
      let timer: Timer;
      const end = (): void => {
        this.#repeated -= replies.length - 1;
        replies.forEach((reply) => inbox.forget(reply));
        this.#clock.clearTimeout(timer);
        this.#waiting.delete(stop);
      };
      const stop = (error: PeykError): void => {
        end();
        reject(error);
      };
      const put = (): void => {
        const messages: JetStreamMessage[] = [];
        let last = 0;
        let isWhole = true;
        const reply = inbox.open((message) => {
          if (isUnheard(message)) return;
          heardAt = this.#clock.elapsed();
          const { code = 0 } = message.headers ?? {};
          // Each names the one before it. A server that has just come back may not know yet whom its first ones are for.
          if (code === 0 || code === 204) isWhole &&= Number(message.headers?.get("Nats-Last-Sequence") || NaN) === last;
          if (code === 0) {
            last = Number(message.headers?.get("Nats-Sequence"));
            return void messages.push(message);
          }
          if (!isWhole) return put();
          if (reply !== replies[0]) this.#suspectUntil = heardAt + SUSPECT_MS;
          end();
          // 204 ends a batch and says how many more there are, 404 stands for an empty one (ADR-31).
          resolve({ messages, more: code === 204 && Number(message.headers!.get("Nats-Num-Pending")) > 0 });
        });
        replies.push(reply);
        link.send(subject, question, { reply });
      };
      const look = (): void => {
        const now = this.#clock.elapsed();
        if (link.hasEnded) return stop(closedConnection());
        if (now - begun >= READ_MS) return stop(unavailable("NATS does not answer"));
        const silent = now - heardAt;
        if (silent >= wait) {
          wait = Math.min(LAST_MS, wait * 2);
          if (this.#repeated < REPEATED || wait === LAST_MS) {
            this.#repeated++;
            put();
          }
          timer = this.#clock.setTimeout(look, wait);
        } else timer = this.#clock.setTimeout(look, wait - silent);
      };
      this.#waiting.add(stop);
      timer = this.#clock.setTimeout(look, wait);
      put();
    });
  }
}
