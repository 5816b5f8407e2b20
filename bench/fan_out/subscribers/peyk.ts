import { FrameType } from "../../../src/protocol/frames.ts";
import type { NewSubscriber } from "../receiver.ts";
import { framesOf, PeykClient, textOf } from "./peyk_client.ts";

const TOPIC = "*/bench";

/** A run of message frames as it stood in one WebSocket message. */
interface Run {
  bytes: number;
  count: number;
  epoch: number;
  previous: number;
  last: number;
}

/**
 * peyk.v1 as far as counting takes. The same bytes go to all subscribers, so what a WebSocket message holds is decoded for the
 * first of them and remembered for the others, by its first offset and size.
 */
export class PeykSubscriber extends PeykClient {
  readonly #runs: Map<number, Run>;
  #epoch = 0;
  #offset = 0;

  /** Those of one process remember together. */
  static several(): NewSubscriber {
    const runs = new Map<number, Run>();
    return (...rest) => new PeykSubscriber(runs, ...rest);
  }

  private constructor(runs: Map<number, Run>, ...rest: ConstructorParameters<typeof PeykClient>) {
    super(...rest);
    this.#runs = runs;
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
    this.took(run.count, at);
    return run.count;
  }

  protected texts(message: Buffer): string[] {
    return framesOf(message).filter(([type]) => type === FrameType.message).map((frame) => textOf(frame[5]));
  }

  protected cursors(): unknown[] {
    return [[TOPIC, this.#epoch, this.#offset]];
  }

  #decode(message: Uint8Array): Run {
    const run: Run = { bytes: message.length, count: 0, epoch: 0, previous: 0, last: 0 };
    for (const frame of framesOf(message)) {
      if (frame[0] !== FrameType.message) {
        this.control(frame);
        continue;
      }
      const [, , epoch, offset, previous] = frame as [number, string, number, number, number];
      if (run.count === 0) run.previous = previous;
      else if (previous !== run.last) throw new Error(`offset ${offset} follows ${run.last} and says ${previous}`);
      run.count++;
      run.epoch = epoch;
      run.last = offset;
    }
    return run;
  }
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
