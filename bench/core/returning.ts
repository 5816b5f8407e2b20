import type { Engine } from "../../mod.ts";
import type { ConnectionEvents } from "../../src/ports/connection.ts";
import { decodeServerFrames, encodeClientFrame } from "../../src/protocol/codec.ts";
import type { Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import { phoneOf } from "./device.ts";

const REQUEST = { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" };

/** What all connections of a run share. */
export class Receiving {
  /** Messages that came to any of them. */
  messages = 0;
  /** Time that was spent on the clients' side of it, milliseconds. */
  ownMs = 0;
  /** What goes to many is the same array for each: it is decoded once. */
  readonly #decoded = new WeakMap<Uint8Array, readonly ServerFrame[]>();

  decode(bytes: Uint8Array): readonly ServerFrame[] {
    let frames = this.#decoded.get(bytes);
    if (frames === undefined) this.#decoded.set(bytes, frames = decodeServerFrames(bytes));
    return frames;
  }
}

/** A phone whose socket comes back. It confirms what came at the end of the turn, as handled; what it does is not the engine's cost. */
export class Returning {
  /** What its socket has not taken yet, bytes. */
  bufferedAmount = 0;
  /** Messages that came. */
  messages = 0;
  readonly #receiving: Receiving;
  readonly #slow: boolean;
  readonly #events: ConnectionEvents;
  #moved: Cursor | undefined;
  #ackWaits = false;

  /** @param slow the socket takes nothing by itself: see {@link take} */
  constructor(engine: Engine, userId: string, receiving: Receiving, slow: boolean) {
    this.#receiving = receiving;
    this.#slow = slow;
    const bufferedAmount = (): number => this.bufferedAmount;
    this.#events = engine.accept({
      get bufferedAmount() {
        return bufferedAmount();
      },
      send: (bytes) => this.#receive(bytes),
      close() {},
    }, REQUEST);
    const hello = {
      version: 1,
      capabilities: [],
      deviceId: phoneOf(userId),
      temporary: false,
      signedOut: [],
      token: userId,
      visible: true,
      idleMs: null,
    };
    this.#events.message(encodeClientFrame({ type: "hello", ...hello, cursors: [], more: false }));
  }

  /** The other side takes so much of what waits. */
  take(bytes: number): void {
    if (this.bufferedAmount === 0) return;
    this.bufferedAmount = Math.max(0, this.bufferedAmount - bytes);
    if (this.bufferedAmount === 0) this.#events.drained();
  }

  #receive(bytes: Uint8Array): boolean {
    const started = performance.now();
    for (const frame of this.#receiving.decode(bytes)) {
      if (frame.type !== "message") continue;
      this.messages++;
      this.#receiving.messages++;
      this.#moved = { topic: frame.topic, epoch: frame.epoch, offset: frame.offset };
      this.#ackSoon();
    }
    this.#receiving.ownMs += performance.now() - started;
    if (this.#slow) this.bufferedAmount += bytes.length;
    return !this.#slow;
  }

  #ackSoon(): void {
    if (this.#ackWaits) return;
    this.#ackWaits = true;
    setTimeout(() => {
      this.#ackWaits = false;
      const cursors = this.#moved === undefined ? [] : [this.#moved];
      this.#moved = undefined;
      this.#events.message(encodeClientFrame({ type: "ack", seen: this.messages, cursors, idleMs: null, waiting: 0 }));
    }, 0);
  }
}
