import type { ClientFrame, Cursor } from "../../src/protocol/frames.ts";
import type { Urgency } from "../../src/protocol/message.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { type Finding, judge } from "./judge.ts";
import type { Presence } from "./presence.ts";
import type { Answered, Ending, Happening, Line } from "./trace.ts";

const EPOCH = 7;
/** Far beyond anything that waits. */
const END_MS = 1_000_000;

interface Place {
  visible?: boolean;
  idleMs?: number | null;
  from?: Record<Topic, number>;
}

/** A trace written by hand: sara's devices, one line after the other. Everything happens at the time that `at` set last. */
export class Script {
  readonly lines: Line[] = [];
  #now = 0;
  #connections = 0;
  #requests = 0;
  #refs = 0;
  readonly #open = new Map<string, { id: number; visible: boolean; idleAt: number | null }>();
  readonly #offsets = new Map<Topic, number>();
  readonly #asked = new Map<string, number>();

  constructor() {
    this.#note({ what: "engine", event: "started" });
  }

  at(ms: number): this {
    this.#now = ms;
    return this;
  }

  /** Says hello, is welcomed; registers its token, when it has one, on the first time. */
  opens(device: string, { visible = true, idleMs = null, from = {} }: Place = {}, token = true): this {
    const id = ++this.#connections;
    const presence = { visible, idleMs };
    this.#open.set(device, { id, visible, idleAt: idleMs === null ? null : this.#now - idleMs });
    const hello: ClientFrame = {
      ...{
        type: "hello",
        version: 1,
        capabilities: [],
        deviceId: device,
        temporary: false,
        signedOut: [],
        token: "sara",
        visible,
        idleMs,
      },
      ...{ cursors: [], more: false },
    };
    this.#note({ what: "said", user: "sara", device, connection: id, frame: hello, presence });
    const recovery = Object.entries({ "sara/default": 0, "*/news": 0, ...from })
      .map(([topic, offset]) => ({ topic, epoch: EPOCH, offset, recovered: true }));
    const limits = { frameBytes: 65_536, topics: 128 };
    const welcome = {
      type: "welcome",
      version: 1,
      userId: "sara",
      time: 0,
      heartbeatMs: 1,
      ackMs: 1,
      inputMs: 1,
      limits,
      recovery,
    } as const;
    this.#note({ what: "heard", user: "sara", device, connection: id, frame: welcome });
    if (token) this.registers(device);
    return this;
  }

  registers(device: string, token: string | null = `${device} token`): this {
    return this.asks(device, { type: "target", ref: 0, provider: "fake", token, details: null });
  }

  subscribed(channel = "news"): this {
    const call = ++this.#refs;
    this.#note({ what: "call", call, name: "subscribe", user: "sara", topic: `*/${channel}` });
    this.#note({ what: "done", call, ok: true });
    return this;
  }

  /** A request and its answer. */
  asks(device: string, frame: Extract<ClientFrame, { ref: number }>, error?: boolean): this {
    const ref = ++this.#refs;
    this.#says(device, { ...frame, ref });
    const { id } = this.#open.get(device)!;
    const of = { user: "sara", device, connection: id };
    if (error === undefined) this.#note({ what: "heard", ...of, frame: { type: "ok", ref, value: null } });
    else {
      const answer = { type: "error", ref, code: "unavailable", retryable: error, retryAfterMs: null, hint: null } as const;
      this.#note({ what: "heard", ...of, frame: answer });
    }
    return this;
  }

  /** The log has it; each open device that is named hears it. */
  message(
    id: string,
    to: readonly string[] = [],
    more: Partial<{ topic: Topic; urgency: Urgency; from: string; ttlMs: number; inApp: boolean }> = {},
  ): this {
    const { topic = "sara/default", urgency = "normal", from, ttlMs = 10 * END_MS, inApp = false } = more;
    const offset = (this.#offsets.get(topic) ?? 0) + 1;
    this.#offsets.set(topic, offset);
    const entry = { topic, epoch: EPOCH, offset, id, from, urgency, inApp, expiresAt: this.#now + ttlMs };
    this.#note({ what: "appended", entry });
    for (const device of to) this.hears(device, topic, offset);
    return this;
  }

  hears(device: string, topic: Topic, offset: number): this {
    const { id } = this.#open.get(device)!;
    const frame = { type: "message", topic, epoch: EPOCH, offset, previous: offset - 1 } as const;
    this.#note({ what: "heard", user: "sara", device, connection: id, frame });
    return this;
  }

  /** @param offset handled up to here; undefined: only seen. @param idleMs how long ago the last input was, if it told of one */
  acks(device: string, seen: number, offset?: number, idleMs?: number, topic: Topic = "sara/default"): this {
    const open = this.#open.get(device)!;
    if (idleMs !== undefined) open.idleAt = this.#now - idleMs;
    const cursors: Cursor[] = offset === undefined ? [] : [{ topic, epoch: EPOCH, offset }];
    return this.#says(device, { type: "ack", seen, cursors, idleMs: idleMs ?? null, waiting: 0 });
  }

  fails(device: string, offset: number): this {
    return this.#says(device, { type: "failed", topic: "sara/default", epoch: EPOCH, offset, reason: "threw" });
  }

  state(device: string, visible: boolean, idleMs?: number): this {
    const open = this.#open.get(device)!;
    open.visible = visible;
    if (idleMs !== undefined) open.idleAt = this.#now - idleMs;
    return this.#says(device, { type: "state", visible, idleMs: idleMs ?? null });
  }

  marks(
    device: string,
    kind: "read" | "dismissed",
    offset: number,
    { epoch = EPOCH, error }: { epoch?: number; error?: boolean } = {},
  ): this {
    return this.asks(device, { type: "mark", ref: 0, kind, topic: "sara/default", epoch, offset }, error);
  }

  closes(device: string, ending: Ending = "clean"): this {
    const { id } = this.#open.get(device)!;
    this.#open.delete(device);
    this.#note({ what: "closed", user: "sara", device, connection: id, ending });
    return this;
  }

  push(
    device: string,
    id: string,
    verdict: Answered["verdict"] | "none" = "sent",
    more: Partial<{ waiting: number; collapseId: string; afterMs: number; token: string }> = {},
  ): this {
    const { waiting = 1, collapseId = `collapse ${id}`, afterMs, token = `${device} token` } = more;
    const request = ++this.#requests;
    const entry = this.lines.flatMap((line) => line.what === "appended" && line.entry.id === id ? [line.entry] : [])[0]!;
    const { topic, epoch, offset } = entry;
    this.#note({ what: "asked", ask: { request, token, topic, epoch, offset, id, collapseId, waiting } });
    if (verdict !== "none") this.#note({ what: "answered", answer: { request, verdict, afterMs } });
    this.#asked.set(id, request);
    return this;
  }

  engine(event: "started" | "closing" | "closed" | "killed"): this {
    this.#note({ what: "engine", event });
    return this;
  }

  storeFails(call: string): this {
    this.#note({ what: "store", call, applied: false });
    return this;
  }

  provider(mode: string): this {
    this.#note({ what: "provider", mode });
    return this;
  }

  /** What the judge says, in short: rule, device, message. */
  findings(): string[] {
    return this.judged().map(({ rule, device, message }) => `${rule} ${device} ${message}`);
  }

  judged(): Finding[] {
    return judge(this.lines, END_MS).findings;
  }

  #says(device: string, frame: ClientFrame): this {
    const { id, idleAt, visible } = this.#open.get(device)!;
    const presence: Presence = { visible, idleMs: idleAt === null ? null : this.#now - idleAt };
    this.#note({ what: "said", user: "sara", device, connection: id, frame, presence });
    return this;
  }

  #note(happening: Happening): void {
    this.lines.push({ at: this.#now, ...happening });
  }
}
