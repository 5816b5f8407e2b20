import type { ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { createEngine, type Engine, type EngineOptions, type Note, type PushProvider, type PushResult } from "../../mod.ts";
import type { Random } from "../../src/ports/random.ts";
import { Gate } from "../cluster/gate.ts";
import { seededRandom } from "../engine/stage.ts";
import { Device, type DeviceWorld } from "./device.ts";
import { SlowStore } from "./store.ts";
import { type Answered, type Ending, Trace } from "./trace.ts";

/** How a provider answers. "well": takes everything at once. */
export const MODES = ["well", "retry", "rest", "throws", "hangs", "nonsense", "slow", "gone", "rejected"] as const;
export type Mode = (typeof MODES)[number];

/** One life of the engine. */
export interface Node {
  readonly engine: Engine;
  readonly gate: Gate;
  readonly isRunning: boolean;
  /** Those that end with the node. */
  readonly connections: Set<{ end(ending: Ending): void }>;
}

/** One engine at a time on one store, a provider, and devices; everything that happens is written down. Time stands still by itself. */
export class Stage {
  readonly clock: ManualClock;
  readonly trace: Trace;
  readonly store: SlowStore;
  readonly random: Random;
  readonly devices: Device[] = [];
  /** What engines said of themselves: for people who look for a fault, never for the judge. */
  readonly notes: (Note & { elapsed: number })[] = [];
  readonly logged: string[] = [];
  node: Node | undefined;
  mode: Mode = "well";
  /** The provider of users who make load takes requests and never answers. */
  isLoadHanging = false;
  /** What a provider that rests asks for. */
  restMs = 30_000;
  readonly #options: Partial<EngineOptions>;
  readonly #world: DeviceWorld;
  #requests = 0;
  #calls = 0;
  #seed: number;

  constructor(clock: ManualClock, seed: number, options: Partial<EngineOptions> & { slow?: boolean } = {}) {
    const { slow = true, ...engineOptions } = options;
    this.clock = clock;
    this.random = seededRandom(seed);
    this.#seed = seed * 1_000;
    this.#options = engineOptions;
    this.trace = new Trace(() => clock.elapsed());
    this.store = new SlowStore(clock, this.trace, seededRandom(seed + 1_000_000), slow);
    let connections = 0;
    this.#world = { clock, trace: this.trace, nextConnection: () => ++connections };
  }

  /** @param provider "healthy" takes everything at once, always; "load" is the one of users who make load */
  device(user: string, id: string, provider: "fake" | "healthy" | "load" = "fake"): Device {
    const device = new Device(this.#world, user, id, provider);
    this.devices.push(device);
    return device;
  }

  /** Opens an engine on what the last one left. */
  async start(): Promise<Node> {
    // An engine that can't read its storage says so and does not start.
    this.store.failing.clear();
    const gate = new Gate(this.clock);
    const log = (message: string, fields?: object): void => {
      if (gate.isRunning) {
        this.logged.push(`${this.clock.elapsed()} ${message} ${(fields as { error?: unknown } | undefined)?.error ?? ""}`);
      }
    };
    const options: EngineOptions = {
      ...{ insecure: true, random: seededRandom(this.#seed++), logger: { info() {}, warn: log, error: log } },
      // Pings cost time and say nothing here.
      heartbeatMs: 100_000,
      ...this.#options,
      push: [
        this.#provider(gate, "fake", () => this.mode),
        this.#provider(gate, "healthy", () => "well"),
        this.#provider(gate, "load", () => this.isLoadHanging ? "hangs" : "well"),
      ],
      storage: this.store.for(gate),
      clock: gate.clock,
    };
    const engine = await this.finish(createEngine(options));
    engine.on("note", (note) => gate.isRunning && this.notes.push({ ...note, elapsed: this.clock.elapsed() }));
    const node: Node = {
      engine,
      gate,
      connections: new Set(),
      get isRunning() {
        return gate.isRunning;
      },
    };
    this.node = node;
    this.trace.note({ what: "engine", event: "started" });
    return node;
  }

  /** Ends the engine in order. */
  async close(): Promise<void> {
    const { node } = this;
    if (node === undefined) return;
    this.node = undefined;
    this.trace.note({ what: "engine", event: "closing" });
    await this.finish(node.engine.close());
    this.trace.note({ what: "engine", event: "closed" });
    // What it left behind would run on in a process that is gone.
    node.gate.kill();
  }

  /** Ends the engine where it stands. */
  kill(): void {
    const { node } = this;
    if (node === undefined || !node.isRunning) return;
    this.node = undefined;
    node.gate.kill();
    this.trace.note({ what: "engine", event: "killed" });
    for (const connection of [...node.connections]) connection.end("node");
  }

  /** What a call gives, however much virtual time it takes. A call of a node that was killed gives nothing. */
  async finish<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => void (settled = true);
    work.then(settle, settle);
    await this.clock.settle();
    for (let ms = 0; !settled; ms += 25) {
      if (ms > 60_000) throw new Error("not within a minute");
      await this.clock.advance(25);
    }
    return await work;
  }

  /** The embedding server calls. Nobody waits for it. */
  call(name: "subscribe" | "unsubscribe" | "revoke", user: string, channel = "news"): void {
    const { node, trace } = this;
    if (node === undefined) return;
    const call = ++this.#calls;
    const topic = name === "revoke" ? undefined : `*/${channel}`;
    trace.note({ what: "call", call, name, user, topic });
    const { engine } = node;
    const work: Promise<unknown> = name === "revoke"
      ? engine.revoke(user)
      : name === "subscribe"
      ? engine.subscribe(user, { to: "*", channel })
      : engine.unsubscribe(user, { to: "*", channel });
    work.then(() => trace.note({ what: "done", call, ok: true }), () => trace.note({ what: "done", call, ok: false }));
  }

  setMode(mode: Mode): void {
    if (mode === this.mode) return;
    this.mode = mode;
    this.trace.note({ what: "provider", mode });
  }

  #provider(gate: Gate, name: string, mode: () => Mode): PushProvider {
    return {
      name,
      send: ({ token }, { topic, position: { epoch, offset }, id, collapseId, waiting }) => {
        if (!gate.isRunning) return new Promise(() => {});
        const request = ++this.#requests;
        this.trace.note({ what: "asked", ask: { request, token, topic, epoch, offset, id, collapseId, waiting } });
        return gate.answer(this.#answer(request, mode()));
      },
    };
  }

  #answer(request: number, mode: Mode): Promise<PushResult> {
    const answer = (verdict: Answered["verdict"], afterMs?: number): void => {
      this.trace.note({ what: "answered", answer: { request, verdict, afterMs } });
    };
    const { clock, restMs } = this;
    switch (mode) {
      case "well":
        answer("sent");
        return Promise.resolve({ verdict: "sent" });
      case "retry":
        answer("retry");
        return Promise.resolve({ verdict: "retry", reason: "busy" });
      case "rest":
        answer("retry", restMs);
        return Promise.resolve({ verdict: "retry", afterMs: restMs, reason: "not before" });
      case "throws":
        answer("threw");
        return Promise.reject(new Error("a provider must not throw"));
      case "hangs":
        return new Promise(() => {});
      case "nonsense":
        answer("nonsense");
        return Promise.resolve(undefined as unknown as PushResult);
      case "slow":
        return new Promise((resolve) => {
          clock.setTimeout(() => {
            answer("sent");
            resolve({ verdict: "sent" });
          }, 700);
        });
      case "gone":
        this.setMode("well");
        answer("gone");
        return Promise.resolve({ verdict: "gone", reason: "unregistered" });
      case "rejected":
        this.setMode("well");
        answer("rejected");
        return Promise.resolve({ verdict: "rejected", reason: "too large" });
    }
  }
}
