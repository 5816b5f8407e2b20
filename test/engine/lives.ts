import { setImmediate } from "node:timers/promises";
import { afterEach } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import type { Engine, EngineOptions, Explanation, MessageRef, OpenStorage, OutgoingMessage, Storage } from "../../mod.ts";
import { createFiles } from "../storage/sqlite_stage.ts";
import { createStage, type Device, type DeviceOptions, FakeProvider, type Stage, surviving } from "./stage.ts";

export const PLACES = ["memory", "sqlite"] as const;
export type Place = (typeof PLACES)[number];

/** One engine after the other on the same storage, with one provider that knows all of them. */
export interface Lives {
  readonly clock: ManualClock;
  readonly provider: FakeProvider;
  readonly engine: Engine;
  device(userId: string, options?: DeviceOptions): Promise<Device>;
  /** Sara's device of that name. */
  sara(deviceId: string, options?: DeviceOptions): Promise<Device>;
  /** Publishes under an id that is the content, by default to sara, and lets it arrive. */
  say(content: string, message?: Partial<OutgoingMessage> & { from?: string }): Promise<void>;
  /** Closes the engine and starts the next one. */
  restart(): Promise<void>;
  /** What the provider was asked for: token and message, in order. */
  pushed(): string[];
  /** How many pushes are in the outbox that have not ended. */
  waiting(): Promise<number>;
  /** What explain() says of the first message that the server published under this id, in whichever life. */
  explain(id: string): Promise<Explanation | undefined>;
  /** The same: kind and detail of each event, device by device. */
  told(id: string): Promise<string[]>;
}

interface Busy {
  calls: number;
}

const open: Engine[] = [];

/** Closes what a test has left open. */
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

const { newPath } = createFiles();

/** @param place where the engines keep what they know */
export async function createLives(options: EngineOptions = {}, place: Place = "memory"): Promise<Lives> {
  const busy: Busy = { calls: 0 };
  const clock = place === "memory" ? createManualClock() : patient(createManualClock(), busy);
  const provider = new FakeProvider();
  const inner = options.storage ?? (place === "memory" ? surviving() : counted(sqlite(newPath()), busy));
  let opened: OpenStorage;
  const storage: Storage = { open: async (context) => opened = await inner.open(context) };
  let stage: Stage;
  const refs = new Map<string, MessageRef>();
  const start = async (): Promise<void> => {
    stage = await createStage({ ...options, storage, clock, push: [provider] }, refs);
    open.push(stage.engine);
  };
  await start();
  return {
    clock,
    provider,
    get engine() {
      return stage.engine;
    },
    device: (userId, given) => stage.device(userId, given),
    sara: (deviceId, given) => stage.device("sara", { ...given, deviceId }),
    async say(content, message) {
      await stage.engine.publish({ to: "sara", content, id: content, ...message });
      await clock.settle();
    },
    async restart() {
      await stage.engine.close();
      await start();
      await clock.settle();
    },
    async waiting() {
      const { rows } = await opened.outbox.due(Number.MAX_SAFE_INTEGER, 100_000);
      return rows.length;
    },
    pushed: () => provider.sent.map(({ token, notification: { id } }) => `${token} ${id}`),
    explain: (id) => stage.explain(id),
    async told(id) {
      const { devices = [] } = await stage.explain(id) ?? {};
      return devices.flatMap(({ events }) => events.map(({ kind, detail }) => `${kind} ${detail ?? ""}`.trim()));
    },
  };
}

/** Counts calls that wait for their answer. */
function counted(storage: Storage, busy: Busy): Storage {
  const count = <Port extends object>(port: Port): Port =>
    new Proxy(port, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          const result = value.apply(target, args) as unknown;
          if (!(result instanceof Promise)) return result;
          busy.calls++;
          const done = (): void => void busy.calls--;
          result.then(done, done);
          return result;
        };
      },
    });
  return {
    async open(context) {
      const { transport, history, work, users, outbox, heldBytes, close } = await storage.open(context);
      return {
        ...{ transport: count(transport), users: count(users), outbox: count(outbox), close },
        ...history === undefined ? {} : { history: count(history) },
        ...work === undefined ? {} : { work: count(work) },
        ...heldBytes === undefined ? {} : { heldBytes },
      };
    },
  };
}

/** Turns of the event loop without a call under way after which nothing is expected any more. */
const QUIET_TURNS = 8;

/** A clock that stands still until a storage on a disk has answered everything that it was asked. */
function patient(base: ManualClock, busy: Busy): ManualClock {
  const due = new Map<unknown, number>();
  const { setTimeout, clearTimeout } = base;
  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      await base.settle();
      if (busy.calls > 0) quiet = -1;
      await setImmediate();
    }
  };
  return {
    ...base,
    get timers() {
      return base.timers;
    },
    setTimeout(task, ms) {
      const timer = setTimeout(() => {
        due.delete(timer);
        task();
      }, ms);
      due.set(timer, base.elapsed() + Math.max(0, ms));
      return timer;
    },
    clearTimeout(timer) {
      due.delete(timer);
      clearTimeout(timer);
    },
    settle,
    async advance(ms) {
      const target = base.elapsed() + ms;
      await settle();
      for (;;) {
        const next = Math.min(...due.values());
        if (next > target) break;
        await base.advance(Math.max(0, next - base.elapsed()));
        await settle();
      }
      await base.advance(Math.max(0, target - base.elapsed()));
      await settle();
    },
  };
}
