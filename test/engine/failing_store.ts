import type { ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { type OpenStorage, PeykError, type Storage } from "../../mod.ts";
import type { ClientFrame, Cursor } from "../../src/protocol/frames.ts";
import { decodeEnvelope, decodePayload } from "../../src/protocol/codec.ts";
import type { Device, DeviceOptions, Stage } from "./stage.ts";

/** How a call fails: before it did anything, or only its answer is lost. */
export type Failure = "before" | "after";

/** What a node does by the clock, whatever happens: a few of these stand for all. */
const BY_THE_CLOCK = ["lease", "liveNodes", "orphans", "unseenSince"];
const ENOUGH = 3;

/** A storage of which one call fails: the n-th since it was armed. */
export class FailingStore {
  /** Names of the calls made since it was armed. */
  readonly calls: string[] = [];
  readonly storage: Storage;
  #armed: { at: number; how: Failure } | undefined;
  readonly #byName = new Map<string, number>();

  constructor(inner: Storage) {
    this.storage = { open: async (context) => this.#over(await inner.open(context)) };
  }

  /** @param at which call fails, from 0; Infinity: none */
  arm(at: number, how: Failure): void {
    this.#armed = { at, how };
  }

  #over(opened: OpenStorage): OpenStorage {
    const { transport, history, work, users, outbox, close } = opened;
    return {
      transport: this.#port(transport, ["publish", "subscribe"]),
      ...history && { history: this.#port(history) },
      ...work && { work },
      users: this.#port(users),
      outbox: this.#port(outbox),
      close: () => close.call(opened),
    };
  }

  #port<Port extends object>(port: Port, only?: readonly string[]): Port {
    return new Proxy(port, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function") return value;
        if (only !== undefined && !only.includes(String(name))) return value.bind(target);
        return (...args: unknown[]) => this.#call(String(name), () => value.apply(target, args) as unknown);
      },
    });
  }

  #call(name: string, run: () => unknown): unknown {
    if (this.#armed === undefined || !this.#counts(name)) return run();
    this.calls.push(name);
    if (this.calls.length - 1 !== this.#armed.at) return run();
    const error = new PeykError("unavailable", `${name} had no answer`, { retryable: true });
    const work = this.#armed.how === "after" ? Promise.resolve(run()) : Promise.resolve();
    return work.then(() => Promise.reject(error));
  }

  #counts(name: string): boolean {
    if (!BY_THE_CLOCK.includes(name)) return true;
    const count = (this.#byName.get(name) ?? 0) + 1;
    this.#byName.set(name, count);
    return count <= ENOUGH;
  }
}

/** A device whose app comes back when its connection is closed, and asks again for what it had no answer to. */
export class Faithful {
  /** What it was brought, by topic, each once, in order. */
  readonly contents: Record<string, string[]> = {};
  /** How often it heard that something can't be done now. */
  refusals = 0;
  readonly #stage: Stage;
  readonly #user: string;
  readonly #deviceId: string;
  readonly #cursors = new Map<string, Cursor>();
  #options: DeviceOptions;
  #device: Device | undefined;
  #taken = 0;

  constructor(stage: Stage, user: string, deviceId: string, options: DeviceOptions = {}) {
    this.#stage = stage;
    this.#user = user;
    this.#deviceId = deviceId;
    this.#options = options;
  }

  get device(): Device {
    return this.#device!;
  }

  async open(options: DeviceOptions = this.#options): Promise<void> {
    this.#options = options;
    await this.#open();
  }

  /** Looks after its connection. */
  async look(): Promise<void> {
    this.#take();
    if (this.#device?.closedWith === undefined) return;
    this.refusals++;
    await this.#open();
  }

  close(how: "leave" | "drop"): void {
    this.#take();
    this.#device?.[how]();
    this.#device = undefined;
  }

  /** Asks until it is answered with more than "not now". */
  async ask(frame: Extract<ClientFrame, { ref: number }>): Promise<void> {
    for (let tries = 0; tries < 5; tries++) {
      await this.look();
      const answer = await this.device.request(frame).catch(() => undefined);
      if (answer?.type === "ok") return;
      this.refusals++;
      if (answer?.type === "error" && !answer.retryable) throw new Error(`${frame.type}: ${answer.code}`);
      await this.#stage.clock.advance(500);
    }
    throw new Error(`${frame.type} was never answered`);
  }

  async #open(): Promise<void> {
    this.#taken = 0;
    const { deviceId, cursors } = { deviceId: this.#deviceId, cursors: [...this.#cursors.values()] };
    this.#device = await this.#stage.device(this.#user, { ...this.#options, deviceId, cursors });
  }

  #take(): void {
    const messages = this.#device?.of("message") ?? [];
    for (const { envelope, topic, epoch, offset } of messages.slice(this.#taken)) {
      const before = this.#cursors.get(topic);
      if (before?.epoch === epoch && offset <= before.offset) continue;
      this.#cursors.set(topic, { topic, epoch, offset });
      (this.contents[topic] ??= []).push(decodePayload(decodeEnvelope(envelope).payload).content ?? "");
    }
    this.#taken = messages.length;
  }
}

/** Half a second after the other; after each the devices look after their connections. */
export async function advance(clock: ManualClock, devices: readonly Faithful[], ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    await clock.advance(Math.min(500, left));
    for (const device of devices) await device.look();
  }
}
