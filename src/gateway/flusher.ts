import type { Lease } from "../delivery/lease.ts";
import type { Tick } from "../delivery/tick.ts";

/** The most that is merged into one WebSocket message, bytes. */
export const MAX_BATCH_BYTES = 256 * 1024;

/**
 * What one tick brings for a connection, as a path of frames. Connections that got the same frames in the same order stand
 * at the same node, so their bytes are put together once: a fan-out of a burst shares one buffer without anybody planning it.
 */
export class Batch {
  readonly #parent: Batch | undefined;
  readonly #frame: Uint8Array | undefined;
  /** Bytes of all frames up to here. */
  readonly size: number;
  #bytes: Uint8Array | undefined;
  #nextFrame: Uint8Array | undefined;
  #next: Batch | undefined;

  constructor(parent?: Batch, frame?: Uint8Array) {
    this.#parent = parent;
    this.#frame = frame;
    this.size = (parent?.size ?? 0) + (frame?.length ?? 0);
  }

  /** The batch that has one frame more. The same one for everybody who adds the same array. */
  with(frame: Uint8Array): Batch {
    if (this.#nextFrame === frame) return this.#next!;
    this.#nextFrame = frame;
    return this.#next = new Batch(this, frame);
  }

  /** All frames, back to back. */
  bytes(): Uint8Array {
    if (this.#bytes !== undefined) return this.#bytes;
    if (this.#parent!.size === 0) return this.#bytes = this.#frame!;
    const bytes = new Uint8Array(this.size);
    bytes.set(this.#frame!, this.#parent!.size);
    for (let batch = this.#parent!; batch.size > 0; batch = batch.#parent!) bytes.set(batch.#frame!, batch.#parent!.size);
    return this.#bytes = bytes;
  }

  /** Forgets how it went on. */
  clear(): void {
    this.#nextFrame = this.#next = undefined;
  }
}

/** Somebody with frames to send at the end of the tick. */
export interface Flushable {
  flush(): void;
}

/** Gathers what a tick brings, then lets every connection write once. */
export class Flusher {
  /** Where every connection stands when nothing waits. */
  readonly empty: Batch = new Batch();
  /** Nothing leaves while it is lapsed. */
  readonly lease: Lease;
  readonly #tick: Tick;
  #waiting: Flushable[] = [];

  constructor(tick: Tick, lease: Lease) {
    this.#tick = tick;
    this.lease = lease;
  }

  /** This connection has its first frame of the tick. */
  enlist(connection: Flushable): void {
    if (this.#waiting.push(connection) === 1) this.#tick.write(() => this.#flush());
  }

  isFull(batch: Batch): boolean {
    return batch.size >= MAX_BATCH_BYTES;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    // What is written from here on belongs to the next tick.
    this.empty.clear();
    for (const connection of waiting) connection.flush();
  }
}
