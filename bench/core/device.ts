import type { Engine } from "../../mod.ts";
import type { ConnectionEvents } from "../../src/ports/connection.ts";
import { decodeServerFrames, encodeClientFrame, envelopeHead } from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor, InLine, MarkFrame, ServerFrame } from "../../src/protocol/frames.ts";
import type { Topic } from "../../src/protocol/names.ts";

const REQUEST = { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" };

type WithoutPlace<Frame> = Frame extends unknown ? Omit<Frame, "ref" | "line"> : never;
/** A request as it is made. */
export type Asked = WithoutPlace<Extract<ClientFrame, { line?: InLine | undefined }>>;

export interface DeviceOptions {
  userId: string;
  /** Default: the user's phone. */
  deviceId?: string;
  /** Default true. */
  visible?: boolean;
  /** A message came. */
  got?(id: string): void;
}

/** A device on a connection that is no socket. It acks as the client does: at once after a quiet spell, then as the welcome says. */
export class Device {
  readonly #events: ConnectionEvents;
  readonly #got: ((id: string) => void) | undefined;
  readonly #welcomed: () => void;
  readonly #ended: (code: number) => void;
  readonly #moved = new Map<Topic, Cursor>();
  #seen = 0;
  #ackMs = 0;
  #ackedAt = -Infinity;
  #ackWaits = false;
  #isOpen = true;
  /** Of requests that are not answered yet. */
  readonly #answered = new Map<number, (frame: ServerFrame) => void>();
  #ref = 0;

  /** From hello to welcome. Rejects when the engine closes the connection instead. */
  static signIn(engine: Engine, options: DeviceOptions): Promise<Device> {
    return new Promise((resolve, reject) => {
      const device: Device = new Device(engine, options, () => resolve(device), (code) => {
        reject(new Error(`the engine closed with ${code}`));
      });
    });
  }

  private constructor(engine: Engine, options: DeviceOptions, welcomed: () => void, ended: (code: number) => void) {
    const { deviceId, got, userId, visible = true } = options;
    this.#got = got;
    this.#welcomed = welcomed;
    this.#ended = ended;
    this.#events = engine.accept({
      bufferedAmount: 0,
      send: (bytes) => {
        if (this.#isOpen) { for (const frame of decodeServerFrames(bytes)) this.#take(frame); }
        return true;
      },
      close: (code) => {
        this.#ended(code);
        // A socket is gone some time after it was told to close.
        queueMicrotask(() => this.drop());
      },
    }, REQUEST);
    const hello = {
      version: 1,
      capabilities: [],
      deviceId: deviceId ?? phoneOf(userId),
      temporary: false,
      signedOut: [],
      token: userId,
      visible,
      idleMs: null,
    };
    this.#events.message(encodeClientFrame({ type: "hello", ...hello, cursors: [], more: false }));
  }

  /** The person read or dismissed a message. */
  mark(kind: MarkFrame["kind"], place: Pick<MarkFrame, "topic" | "epoch" | "offset">): Promise<ServerFrame> {
    return this.ask({ type: "mark", kind, ...place });
  }

  /** A request, with its place in a line if it has one. Resolves with its answer. */
  ask(asked: Asked, line?: InLine): Promise<ServerFrame> {
    const ref = ++this.#ref;
    const answer = new Promise<ServerFrame>((resolve) => this.#answered.set(ref, resolve));
    this.#events.message(encodeClientFrame({ ...asked, ref, line }));
    return answer;
  }

  /** The app says goodbye. */
  leave(): void {
    this.#close(1000);
  }

  /** The network takes the socket. */
  drop(): void {
    this.#close(1006);
  }

  #close(code: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#events.closed(code);
  }

  #take(frame: ServerFrame): void {
    if (frame.type === "welcome") {
      this.#ackMs = frame.ackMs;
      // The engine is about to send more in this turn.
      queueMicrotask(this.#welcomed);
    } else if (frame.type === "message") {
      const { envelope, epoch, offset, topic } = frame;
      this.#seen++;
      this.#moved.set(topic, { topic, epoch, offset });
      this.#got?.(envelopeHead(envelope).id);
      this.#ackSoon();
    } else if (frame.type === "ping") this.#ackSoon();
    else if (frame.type === "ok" || frame.type === "error") {
      this.#answered.get(frame.ref!)?.(frame);
      this.#answered.delete(frame.ref!);
    }
  }

  #ackSoon(): void {
    if (this.#ackWaits) return;
    this.#ackWaits = true;
    const wait = this.#ackedAt + this.#ackMs - performance.now();
    if (wait > 0) setTimeout(() => this.#ack(), wait);
    else queueMicrotask(() => this.#ack());
  }

  #ack(): void {
    this.#ackWaits = false;
    if (!this.#isOpen) return;
    this.#ackedAt = performance.now();
    const cursors = [...this.#moved.values()];
    this.#moved.clear();
    this.#events.message(encodeClientFrame({ type: "ack", seen: this.#seen, cursors, idleMs: null, waiting: 0 }));
  }
}

/** The device that people have unless something else is said. */
export function phoneOf(userId: string): string {
  return `phone of ${userId}`;
}
