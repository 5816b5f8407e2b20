import type { Timer } from "../../src/ports/clock.ts";
import type { ConnectionEvents } from "../../src/ports/connection.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { decodeServerFrames, encodeClientFrame } from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Device, DeviceWorld } from "./device.ts";
import type { Node } from "./node.ts";
import { TELL_INPUT_MS } from "./presence.ts";
import type { Ending, Heard } from "./trace.ts";

/** What a device closes with. */
const CODES: Readonly<Record<Exclude<Ending, "node">, number>> = { clean: CloseCode.normal, page: CloseCode.left, lost: 1006 };

/** One connection of a device, from its hello on: what a client does with frames. */
export class Connection {
  readonly id: number;
  welcomed = false;
  readonly #device: Device;
  readonly #world: DeviceWorld;
  readonly #node: Node;
  readonly #events: ConnectionEvents;
  readonly #timers = new Set<Timer>();
  /** When the last input was that it told of. */
  #toldInput: number | null = null;
  #toldVisible = false;
  #ended = false;
  #seen = 0;
  #moved = new Map<Topic, Cursor>();
  /** What the handler failed on, not said yet. */
  readonly #failed: Cursor[] = [];
  #ackWaits = false;
  /** When it began to hang, the handler was busy until then. */
  #hangsFrom = 0;
  /** What a handler that hangs was handed. */
  readonly #hanging: Cursor[] = [];
  /** Handlers run one after the other. */
  #busyUntil = 0;
  #at = new Map<Topic, number>();
  #ref = 1;
  readonly #asked = new Map<number, ClientFrame>();

  constructor(device: Device, world: DeviceWorld, node: Node, cursors: Cursor[]) {
    this.#device = device;
    this.#world = world;
    this.#node = node;
    this.id = world.nextConnection();
    node.connections.add(this);
    this.#events = node.engine.accept({
      send: (bytes) => {
        if (!this.#ended && node.isRunning) this.#receive(decodeServerFrames(bytes));
        return true;
      },
      bufferedAmount: 0,
      close: (code) => {
        if (!node.isRunning) return;
        this.end("node", code);
        // A socket is gone some time after it was told to close.
        queueMicrotask(() => node.isRunning && this.#events.closed(1006));
      },
    }, { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" });
    const { id: deviceId, presence, user: token } = device;
    this.#told();
    this.#send({
      ...{ type: "hello", version: 1, capabilities: [], deviceId, temporary: false, signedOut: [], token, cursors, more: false },
      ...presence,
    });
  }

  /** The device ends it. */
  give(ending: Exclude<Ending, "node">): void {
    if (this.#ended) return;
    // Who leaves in order says first what was handled.
    if (ending !== "lost" && !this.#device.habit.mute) this.flush();
    this.end(ending);
    if (this.#node.isRunning) this.#events.closed(CODES[ending]);
  }

  end(ending: Ending, code?: number): void {
    if (this.#ended) return;
    this.#ended = true;
    const { clock, trace } = this.#world;
    for (const timer of this.#timers) clock.clearTimeout(timer);
    this.#timers.clear();
    // What was not answered is asked for again.
    for (const { type } of this.#asked.values()) if (type === "target") this.#device.token = undefined;
    this.#node.connections.delete(this);
    trace.note({ what: "closed", user: this.#device.user, device: this.#device.id, connection: this.id, ending, code });
    this.#device.lost(this);
    if (code === 4103) this.#device.forget();
  }

  touched(): void {
    if (!this.welcomed || !this.#device.visible) return;
    const told = this.#toldInput === null ? Infinity : this.#world.clock.elapsed() - this.#toldInput;
    if (told >= TELL_INPUT_MS) this.tellPresence();
  }

  /** The handler that hangs gets done with what it has. */
  release(): void {
    if (this.#hanging.length === 0) return;
    this.#busyUntil = this.#hangsFrom;
    for (const cursor of this.#hanging.splice(0)) this.#handleAt(this.#busyUntil, cursor);
  }

  tellPresence(): void {
    if (!this.welcomed || this.#ended || this.#device.habit.mute) return;
    this.#told();
    this.#send({ type: "state", ...this.#device.presence });
  }

  /** The socket is not mute any more. */
  catchUp(): void {
    if (!this.welcomed) return;
    this.#ack();
    if (this.#toldVisible !== this.#device.visible || this.#toldInput !== this.#device.lastInput) this.tellPresence();
  }

  request(frame: Extract<ClientFrame, { ref: number }>): void {
    if (!this.welcomed || this.#device.habit.mute) return;
    const ref = this.#ref++;
    this.#asked.set(ref, frame);
    this.#send({ ...frame, ref });
  }

  handled(cursor: Cursor, failed: boolean): void {
    if (failed) this.#failed.push(cursor);
    this.#moved.set(cursor.topic, cursor);
    this.#ackSoon();
  }

  /** Acks what waits to be acked. */
  flush(): void {
    if (this.#ackWaits || this.#moved.size > 0) this.#ack();
  }

  #ackSoon(): void {
    if (this.#ackWaits) return;
    this.#ackWaits = true;
    queueMicrotask(() => this.#ackWaits && this.#ack());
  }

  #ack(): void {
    this.#ackWaits = false;
    if (this.#ended || !this.welcomed || this.#device.habit.mute) return;
    const { presence } = this.#device;
    const cursors = [...this.#moved.values()];
    this.#moved = new Map();
    for (const cursor of this.#failed.splice(0)) this.#send({ type: "failed", ...cursor, reason: "threw" });
    this.#toldInput = this.#device.lastInput;
    this.#send({ type: "ack", seen: this.#seen, cursors, idleMs: presence.idleMs, waiting: 0 });
  }

  #told(): void {
    const { lastInput, visible } = this.#device;
    this.#toldInput = lastInput;
    this.#toldVisible = visible;
  }

  #send(frame: ClientFrame): void {
    if (this.#ended || !this.#node.isRunning) return;
    const { presence: { idleMs }, user, id } = this.#device;
    // An ack says how long ago the last input was; whether the app is in front stays as it was said before.
    const presence = { visible: this.#toldVisible, idleMs };
    this.#world.trace.note({ what: "said", user, device: id, connection: this.id, frame, presence });
    this.#events.message(encodeClientFrame(frame));
  }

  #receive(frames: readonly ServerFrame[]): void {
    for (const frame of frames) {
      if (this.#ended) return;
      this.#take(frame);
    }
  }

  #take(frame: ServerFrame): void {
    const device = this.#device;
    switch (frame.type) {
      case "welcome":
        this.#hear(frame);
        this.welcomed = true;
        for (const { topic, epoch, offset, recovered } of frame.recovery) {
          device.place(topic, epoch, offset, recovered);
          this.#at.set(topic, offset);
        }
        // What the user left meanwhile.
        for (const topic of [...device.began.keys()]) if (!this.#at.has(topic)) device.left(topic);
        // Between hello and welcome nothing may be said.
        if (this.#toldVisible !== device.visible || this.#toldInput !== device.lastInput) {
          queueMicrotask(() => this.tellPresence());
        }
        return;
      case "ping":
        return this.#ackSoon();
      case "ephemeral":
        this.#seen++;
        return this.#ackSoon();
      case "message":
        return this.#message(frame);
      case "advance":
        this.#at.set(frame.topic, frame.offset);
        return;
      case "gap":
        device.faults.push(`a gap in ${frame.topic} to ${frame.offset}`);
        return this.#hear(frame);
      case "subscribed":
        device.place(frame.topic, frame.epoch, frame.offset, true);
        this.#at.set(frame.topic, frame.offset);
        return this.#hear(frame);
      case "unsubscribed":
        device.left(frame.topic);
        this.#at.delete(frame.topic);
        return this.#hear(frame);
      case "ok":
        this.#answered(frame.ref, frame.value);
        return this.#hear(frame);
      case "error":
        if (this.#asked.get(frame.ref ?? 0)?.type === "target") device.token = undefined;
        this.#asked.delete(frame.ref ?? 0);
        return this.#hear(frame);
    }
  }

  #answered(ref: number, value: unknown): void {
    const asked = this.#asked.get(ref);
    this.#asked.delete(ref);
    if (asked?.type === "unsubscribe") {
      this.#device.left(asked.topic);
      this.#at.delete(asked.topic);
    }
    if (asked?.type !== "subscribe") return;
    const { epoch, offset } = value as { epoch: number; offset: number };
    this.#device.place(asked.topic, epoch, offset, true);
    if (!this.#at.has(asked.topic)) this.#at.set(asked.topic, offset);
  }

  #message({ topic, epoch, offset, previous }: Extract<ServerFrame, { type: "message" }>): void {
    const device = this.#device;
    this.#seen++;
    this.#hear({ type: "message", topic, epoch, offset, previous });
    const at = this.#at.get(topic) ?? 0;
    if (offset <= at) device.faults.push(`${topic} went back from ${at} to ${offset}`);
    if (previous > at) device.faults.push(`a hole in ${topic} between ${at} and ${offset}`);
    this.#at.set(topic, offset);
    const cursor = { topic, epoch, offset };
    if (device.has(cursor)) {
      this.#moved.set(topic, cursor);
      return this.#ackSoon();
    }
    this.#ackSoon();
    const { clock } = this.#world;
    const { handlerMs } = device.habit;
    const now = clock.elapsed();
    if (handlerMs === Infinity && this.#busyUntil !== Infinity) this.#hangsFrom = this.#busyUntil;
    this.#busyUntil = Math.max(this.#busyUntil, now) + handlerMs;
    if (this.#busyUntil === Infinity) this.#hanging.push(cursor);
    else this.#handleAt(this.#busyUntil, cursor);
  }

  #handleAt(at: number, cursor: Cursor): void {
    const { clock } = this.#world;
    const device = this.#device;
    if (at <= clock.elapsed()) return device.handle(cursor, this);
    const timer = clock.setTimeout(() => {
      this.#timers.delete(timer);
      device.handle(cursor, this);
    }, at - clock.elapsed());
    this.#timers.add(timer);
  }

  #hear(frame: Heard): void {
    const { user, id } = this.#device;
    this.#world.trace.note({ what: "heard", user, device: id, connection: this.id, frame });
  }
}
