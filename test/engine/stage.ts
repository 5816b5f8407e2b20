import { CloseCode } from "../../src/protocol/codes.ts";
import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type Explanation,
  memory,
  type MessageRef,
  type Note,
  type OpenStorage,
  type PushAddress,
  type PushNotification,
  type PushProvider,
  type PushResult,
  type Storage,
} from "../../mod.ts";
import type { ConnectionEvents } from "../../src/ports/connection.ts";
import type { Random } from "../../src/ports/random.ts";
import {
  decodeEnvelope,
  decodePayload,
  decodeServerFrames,
  encodeClientFrame,
  encodePayload,
  envelopeHead,
} from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor, IdleMs, ServerFrame } from "../../src/protocol/frames.ts";

/** An engine on a clock that the test holds, with devices that do exactly what they are told. */
export interface Stage {
  readonly engine: Engine;
  readonly clock: ManualClock;
  readonly provider: FakeProvider;
  readonly notes: Note[];
  /** Opens a connection, says hello, and waits for the answer. */
  device(userId: string, options?: DeviceOptions): Promise<Device>;
  /** What `engine.explain` says of the first message that the server published under this id. */
  explain(id: string): Promise<Explanation | undefined>;
  /** The same of its only device: kinds of events, in order. */
  story(id: string): Promise<string[]>;
}

export interface DeviceOptions {
  deviceId?: string;
  temporary?: boolean;
  /** Devices that were signed out while there was no connection. */
  signedOut?: string[];
  visible?: boolean;
  /** Short for `idleMs` 0 or null. */
  attended?: boolean;
  idleMs?: IdleMs;
  cursors?: Cursor[];
  /** Whether it confirms what comes, at once: as seen, as handled. Default both. */
  habit?: Habit;
  /** A push token to register with the fake provider. */
  token?: string;
}

/**
 * "acks": seen and handled; "sees": seen only; "waits": seen, and it says what waits for its app; "mute": the socket is open,
 * nobody answers.
 */
export type Habit = "acks" | "sees" | "waits" | "mute";

/** @param refs where messages are by their ids; an engine that goes on with another one's storage has that one's */
export async function createStage(
  options: EngineOptions & { clock?: ManualClock } = {},
  refs: Map<string, MessageRef> = new Map(),
): Promise<Stage> {
  const clock = options.clock ?? createManualClock();
  const provider = new FakeProvider();
  const notes: Note[] = [];
  const made = await createEngine({
    ...{ insecure: true, random: seededRandom(7), push: [provider], logger: silent },
    ...options,
    clock,
  });
  const engine = writingDown(made, refs);
  const explain = async (id: string): Promise<Explanation | undefined> => {
    const ref = refs.get(id);
    if (ref === undefined) throw new Error(`the server published nothing under the id ${id}`);
    return await engine.explain(ref);
  };
  engine.on("note", (note) => notes.push(note));
  return {
    engine,
    clock,
    provider,
    notes,
    async device(userId, { deviceId = `${userId}'s device`, token, ...rest } = {}) {
      const device = new Device(engine, clock, userId, deviceId, rest);
      await clock.settle();
      if (token !== undefined) await device.request({ type: "target", ref: 0, provider: "fake", token, details: null });
      return device;
    },
    explain,
    async story(id) {
      return (await explain(id))?.devices[0]?.events.map(({ kind }) => kind) ?? [];
    },
  };
}

/** The same engine, which writes down what the first publish under each id answered. */
function writingDown(engine: Engine, refs: Map<string, MessageRef>): Engine {
  return {
    ...engine,
    async publish(message) {
      const result = await engine.publish(message);
      if (!refs.has(result.id)) refs.set(result.id, result);
      return result;
    },
  };
}

const silent = { info() {}, warn() {}, error() {} };

/** A device that speaks frames over a connection that is no socket. */
export class Device {
  readonly deviceId: string;
  /** Everything that came, in order. */
  readonly frames: ServerFrame[] = [];
  /** What the server closed with. */
  closedWith: number | undefined;
  habit: Habit;
  /** What its acks say of the person's last input. */
  idleMs: IdleMs;
  /** What the kernel would hold back. */
  bufferedAmount = 0;
  readonly #events: ConnectionEvents;
  readonly #clock: ManualClock;
  #seen = 0;
  #waiting: Cursor[] = [];
  #ref = 1;

  constructor(engine: Engine, clock: ManualClock, userId: string, deviceId: string, options: DeviceOptions) {
    this.deviceId = deviceId;
    this.#clock = clock;
    this.habit = options.habit ?? "acks";
    const bufferedAmount = (): number => this.bufferedAmount;
    this.#events = engine.accept({
      send: (bytes) => {
        this.#receive(bytes);
        return this.bufferedAmount === 0;
      },
      get bufferedAmount() {
        return bufferedAmount();
      },
      close: (code) => {
        this.closedWith ??= code;
      },
    }, { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" });
    const { visible = true, attended = false, idleMs = attended ? 0 : null, cursors = [] } = options;
    this.idleMs = idleMs;
    const who = { deviceId, temporary: options.temporary ?? false, signedOut: options.signedOut ?? [], token: userId };
    this.send({ type: "hello", version: 1, capabilities: [], ...who, visible, idleMs, cursors, more: false });
  }

  send(...frames: ClientFrame[]): void {
    const parts = frames.map(encodeClientFrame);
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#events.message(bytes);
  }

  /** Sends raw bytes. */
  raw(bytes: Uint8Array): void {
    this.#events.message(bytes);
  }

  /** Sends a frame that has a ref, and gives the answer: the value, or the error frame. */
  async request(frame: Extract<ClientFrame, { ref: number }>): Promise<Extract<ServerFrame, { ref: unknown }>> {
    const ref = this.#ref++;
    this.send({ ...frame, ref });
    await this.#clock.settle();
    const answer = this.frames.find((frame) => (frame.type === "ok" || frame.type === "error") && frame.ref === ref);
    if (answer === undefined) throw new Error(`no answer to ${frame.type}`);
    return answer as Extract<ServerFrame, { ref: unknown }>;
  }

  publish(topic: string, content: string, id: string = `m${this.#ref}`): ReturnType<Device["request"]> {
    return this.request({ type: "publish", ref: 0, topic, id, options: null, payload: encodePayload(content, undefined) });
  }

  /** Confirms everything that came so far as seen, and these cursors as handled. */
  ack(cursors: Cursor[] = [], seen: number = this.#seen): void {
    const waiting = this.habit === "waits" ? this.#waiting.length : 0;
    this.send({ type: "ack", seen, cursors, idleMs: this.idleMs, waiting });
  }

  /** The app is done with so many more of what waits for it, of one topic or of all. */
  handle(count: number, topic?: string): void {
    const done = this.#waiting.filter((cursor) => (topic ?? cursor.topic) === cursor.topic).slice(0, count);
    this.#waiting = this.#waiting.filter((cursor) => !done.includes(cursor));
    const moved = new Map(done.map((cursor) => [cursor.topic, cursor]));
    this.ack([...moved.values()]);
  }

  /** Entries that wait for the app, where `handle` says what it is done with. */
  get waiting(): number {
    return this.#waiting.length;
  }

  of<Type extends ServerFrame["type"]>(type: Type): Extract<ServerFrame, { type: Type }>[] {
    return this.frames.filter((frame) => frame.type === type) as Extract<ServerFrame, { type: Type }>[];
  }

  /** The contents that came, in order, ephemeral ones included. */
  get contents(): (string | undefined)[] {
    return this.frames.filter((frame) => frame.type === "message" || frame.type === "ephemeral")
      .map(({ envelope }) => decodePayload(decodeEnvelope(envelope).payload).content);
  }

  /** The logged messages that came, in order. */
  get messages(): { id: string; topic: string; offset: number }[] {
    return this.of("message").map(({ envelope, topic, offset }) => ({ id: envelopeHead(envelope).id, topic, offset }));
  }

  get offsets(): number[] {
    return this.of("message").map(({ offset }) => offset);
  }

  /** The furthest position of each topic, as a device that handled everything would claim it. */
  get cursors(): Cursor[] {
    const cursors = new Map<string, Cursor>();
    for (const { topic, epoch, offset } of this.of("message")) cursors.set(topic, { topic, epoch, offset });
    return [...cursors.values()];
  }

  /** @param idle how long ago the last input was; true: just now, false: there was none */
  state(visible: boolean, idle: boolean | IdleMs = false): void {
    this.idleMs = idle === true ? 0 : idle === false ? null : idle;
    this.send({ type: "state", visible, idleMs: this.idleMs });
  }

  /** The app says goodbye. */
  leave(): void {
    this.#events.closed(1000);
  }

  /** The page is left or reloaded. */
  leavePage(code: number = CloseCode.left): void {
    this.#events.closed(code);
  }

  /** The network takes the socket. */
  drop(): void {
    this.#events.closed(1006);
  }

  /** The kernel has taken everything. */
  drained(): void {
    this.bufferedAmount = 0;
    this.#events.drained();
  }

  #receive(bytes: Uint8Array): void {
    const frames = decodeServerFrames(bytes);
    this.frames.push(...frames);
    let due = false;
    const moved = new Map<string, Cursor>();
    for (const frame of frames) {
      if (frame.type === "ping") due = true;
      if (frame.type === "message" || frame.type === "ephemeral") {
        this.#seen++;
        due = true;
      }
      if (frame.type !== "message") continue;
      const cursor = { topic: frame.topic, epoch: frame.epoch, offset: frame.offset };
      moved.set(frame.topic, cursor);
      this.#waiting.push(cursor);
    }
    if (!due || this.habit === "mute") return;
    const cursors = this.habit === "acks" ? [...moved.values()] : [];
    queueMicrotask(() => this.ack(cursors));
  }
}

/** Whether a push tells of a message: alone, or as one of several of its topic. */
export function tells(
  { id, position, topic, waiting }: PushNotification,
  message: { readonly id: string; readonly topic: string; readonly offset: number },
): boolean {
  return id === message.id || (waiting > 1 && topic === message.topic && position.offset > message.offset);
}

/** A push service that says what it is told to say, and writes down what it was asked. */
export class FakeProvider implements PushProvider {
  readonly name = "fake";
  readonly sent: { token: string; target: PushAddress; notification: PushNotification }[] = [];
  /** Asked for each send; the default takes everything. */
  verdict: (token: string, attempt: number) => PushResult | Promise<PushResult> = () => ({ verdict: "sent", info: "ok" });

  async send(target: PushAddress, notification: PushNotification): Promise<PushResult> {
    const { token } = target;
    this.sent.push({ token, target, notification });
    return await this.verdict(token, this.sent.length);
  }

  get tokens(): string[] {
    return this.sent.map(({ token }) => token);
  }
}

/** A storage that outlives the engine, as a file does. */
export function surviving(): Storage {
  let opened: Promise<OpenStorage> | undefined;
  return {
    open: async (context) => ({ ...await (opened ??= memory().open(context)), close: () => Promise.resolve() }),
  };
}

/** The same chance every time (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { id: () => Array.from({ length: 4 }, () => Math.floor(next() * 2 ** 32).toString(36)).join("-"), fraction: next };
}
