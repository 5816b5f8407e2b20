import type { PeykError } from "../../src/protocol/errors.ts";
import type { NatsLike } from "./connection.ts";
import { unavailable } from "./errors.ts";

/** What may wait. */
const MAX_MESSAGES = 10_000;
const MAX_BYTES = 16 * 1024 * 1024;
/** What may be under way unanswered: the client itself would take any amount for a server that hangs. */
const WINDOW_BYTES = 16 * 1024 * 1024;
/** How often the server is asked how far it is. */
const ASK_BYTES = 1024 * 1024;

interface Waiting {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What leaves over the connection, in order. While the server is away, or takes nothing, a bounded amount waits. */
export class Outgoing {
  readonly #connection: NatsLike;
  readonly #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #held = false;
  // Bytes, counted since the beginning.
  #sent = 0;
  #asked = 0;
  #answered = 0;

  constructor(connection: NatsLike) {
    this.#connection = connection;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether what is published now leaves now. Nobody waits while it does. */
  get open(): boolean {
    return !this.#held && this.#sent - this.#answered < WINDOW_BYTES;
  }

  /** @throws {PeykError} `unavailable` when the connection is being drained or closed */
  send(subject: string, bytes: Uint8Array): void {
    try {
      this.#connection.publish(subject, bytes);
    } catch (cause) {
      throw unavailable("the NATS connection takes nothing more", cause);
    }
    this.#sent += subject.length + bytes.length;
    if (this.#sent - this.#asked >= ASK_BYTES) this.#ask();
  }

  /**
   * Sends it when what came before has left.
   * @throws {PeykError} `unavailable` when too much waits already, and what `refuse` says
   */
  wait(subject: string, bytes: Uint8Array): Promise<void> {
    if (this.#waiting.length >= MAX_MESSAGES || this.#waitingBytes + bytes.length > MAX_BYTES) {
      return Promise.reject(unavailable("the NATS server is away or too slow, and too much waits for it already"));
    }
    this.#waitingBytes += bytes.length;
    return new Promise((resolve, reject) => this.#waiting.push({ subject, bytes, resolve, reject }));
  }

  /** The server is away. */
  hold(): void {
    this.#held = true;
  }

  /** The server is there again. It has nothing of what was under way, and will not answer for it. */
  release(): void {
    this.#held = false;
    this.#answered = this.#asked = this.#sent;
    this.#leave();
  }

  /** Turns away those who wait. */
  refuse(error: PeykError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#waitingBytes = 0;
  }

  #ask(): void {
    const asked = this.#asked = this.#sent;
    this.#connection.flush().then(() => {
      this.#answered = Math.max(this.#answered, asked);
      this.#leave();
    }, () => {}); // The connection is gone, and says so itself.
  }

  #leave(): void {
    let count = 0;
    for (const { subject, bytes, resolve, reject } of this.#waiting) {
      if (!this.open) break;
      count++;
      this.#waitingBytes -= bytes.length;
      try {
        this.send(subject, bytes);
        resolve();
      } catch (error) {
        reject(error);
      }
    }
    this.#waiting.splice(0, count);
  }
}
