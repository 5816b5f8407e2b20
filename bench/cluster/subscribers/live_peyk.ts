import { randomUUID } from "node:crypto";
import { decodeMulti, encode } from "@msgpack/msgpack";
import { FrameType, SUBPROTOCOL, VERSION } from "../../../src/protocol/frames.ts";
import { now } from "../../fan_out/clock.ts";
import { Subscriber } from "../../fan_out/subscribers/subscriber.ts";
import { expectSequence } from "./sequence.ts";

/** When an ack is due at once, as for messages that a log keeps. */
const ACK_ENTRIES = 256;
/** How a live frame begins: an array of three, and its type. */
const HEAD = 0x93;

/**
 * peyk.v1 over a transport that keeps no log: live frames, which have no offsets. All of a phase have the same size, so those
 * in a WebSocket message are counted by its length, and the first one's number must be the one that comes next.
 */
export class LivePeykSubscriber extends Subscriber {
  readonly request = { path: "/peyk", headers: `Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` };
  readonly #user: string;
  /** Bytes of a live frame by bytes of payload. */
  readonly #sizes: Map<number, number>;
  #seen = 0;
  #pending = 0;
  #ackMs = 0;
  #ackedAt = -Infinity;

  constructor(index: number, sizes: Map<number, number>, ...rest: ConstructorParameters<typeof Subscriber>) {
    super(...rest);
    this.#user = `user-${index}`;
    this.#sizes = sizes;
  }

  protected opened(): void {
    this.send("binary", encode([FrameType.hello, VERSION, [], randomUUID(), this.#user, true, true, [], false]));
  }

  protected message(bytes: Buffer, start: number, end: number, at: number): number {
    const count = this.#count(bytes, start, end);
    if (count === 0) return 0;
    this.#seen += count;
    this.#pending += count;
    if (this.#pending >= ACK_ENTRIES || at - this.#ackedAt >= this.#ackMs) this.#ack(at);
    return count;
  }

  protected texts(message: Buffer): string[] {
    return frames(message).filter(([type]) => type === FrameType.live).map(([, , envelope]) => {
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
    this.send("binary", encode([FrameType.ack, this.#seen, []]));
    this.#pending = 0;
    this.#ackedAt = at;
  }

  #count(bytes: Buffer, start: number, end: number): number {
    const { payloadBytes } = this.phase;
    const size = this.#sizes.get(payloadBytes);
    const count = size === undefined || bytes[start] !== HEAD || bytes[start + 1] !== FrameType.live ? 0.5 : (end - start) / size;
    if (!Number.isInteger(count)) return this.#decode(bytes.subarray(start, end));
    expectSequence(bytes, start + size! - payloadBytes, this.count);
    return count;
  }

  #decode(message: Uint8Array): number {
    const all = frames(message);
    let live = 0;
    for (const frame of all) {
      if (frame[0] === FrameType.live) live++;
      else if (frame[0] === FrameType.welcome) {
        this.#ackMs = Number(frame[5]);
        this.ready();
      } else if (frame[0] === FrameType.ping) this.#ack(now());
      else if (frame[0] !== FrameType.subscribed) throw new Error(`an unexpected frame: ${JSON.stringify(frame).slice(0, 200)}`);
    }
    if (live > 0 && live === all.length) this.#sizes.set(this.phase.payloadBytes, message.length / live);
    return live;
  }
}

function frames(message: Uint8Array): unknown[][] {
  return [...decodeMulti(message)] as unknown[][];
}
