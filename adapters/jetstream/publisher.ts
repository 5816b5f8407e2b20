import { hash } from "node:crypto";
import type { Clock, Timer } from "../../src/ports/clock.ts";
import type { Appended, AppendOptions } from "../../src/ports/transport.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import type { Durability } from "../../src/protocol/message.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { closedConnection, unavailable } from "../nats/errors.ts";
import type { Link } from "../nats/link.ts";
import { type Api, apiCode, type ApiError, noRoom, parse } from "./api.ts";
import type { JetStreamConnection, JetStreamMessage } from "./connection.ts";
import type { Inbox } from "./inbox.ts";
import { rawHeaders, serverTtl, wrap } from "./log_format.ts";

/** Messages and bytes that are under way or wait. */
const MAX_MESSAGES = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;
/** How long a publish is tried. */
const DEADLINE_MS = 30_000;
/** How long an answer may take before it is asked for again; times the number of tries. */
const ANSWER_MS = 2_000;
const MAX_ANSWER_MS = 6_000;
/** The wait after a refusal that passes (no leader); it doubles up to the second. */
const RETRY_MS = 50;
const MAX_RETRY_MS = 1_000;
const TICK_MS = 50;
/** How long a close waits for answers. */
const CLOSE_MS = 5_000;

interface Outgoing {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly options: { reply: string; headers: unknown };
  readonly deadline: number;
  readonly epoch: () => number;
  tries: number;
  /** When it is sent again unless an answer came. */
  retryAt: number;
  /** What was said against it so far. */
  why?: string;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: PeykError) => void;
}

/** An answer of a stream to a publish. */
interface Ack {
  seq: number;
  duplicate?: boolean;
  error?: ApiError;
}

/**
 * Puts entries into log streams, any number under way at a time. What is not answered is sent again under the same id, which the
 * stream knows: so trying again is always safe, and the only thing that is kept here are the publishes nobody answered yet.
 */
export class Publisher {
  readonly #link: Link<JetStreamConnection>;
  readonly #inbox: Inbox;
  readonly #clock: Clock;
  readonly #durability: Durability;
  /** By reply subject, in the order in which they came. */
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #unlisten: () => void;
  #bytes = 0;
  #timer: Timer | undefined;
  #idle: (() => void) | undefined;

  constructor({ link, inbox }: Api, clock: Clock, durability: Durability) {
    this.#link = link;
    this.#inbox = inbox;
    this.#clock = clock;
    this.#durability = durability;
    this.#unlisten = link.listen({ back: () => this.#again(), ended: () => this.#refuse(closedConnection()) });
  }

  /** @param epoch asked when the answer is there */
  publish(
    subject: string,
    topic: Topic,
    bytes: Uint8Array,
    { key, expiresAt }: AppendOptions,
    epoch: () => number,
  ): Promise<Appended> {
    if (this.#link.hasEnded) return Promise.reject(closedConnection());
    const now = this.#clock.elapsed();
    const size = bytes.length;
    if (this.#outgoing.size >= MAX_MESSAGES || this.#bytes + size > MAX_BYTES) {
      return Promise.reject(unavailable("too many publishes wait for NATS already"));
    }
    const ttl = serverTtl(expiresAt - this.#clock.now());
    // One id per stream, not per subject: so it names the topic too.
    const headers = rawHeaders({ "Nats-Msg-Id": hash("sha256", `${topic}\n${key}`, "base64url"), "Nats-TTL": ttl });
    const wrapped = wrap(bytes, expiresAt);
    const most = this.#link.connection.info?.max_payload ?? Infinity;
    if (wrapped.length + headers.encode().length > most) return Promise.reject(tooLarge(size, most));
    return new Promise((resolve, reject) => {
      const reply = this.#inbox.open((message) => this.#answered(reply, message));
      const outgoing: Outgoing = {
        subject,
        bytes: wrapped,
        options: { reply, headers },
        deadline: now + DEADLINE_MS,
        epoch,
        tries: 0,
        retryAt: 0,
        resolve,
        reject,
      };
      this.#outgoing.set(reply, outgoing);
      this.#bytes += wrapped.length;
      this.#send(outgoing, now);
      this.#timer ??= this.#clock.setTimeout(this.#tick, TICK_MS);
    });
  }

  /** Waits for the answers that are due, and refuses what gets none. */
  async close(): Promise<void> {
    if (this.#outgoing.size > 0 && !this.#link.hasEnded) {
      let timer: Timer | undefined;
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
        timer = this.#clock.setTimeout(resolve, CLOSE_MS);
      });
      this.#clock.clearTimeout(timer!);
    }
    this.#refuse(unavailable("the storage was closed before NATS answered"));
    this.#unlisten();
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  #send(outgoing: Outgoing, now: number): void {
    const { subject, bytes, options } = outgoing;
    if (!this.#link.send(subject, bytes, options)) {
      outgoing.retryAt = Infinity; // Until the connection is back.
      return;
    }
    outgoing.tries++;
    outgoing.retryAt = now + Math.min(MAX_ANSWER_MS, ANSWER_MS * outgoing.tries);
  }

  #answered(reply: string, message: JetStreamMessage): void {
    const outgoing = this.#outgoing.get(reply)!;
    const ack = parse(message) as Ack | undefined;
    if (ack !== undefined && ack.error === undefined) {
      this.#forget(reply, outgoing);
      // After a second try nobody knows whether the first one is the earlier publish that the stream speaks of: mostly it is.
      const duplicate = ack.duplicate === true && outgoing.tries === 1;
      const position = { epoch: outgoing.epoch(), offset: ack.seq };
      outgoing.resolve({ position, duplicate, durability: this.#durability });
      return;
    }
    const error = ack?.error === undefined ? undefined : refusal(ack.error);
    if (error === undefined) {
      outgoing.why = ack?.error?.description ?? "no stream listens";
      outgoing.retryAt = this.#clock.elapsed() + Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(outgoing.tries, 10));
    } else {
      this.#forget(reply, outgoing);
      outgoing.reject(error);
    }
  }

  #forget(reply: string, { bytes }: Outgoing): void {
    this.#inbox.forget(reply);
    this.#outgoing.delete(reply);
    this.#bytes -= bytes.length;
    if (this.#outgoing.size === 0) this.#idle?.();
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    const now = this.#clock.elapsed();
    for (const [reply, outgoing] of this.#outgoing) {
      if (outgoing.deadline <= now) {
        this.#forget(reply, outgoing);
        outgoing.reject(unavailable(`NATS did not take a publish in time: ${outgoing.why ?? "no answer"}`));
      } else if (outgoing.retryAt <= now) this.#send(outgoing, now);
    }
    if (this.#outgoing.size > 0) this.#timer = this.#clock.setTimeout(this.#tick, TICK_MS);
  };

  /** What was under way when the connection went may have been lost with it. */
  #again(): void {
    const now = this.#clock.elapsed();
    for (const outgoing of this.#outgoing.values()) this.#send(outgoing, now);
  }

  #refuse(error: PeykError): void {
    for (const [reply, outgoing] of this.#outgoing) {
      this.#forget(reply, outgoing);
      outgoing.reject(error);
    }
  }
}

/** @returns undefined: what passes by itself, such as an election, or the same publish still on its way to the replicas */
function refusal({ err_code, description }: ApiError): PeykError | undefined {
  // One code for all that a store can say; its text is all there is to tell a full one from one that is being closed.
  if (err_code === apiCode.storeFailed ? /maximum|no space|insufficient/.test(description) : noRoom.has(err_code)) {
    return new PeykError("storage-full", `there is no room left in JetStream: ${description}`, {
      retryable: true,
      hint: "Raise maxBytes of the stream, or the account's or the server's limits. What was accepted is kept.",
    });
  }
  return undefined;
}

function tooLarge(size: number, most: number): PeykError {
  return new PeykError("too-large", `an entry of ${size} bytes`, {
    hint: `The NATS servers take messages of ${most} bytes, headers included: raise their max_payload.`,
  });
}
