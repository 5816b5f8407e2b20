import type { Socket } from "node:net";
import { now } from "../../fan_out/clock.ts";
import type { Phase } from "../../fan_out/phase.ts";
import { expectSequence } from "./sequence.ts";

const [M, I, MINUS, NEWLINE, SPACE] = Buffer.from("MI-\n ") as unknown as [number, number, number, number, number];

/**
 * One connection to a nats-server with one subscription: as much of the client protocol as counting takes
 * (https://docs.nats.io/reference/reference-protocols/nats-protocol).
 */
export class NatsSubscriber {
  /** Messages of the current phase so far. */
  count = 0;
  readonly #socket: Socket;
  readonly #ready: () => void;
  #phase: Phase;
  /** The beginning of a message whose end is still to come. */
  #rest: Buffer | undefined;

  constructor(socket: Socket, phase: Phase, ready: () => void) {
    this.#socket = socket;
    this.#phase = phase;
    this.#ready = ready;
  }

  begin(phase: Phase): void {
    this.#phase = phase;
    this.count = 0;
  }

  /** The server speaks first. */
  upgrade(): void {}

  owesAck(): boolean {
    return false;
  }

  tend(): void {}

  /** What the socket brought: the first `length` bytes of `chunk`, which is reused afterwards. */
  read(chunk: Buffer, length: number): void {
    const bytes = this.#rest === undefined ? chunk.subarray(0, length) : Buffer.concat([this.#rest, chunk.subarray(0, length)]);
    const before = this.count;
    let from = 0;
    for (let next = this.#step(bytes, from); next > 0; next = this.#step(bytes, from)) from = next;
    this.#rest = from < bytes.length ? Buffer.from(bytes.subarray(from)) : undefined;
    if (this.count > before) this.#phase.received(before, this.count, now());
  }

  /** One line, and the payload that belongs to it. @returns where the next one begins; 0: this one is not whole */
  #step(bytes: Buffer, from: number): number {
    const newline = bytes.indexOf(NEWLINE, from);
    if (newline < 0) return 0;
    const next = newline + 1;
    if (bytes[from] === M) return this.#message(bytes, newline - 1, next);
    if (bytes[from] === I) this.#socket.write(`CONNECT {"verbose":false,"pedantic":false}\r\nSUB bench 1\r\nPING\r\n`);
    else if (bytes[from] === MINUS) throw new Error(`the server says ${bytes.subarray(from, newline)}`);
    else if (bytes[from + 1] === I) this.#socket.write("PONG\r\n");
    else this.#ready();
    return next;
  }

  /** `MSG subject sid size` ended at `end`. */
  #message(bytes: Buffer, end: number, payload: number): number {
    let size = 0;
    for (let at = end - 1, value = 1; bytes[at] !== SPACE; at--, value *= 10) size += (bytes[at]! - 48) * value;
    const after = payload + size;
    if (bytes.length < after + 2) return 0;
    expectSequence(bytes, payload, this.count);
    if (this.#phase.looksClosely(1)) this.#phase.verify([bytes.toString("latin1", payload, after)], this.count, 1);
    this.count++;
    return after + 2;
  }
}
