import { createEngine, type Engine, type EngineOptions } from "../../mod.ts";
import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Acceptor, ConnectionEvents, ConnectionRequest } from "../../src/ports/connection.ts";
import { decodeEnvelope, decodePayload, decodeServerFrames, encodeClientFrame, encodePayload } from "../../src/protocol/codec.ts";
import type { ClientFrame, HelloFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { seededRandom } from "../engine/stage.ts";

/** A connection in this process that says nothing by itself, not even hello, and keeps what it is sent as it was sent. */
export class Wire {
  /** Each WebSocket message that came. */
  readonly sends: Uint8Array[] = [];
  readonly frames: ServerFrame[] = [];
  /** What the server closed with. */
  closedWith: number | undefined;
  /** What was sent, or closed once more, after it was closed. */
  late = 0;
  /** Nothing that is sent is taken by the kernel. */
  clogged = false;
  readonly #connection = {
    bufferedAmount: 0,
    send: (bytes: Uint8Array): boolean => this.#take(bytes),
    close: (code: number): void => this.#closed(code),
  };
  readonly #events: ConnectionEvents;

  constructor(
    acceptor: Acceptor,
    request: ConnectionRequest = { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" },
  ) {
    this.#events = acceptor.accept(this.#connection, request);
  }

  #take(bytes: Uint8Array): boolean {
    if (this.closedWith !== undefined) this.late++;
    if (this.clogged) this.#connection.bufferedAmount += bytes.length;
    this.sends.push(bytes);
    this.frames.push(...decodeServerFrames(bytes));
    return !this.clogged;
  }

  #closed(code: number): void {
    if (this.closedWith !== undefined) this.late++;
    this.closedWith ??= code;
  }

  /** What the kernel holds back. */
  get bufferedAmount(): number {
    return this.#connection.bufferedAmount;
  }

  send(...frames: ClientFrame[]): void {
    this.raw(...frames.map(encodeClientFrame));
  }

  /** These bytes as one WebSocket message. */
  raw(...parts: Uint8Array[]): void {
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#events.message(bytes);
  }

  hello(token: string | null, fields: Partial<HelloFrame> = {}): void {
    this.send(helloFrame(token, fields));
  }

  publish(topic: string, content: string, fields: Partial<Extract<ClientFrame, { type: "publish" }>> = {}): void {
    this.send({
      type: "publish",
      ref: 1,
      topic,
      id: content,
      options: null,
      payload: encodePayload(content, undefined),
      ...fields,
    });
  }

  /** Confirms everything that came as seen, and the last message of each topic as handled. */
  ack(): void {
    const cursors = new Map(this.of("message").map(({ topic, epoch, offset }) => [topic, { topic, epoch, offset }]));
    this.send({ type: "ack", seen: this.contents.length, cursors: [...cursors.values()], idleMs: null, waiting: 0 });
  }

  /** The socket is gone: with a goodbye, or without. */
  leave(): void {
    this.#events.closed(1000);
  }

  drop(): void {
    this.#events.closed(1006);
  }

  /** The kernel takes everything again. */
  drained(): void {
    this.clogged = false;
    this.#connection.bufferedAmount = 0;
    this.#events.drained();
  }

  of<Type extends ServerFrame["type"]>(type: Type): Extract<ServerFrame, { type: Type }>[] {
    return this.frames.filter((frame) => frame.type === type) as Extract<ServerFrame, { type: Type }>[];
  }

  /** The contents of the messages that came, in order. */
  get contents(): (string | undefined)[] {
    return this.frames.filter((frame) => frame.type === "message" || frame.type === "ephemeral")
      .map(({ envelope }) => decodePayload(decodeEnvelope(envelope).payload).content);
  }

  /** The answer to a request. */
  answer(ref: number): Extract<ServerFrame, { type: "ok" | "error" }> | undefined {
    return [...this.of("ok"), ...this.of("error")].find((answer) => answer.ref === ref);
  }

  /** What the last error frame said, in short. */
  get error(): string | undefined {
    return this.of("error").at(-1)?.code;
  }

  /** What the server said last, and how it closed: `unauthorized 4100`. */
  get end(): string {
    return `${this.error} ${this.closedWith}`;
  }
}

export function helloFrame(token: string | null, fields: Partial<HelloFrame> = {}): HelloFrame {
  const deviceId = `${token}'s device`;
  return {
    type: "hello",
    version: 1,
    capabilities: [],
    deviceId,
    temporary: false,
    signedOut: [],
    token,
    visible: true,
    idleMs: null,
    cursors: [],
    more: false,
    ...fields,
  };
}

/** An engine on a clock that the test holds, and connections that do nothing by themselves. */
export interface Bench {
  readonly engine: Engine;
  readonly clock: ManualClock;
  /** What the engine reported as errors. */
  readonly errors: string[];
  /** A connection that has said nothing. */
  wire(request?: ConnectionRequest): Wire;
  /** One that said hello, and got its answer. */
  open(token: string, fields?: Partial<HelloFrame>): Promise<Wire>;
  /** The state of a user's only device, undefined when there is none. */
  state(userId: string): Promise<string | undefined>;
}

export async function createBench(options: EngineOptions = {}): Promise<Bench> {
  const clock = createManualClock();
  const errors: string[] = [];
  const logger = { info() {}, warn() {}, error: (message: string) => void errors.push(message) };
  const engine = await createEngine({ insecure: true, clock, logger, random: seededRandom(7), ...options });
  return {
    engine,
    clock,
    errors,
    wire: (request) => new Wire(engine, request),
    async open(token, fields) {
      const wire = new Wire(engine);
      wire.hello(token, fields);
      await clock.settle();
      return wire;
    },
    async state(userId) {
      return (await engine.sessions(userId))[0]?.state;
    },
  };
}
