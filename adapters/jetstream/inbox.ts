import type { JetStreamConnection, JetStreamMessage } from "./link.ts";

/**
 * Where the answers to everything that this node asks come in: one subscription, one subject per question. The clients' own
 * `request` makes a timer, a promise and, in one of them, a stack trace for each.
 */
export class Inbox {
  readonly #prefix: string;
  readonly #open = new Map<string, (message: JetStreamMessage) => void>();
  readonly #subscription: ReturnType<JetStreamConnection["subscribe"]>;
  #last = 0;

  constructor(connection: Pick<JetStreamConnection, "options" | "subscribe">, id: string) {
    this.#prefix = `${connection.options?.inboxPrefix ?? "_INBOX"}.${id}.`;
    this.#subscription = connection.subscribe(`${this.#prefix}*`, {
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

  close(): void {
    this.#open.clear();
    this.#subscription.unsubscribe();
  }
}

/** Whether nobody was there to take a question: an empty message that says 503. */
export function isUnheard(message: JetStreamMessage): boolean {
  return message.data.length === 0 && message.headers?.code === 503;
}

/**
 * Asks what has one answer, through an inbox of its own. All questions wait equally long, so one timer is enough: the oldest of
 * them is the next one that is late.
 */
export class Questions {
  readonly #connection: Pick<JetStreamConnection, "options" | "publish" | "subscribe">;
  readonly #inbox: Inbox;
  readonly #patienceMs: number;
  /** By reply subject, the oldest first. */
  readonly #open = new Map<string, { readonly lateAt: number; readonly reject: (error: Error) => void }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle: (() => void) | undefined;
  #closed = false;

  constructor(connection: Pick<JetStreamConnection, "options" | "publish" | "subscribe">, id: string, patienceMs: number) {
    this.#connection = connection;
    this.#inbox = new Inbox(connection, id);
    this.#patienceMs = patienceMs;
  }

  /** @throws {Error} when nobody listens, no answer comes in time, or this or the connection is closed */
  ask(subject: string, bytes: Uint8Array, headers?: unknown): Promise<Uint8Array> {
    if (this.#closed) return Promise.reject(new Error("closed"));
    return new Promise((resolve, reject) => {
      const reply = this.#inbox.open((message) => {
        this.#forget(reply);
        if (isUnheard(message)) reject(new Error("nobody listens"));
        else resolve(message.data);
      });
      this.#open.set(reply, { lateAt: performance.now() + this.#patienceMs, reject });
      this.#timer ??= setTimeout(this.#look, this.#patienceMs);
      try {
        this.#connection.publish(subject, bytes, headers === undefined ? { reply } : { reply, headers });
      } catch (error) {
        this.#forget(reply);
        reject(error);
      }
    });
  }

  /** Ends when every question has its answer, or is late. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#open.size > 0) await new Promise<void>((resolve) => this.#idle = resolve);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#inbox.close();
  }

  #forget(reply: string): void {
    this.#inbox.forget(reply);
    this.#open.delete(reply);
    if (this.#open.size === 0) this.#idle?.();
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const now = performance.now();
    for (const [reply, { lateAt, reject }] of this.#open) {
      if (lateAt > now) {
        this.#timer = setTimeout(this.#look, lateAt - now);
        return;
      }
      this.#forget(reply);
      reject(new Error("no answer in time"));
    }
  };
}
