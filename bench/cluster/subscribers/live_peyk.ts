import { FrameType } from "../../../src/protocol/frames.ts";
import type { NewSubscriber } from "../../fan_out/receiver.ts";
import { framesOf, PeykClient, textOf } from "../../fan_out/subscribers/peyk_client.ts";
import { expectSequence } from "./sequence.ts";

/** How a live frame begins: an array of three, and its type. */
const HEAD = 0x93;

/**
 * peyk.v1 over a transport that keeps no log: live frames, which have no offsets. All of a phase have the same size, so those
 * in a WebSocket message are counted by its length, and the first one's number must be the one that comes next.
 */
export class LivePeykSubscriber extends PeykClient {
  /** Bytes of a live frame by bytes of payload. */
  readonly #sizes: Map<number, number>;

  /** Those of one process remember together. */
  static several(): NewSubscriber {
    const sizes = new Map<number, number>();
    return (...rest) => new LivePeykSubscriber(sizes, ...rest);
  }

  private constructor(sizes: Map<number, number>, ...rest: ConstructorParameters<typeof PeykClient>) {
    super(...rest);
    this.#sizes = sizes;
  }

  protected message(bytes: Buffer, start: number, end: number, at: number): number {
    const count = this.#count(bytes, start, end);
    if (count > 0) this.took(count, at);
    return count;
  }

  protected texts(message: Buffer): string[] {
    return framesOf(message).filter(([type]) => type === FrameType.ephemeral).map((frame) => textOf(frame[2]));
  }

  /** There is no log. */
  protected cursors(): unknown[] {
    return [];
  }

  #count(bytes: Buffer, start: number, end: number): number {
    const { payloadBytes } = this.phase;
    const size = this.#sizes.get(payloadBytes);
    const count = size === undefined || bytes[start] !== HEAD || bytes[start + 1] !== FrameType.ephemeral
      ? 0.5
      : (end - start) / size;
    if (!Number.isInteger(count)) return this.#decode(bytes.subarray(start, end));
    expectSequence(bytes, start + size! - payloadBytes, this.count);
    return count;
  }

  #decode(message: Uint8Array): number {
    const all = framesOf(message);
    let live = 0;
    for (const frame of all) {
      if (frame[0] === FrameType.ephemeral) live++;
      else this.control(frame);
    }
    if (live > 0 && live === all.length) this.#sizes.set(this.phase.payloadBytes, message.length / live);
    return live;
  }
}
