import { decodeClientFrames, encodeEnvelope, encodePayload, encodeServerFrame } from "../../src/protocol/codec.ts";
import type { ClientFrame, Recovery, ServerFrame, WelcomeFrame } from "../../src/protocol/frames.ts";
import type { ConnectOptions, PeykClient } from "../../src/client/client.ts";
import { connectIn } from "../../src/client/client.ts";
import type { ClientStorage, Environment, Time, WebSocketLike } from "../../src/client/environment.ts";

/** Lets everything run that needs no time to pass. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 60; i++) await Promise.resolve();
}

/** Time that stands still until it is told to pass. */
export class FakeTime implements Time {
  at = 1_000;
  /** What `random` gives. */
  chance = 0.5;
  readonly #timers = new Map<number, { task: () => void; due: number }>();
  #next = 1;
  #slept = 0;

  now(): number {
    return 1_700_000_000_000 + this.at + this.#slept;
  }
  elapsed(): number {
    return this.at;
  }
  random(): number {
    return this.chance;
  }
  setTimeout(task: () => void, ms: number): unknown {
    this.#timers.set(this.#next, { task, due: this.at + Math.max(0, ms) });
    return this.#next++;
  }
  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }
  /** Timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }
  /** The machine sleeps, or the thread stands still: timers fire late. @param monotonic whether that clock goes on meanwhile */
  sleep(ms: number, monotonic = true): void {
    if (monotonic) this.at += ms;
    else this.#slept += ms;
  }
  async pass(ms: number): Promise<void> {
    const until = this.at + ms;
    await quiet();
    for (;;) {
      let first: [number, { task: () => void; due: number }] | undefined;
      for (const timer of this.#timers) if (!first || timer[1].due < first[1].due) first = timer;
      if (!first || first[1].due > until) break;
      this.#timers.delete(first[0]);
      this.at = Math.max(this.at, first[1].due);
      first[1].task();
      await quiet();
    }
    this.at = until;
    await quiet();
  }
}

/** The client's end of a connection whose other end is the test. */
export class FakeSocket implements WebSocketLike {
  binaryType = "blob";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly url: string;
  readonly protocols: string[];
  /** What the client closed with. */
  closedWith: number | undefined;
  /** Answers a close as a living server does. */
  answersClose = true;
  /** Says that it is alive when it is asked, as a living server does. */
  answersProbes = true;
  /** What the client has sent and the test has not taken. */
  received: ClientFrame[] = [];
  /** WebSocket messages that came. */
  messages = 0;
  /** The longest of them, bytes. */
  longest = 0;

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
  }
  send(data: Uint8Array): void {
    if (this.closedWith !== undefined) throw new Error("sent on a closed socket");
    this.messages++;
    this.longest = Math.max(this.longest, data.length);
    const frames = decodeClientFrames(data);
    this.received.push(...frames);
    if (!this.answersProbes || !frames.some(({ type }) => type === "probe")) return;
    queueMicrotask(() => this.raw(encodeServerFrame({ type: "alive" })));
  }
  close(code = 1005): void {
    this.closedWith ??= code;
    if (this.answersClose) queueMicrotask(() => this.onclose?.({ code } as never));
  }

  /** Takes the frames of one type. */
  take<Type extends ClientFrame["type"]>(type: Type): Extract<ClientFrame, { type: Type }>[] {
    const taken = this.received.filter((frame) => frame.type === type);
    this.received = this.received.filter((frame) => frame.type !== type);
    return taken as Extract<ClientFrame, { type: Type }>[];
  }
  /** Takes the only frame of one type. */
  one<Type extends ClientFrame["type"]>(type: Type): Extract<ClientFrame, { type: Type }> {
    const taken = this.take(type);
    if (taken.length !== 1) throw new Error(`${taken.length} ${type} frames instead of one`);
    return taken[0]!;
  }
  /** One WebSocket message to the client. */
  async say(...frames: ServerFrame[]): Promise<void> {
    const parts = frames.map(encodeServerFrame);
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.raw(bytes);
    await quiet();
  }
  raw(bytes: Uint8Array): void {
    this.onmessage?.({ data: bytes.buffer } as never);
  }
  async open(): Promise<void> {
    this.onopen?.({} as never);
    await quiet();
  }
  async welcome(recovery: Recovery[] = [], changes: Partial<WelcomeFrame> = {}): Promise<void> {
    await this.open();
    await this.say({
      type: "welcome",
      version: 1,
      userId: "sara",
      time: 1_700_000_000_000,
      heartbeatMs: 25_000,
      ackMs: 250,
      inputMs: 30_000,
      limits: { frameBytes: 65_536, topics: 128 },
      recovery,
      ...changes,
    });
  }
  /** The socket ends, from the server's side or the network's. */
  async end(code: number): Promise<void> {
    this.closedWith ??= code;
    this.onclose?.({ code } as never);
    await quiet();
  }
}

export class FakeStorage implements ClientStorage {
  readonly rows = new Map<string, string>();
  writes = 0;
  get(key: string): string | undefined {
    return this.rows.get(key);
  }
  set(key: string, value: string): void {
    this.writes++;
    this.rows.set(key, value);
  }
}

/** A client, its surroundings, and the sockets it has opened. */
export class World {
  readonly time = new FakeTime();
  readonly sockets: FakeSocket[] = [];
  readonly environment: Environment;
  storage = new FakeStorage();

  constructor(changes: Partial<Environment> = {}) {
    const { sockets } = this;
    this.environment = {
      time: this.time,
      storage: this.storage,
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols);
          sockets.push(this);
        }
      },
      page: undefined,
      locks: undefined,
      BroadcastChannel: undefined,
      ...changes,
    };
  }
  connect(options: Pick<ConnectOptions, "token" | "deviceId"> = {}): PeykClient {
    return connectIn(this.environment, "ws://engine.test/peyk", options);
  }
  /** The newest socket. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }
  /** A connected client. */
  async connected(
    recovery: Recovery[] = [at("sara/default", 0)],
    options: Pick<ConnectOptions, "token" | "deviceId"> = {},
  ): Promise<PeykClient> {
    const client = this.connect(options);
    await quiet();
    await this.socket.welcome(recovery);
    this.socket.take("hello");
    return client;
  }
  /** Ends the connection and takes the next one. */
  async again(recovery: Recovery[] = [at("sara/default", 0)]): Promise<void> {
    await this.socket.end(1006);
    await this.time.pass(1_000);
    await this.socket.welcome(recovery);
  }
}

export function at(topic: string, offset: number, recovered = true, epoch = 7): Recovery {
  return { topic, epoch, offset, recovered };
}

export function envelope(content: string, id = `m-${content}`): Uint8Array {
  return encodeEnvelope({
    id,
    from: "omid",
    sentAt: 1_700_000_000_000,
    expiresAt: 1_800_000_000_000,
    options: undefined,
    payload: encodePayload(content, undefined),
  });
}

/** An entry whose content is its offset. */
export function entry(offset: number, topic = "sara/default", previous = offset - 1, epoch = 7): ServerFrame {
  return { type: "message", topic, epoch, offset, previous, envelope: envelope(String(offset)) };
}
