import type { Clock, Timer } from "../../src/ports/clock.ts";
import type { Link } from "../nats/link.ts";
import type { JetStreamConnection, JetStreamMessage } from "./connection.ts";

/** How long an answer, or the next part of one, is waited for. */
const ANSWER_MS = 2_000;

/** Makes a result of what is answered; "more" until it is whole; undefined: this was no answer. */
export type Take<Result> = (message: JetStreamMessage) => Result | "more" | undefined;

/**
 * Where the answers to everything that this node asks come in: one subscription, one subject per question. The clients' own
 * `request` makes a timer, a promise and, in one of them, a stack trace for each.
 */
export class Inbox {
  readonly #link: Link<JetStreamConnection>;
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #open = new Map<string, (message: JetStreamMessage) => void>();
  readonly #subscription: { unsubscribe(): void };
  #last = 0;
  /** Questions by reply subject. All wait equally long, so one timer is enough: the oldest is the next one that is late. */
  readonly #asked = new Map<string, { readonly lateAt: number; giveUp(): void }>();
  #timer: Timer | undefined;
  #idle: (() => void) | undefined;
  #closed = false;

  constructor(link: Link<JetStreamConnection>, clock: Clock, id: string) {
    this.#link = link;
    this.#clock = clock;
    this.#prefix = `${link.connection.options?.inboxPrefix ?? "_INBOX"}.${id}.`;
    this.#subscription = link.connection.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        if (error === null) this.#open.get(message.subject)?.(message);
      },
    });
  }

  /** Makes a subject whose messages go to `answered` until `forget`. */
  open(answered: (message: JetStreamMessage) => void): string {
    const subject = this.#prefix + (++this.#last).toString(36);
    this.#open.set(subject, answered);
    return subject;
  }

  forget(subject: string): void {
    this.#open.delete(subject);
  }

  /** A subject for a subscription of its own, beside this one. */
  beside(): string {
    // One token more, so this one's wildcard does not match it.
    return `${this.#prefix}${(++this.#last).toString(36)}.0`;
  }

  /** Asks once. @returns undefined: it did not leave, nobody heard it, or no answer came in time */
  ask<Result>(subject: string, bytes: Uint8Array, take: Take<Result>, headers?: unknown): Promise<Result | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const end = (result?: Result): void => {
        this.#open.delete(reply);
        this.#asked.delete(reply);
        if (this.#asked.size === 0) this.#idle?.();
        resolve(result);
      };
      const reply = this.open((message) => {
        const taken = isUnheard(message) ? undefined : take(message);
        if (taken !== "more") return end(taken);
        this.#asked.delete(reply); // It goes to the end of the row.
        this.#expect(reply, end);
      });
      this.#expect(reply, end);
      if (!this.#link.send(subject, bytes, { reply, headers })) end();
    });
  }

  /** Ends when every question has its answer, or is late. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#asked.size > 0 && this.#link.isUp) await new Promise<void>((resolve) => this.#idle = resolve);
    for (const { giveUp } of [...this.#asked.values()]) giveUp();
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#open.clear();
    this.#subscription.unsubscribe();
  }

  #expect(reply: string, giveUp: () => void): void {
    this.#asked.set(reply, { lateAt: this.#clock.elapsed() + ANSWER_MS, giveUp });
    this.#timer ??= this.#clock.setTimeout(this.#look, ANSWER_MS);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const now = this.#clock.elapsed();
    for (const { lateAt, giveUp } of this.#asked.values()) {
      if (lateAt > now) {
        this.#timer = this.#clock.setTimeout(this.#look, lateAt - now);
        return;
      }
      giveUp();
    }
  };
}

/** Whether nobody was there to take a question: an empty message that says 503. */
export function isUnheard(message: JetStreamMessage): boolean {
  return message.data.length === 0 && message.headers?.code === 503;
}
