import { randomUUID } from "node:crypto";
import { decodeMulti, encode } from "@msgpack/msgpack";
import { FrameType, SUBPROTOCOL, VERSION } from "../../../src/protocol/frames.ts";
import { now } from "../clock.ts";
import { Subscriber } from "./subscriber.ts";

const TOPIC = "*/bench";
/** Entries that make an ack due at once. Otherwise one leaves after a quiet spell, and then every so many milliseconds as the welcome says. */
const ACK_ENTRIES = 256;

/** A run of message frames as it stood in one WebSocket message. */
interface Run {
  bytes: number;
  count: number;
  epoch: number;
  previous: number;
  last: number;
}

/**
 * peyk.v1 as far as counting takes, with the acks that a client sends. The same bytes go to all subscribers, so what a
 * WebSocket message holds is decoded for the first of them and remembered for the others, by its first offset and size.
 */
export class PeykSubscriber extends Subscriber {
  readonly request = { path: "/peyk", headers: `Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` };
  readonly #user: string;
  readonly #runs: Map<number, Run>;
  #seen = 0;
  #epoch = 0;
  #offset = 0;
  #pending = 0;
  #ackMs = 0;
  #ackedAt = -Infinity;

  constructor(index: number, runs: Map<number, Run>, ...rest: ConstructorParameters<typeof Subscriber>) {
    super(...rest);
    this.#user = `user-${index}`;
    this.#runs = runs;
  }

  protected opened(): void {
    const hello = [FrameType.hello, VERSION, [], randomUUID(), this.#user, true, true, [], false];
    this.send("binary", encode(hello));
  }

  protected message(bytes: Buffer, start: number, end: number, at: number): number {
    const first = firstOffset(bytes, start);
    const known = first === undefined ? undefined : this.#runs.get(first);
    const run = known?.bytes === end - start ? known : this.#decode(bytes.subarray(start, end));
    if (run.count === 0) return 0;
    if (first !== undefined && run !== known) {
      if (this.#runs.size >= 1_000) this.#runs.clear();
      this.#runs.set(first, run);
    }
    if (this.#offset !== 0 && run.previous !== this.#offset) {
      throw new Error(`offset ${run.previous} was to come before the next message, the last one was ${this.#offset}`);
    }
    this.#epoch = run.epoch;
    this.#offset = run.last;
    this.#seen += run.count;
    this.#pending += run.count;
    if (this.#pending >= ACK_ENTRIES || at - this.#ackedAt >= this.#ackMs) this.#ack(at);
    return run.count;
  }

  protected texts(message: Buffer): string[] {
    return frames(message).filter(([type]) => type === FrameType.message).map((frame) => {
      const [, , , , , envelope] = frame as [number, string, number, number, number, unknown[]];
      const [, , , , , payload] = envelope as [string, string | null, number, number, unknown, unknown[]];
      return String(payload[1]);
    });
  }

  override owesAck(): boolean {
    return this.#pending > 0;
  }

  override tend(at: number): void {
    if (this.#pending > 0 && at - this.#ackedAt >= this.#ackMs) this.#ack(at);
  }

  #ack(at: number): void {
    const cursors = this.#pending > 0 ? [[TOPIC, this.#epoch, this.#offset]] : [];
    this.send("binary", encode([FrameType.ack, this.#seen, cursors]));
    this.#pending = 0;
    this.#ackedAt = at;
  }

  #decode(message: Uint8Array): Run {
    const run: Run = { bytes: message.length, count: 0, epoch: 0, previous: 0, last: 0 };
    for (const frame of frames(message)) {
      switch (frame[0]) {
        case FrameType.message: {
          const [, , epoch, offset, previous] = frame as [number, string, number, number, number];
          if (run.count === 0) run.previous = previous;
          else if (previous !== run.last) throw new Error(`offset ${offset} follows ${run.last} and says ${previous}`);
          run.count++;
          run.epoch = epoch;
          run.last = offset;
          break;
        }
        case FrameType.welcome:
          this.#ackMs = Number(frame[5]);
          this.ready();
          break;
        case FrameType.ping:
          this.#ack(now());
          break;
        case FrameType.subscribed:
          break;
        default:
          throw new Error(`an unexpected frame: ${JSON.stringify(frame).slice(0, 200)}`);
      }
    }
    return run;
  }
}

function frames(message: Uint8Array): unknown[][] {
  return [...decodeMulti(message)] as unknown[][];
}

/** The offset of the message frame that begins here; undefined when it is another frame. */
function firstOffset(bytes: Buffer, start: number): number | undefined {
  const topic = start + 2;
  if (bytes[start] !== 0x96 || bytes[start + 1] !== FrameType.message || bytes[topic] !== (0xa0 | TOPIC.length)) return undefined;
  const epoch = topic + 1 + TOPIC.length;
  return uint(bytes, epoch + uintSize(bytes[epoch]!));
}

/** Bytes that a msgpack integer takes which begins with this one. */
function uintSize(head: number): number {
  return head < 0x80 ? 1 : head === 0xcc ? 2 : head === 0xcd ? 3 : head === 0xce ? 5 : 9;
}

function uint(bytes: Buffer, at: number): number {
  const head = bytes[at]!;
  if (head < 0x80) return head;
  if (head === 0xcc) return bytes[at + 1]!;
  if (head === 0xcd) return bytes.readUInt16BE(at + 1);
  if (head === 0xce) return bytes.readUInt32BE(at + 1);
  return Number(bytes.readBigUInt64BE(at + 1));
}
