import { randomUUID } from "node:crypto";
import { decodeMulti, encode } from "@msgpack/msgpack";
import { encodeClientFrame } from "../../../src/protocol/codec.ts";
import { FrameType, SUBPROTOCOL, VERSION } from "../../../src/protocol/frames.ts";
import { now } from "../clock.ts";
import { Subscriber } from "./subscriber.ts";

/** Messages that make an ack due at once. Otherwise one leaves after a quiet spell, and then every so many milliseconds as the welcome says. */
const ACK_MESSAGES = 512;

/** peyk.v1 but for the messages: signs in, and acks as a client does. */
export abstract class PeykClient extends Subscriber {
  readonly request = { path: "/peyk", headers: `Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` };
  readonly #user: string;
  #seen = 0;
  #pending = 0;
  #ackMs = 0;
  #ackedAt = -Infinity;

  constructor(index: number, ...rest: ConstructorParameters<typeof Subscriber>) {
    super(...rest);
    this.#user = `user-${index}`;
  }

  /** What an ack says of the log. */
  protected abstract cursors(): unknown[];

  protected opened(): void {
    const who = { deviceId: randomUUID(), temporary: false, signedOut: [], token: this.#user };
    const how = { visible: true, idleMs: 0, cursors: [], more: false };
    this.send("binary", encodeClientFrame({ type: "hello", version: VERSION, capabilities: [], ...who, ...how }));
  }

  /** So many messages came in. */
  protected took(count: number, at: number): void {
    this.#seen += count;
    this.#pending += count;
    if (this.#pending >= ACK_MESSAGES || at - this.#ackedAt >= this.#ackMs) this.#ack(at);
  }

  /** A frame that is no message. */
  protected control(frame: readonly unknown[]): void {
    if (frame[0] === FrameType.welcome) {
      this.#ackMs = Number(frame[5]);
      this.ready();
    } else if (frame[0] === FrameType.ping) this.#ack(now());
    else if (frame[0] !== FrameType.subscribed) throw new Error(`an unexpected frame: ${JSON.stringify(frame).slice(0, 200)}`);
  }

  override owesAck(): boolean {
    return this.#pending > 0;
  }

  override tend(at: number): void {
    if (this.#pending > 0 && at - this.#ackedAt >= this.#ackMs) this.#ack(at);
  }

  #ack(at: number): void {
    this.send("binary", encode([FrameType.ack, this.#seen, this.#pending > 0 ? this.cursors() : [], 0, 0]));
    this.#pending = 0;
    this.#ackedAt = at;
  }
}

export function framesOf(message: Uint8Array): unknown[][] {
  return [...decodeMulti(message)] as unknown[][];
}

/** The text that an envelope carries. */
export function textOf(envelope: unknown): string {
  const [, , , , , payload] = envelope as [string, string | null, number, number, unknown, unknown[]];
  return String(payload[1]);
}
