import { expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createEngine, type EngineOptions, memory, type OpenStorage, type PushProvider, type Storage } from "../../mod.ts";
import type { Peers } from "../../src/ports/peers.ts";
import { createFiles } from "../storage/sqlite_stage.ts";
import { FakeProvider } from "./stage.ts";

const { newPath } = createFiles();
const silent = { info() {}, warn() {}, error() {} };
const fail = (): Promise<never> => Promise.reject(new Error("not now"));

/** A storage that is opened and closed as told, and writes that down. */
function watched(change: (opened: OpenStorage) => Partial<OpenStorage>): { storage: Storage; seen: string[] } {
  const seen: string[] = [];
  const storage: Storage = {
    async open(context) {
      seen.push("opened");
      const opened = await memory().open(context);
      const close = async (): Promise<void> => {
        seen.push("closed");
        await opened.close();
      };
      return { ...opened, close, ...change(opened) };
    },
  };
  return { storage, seen };
}

test.each<[string, EngineOptions]>([
  ["handledBy", { handledBy: { alarms: "never" as "mark" } }],
  ["compose", { compose: "words" as never }],
  ["limits", { limits: { devices: 0 } }],
  ["policy", { policy: { graceMs: -1 } }],
  ["push", { push: [new FakeProvider(), new FakeProvider()] }],
  ["authenticate", { insecure: false }],
  ["heartbeatMs", { heartbeatMs: 1 }],
])("an option that makes no sense (%s) opens no storage", async (_, options) => {
  const { storage, seen } = watched(() => ({}));
  await expect(createEngine({ insecure: true, logger: silent, storage, ...options })).rejects.toMatchObject({
    code: "bad-config",
  });
  expect(seen).toEqual([]);
});

/** Everything of a storage that is asked while an engine starts. */
const starts: [string, (opened: OpenStorage) => Partial<OpenStorage>][] = [
  ["the lease", ({ users }) => ({ users: over(users, { lease: fail }) })],
  ["what is due", ({ outbox }) => ({ outbox: over(outbox, { due: fail }) })],
  ["the orphans", ({ users }) => ({ users: over(users, { orphans: fail }) })],
  ["the topics that are not decided", ({ outbox }) => ({ outbox: over(outbox, { undecided: fail }) })],
  ["the work", () => ({ work: { consume: fail } })],
  ["the other nodes", () => ({ peers: { tell() {}, ask: () => Promise.resolve([]), listen: fail } satisfies Peers })],
];

function over<Port extends object>(port: Port, change: Partial<Port>): Port {
  return new Proxy(port, {
    get(target, name) {
      const value = Reflect.get(change, name) ?? Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test.each(starts)("where %s can't be had, the storage is closed again, once, and nothing is left running", async (_, change) => {
  const clock = createManualClock();
  const { storage, seen } = watched(change);
  await expect(createEngine({ insecure: true, logger: silent, storage, clock })).rejects.toThrow("not now");
  expect(seen).toEqual(["opened", "closed"]);
  expect(clock.timers).toBe(0);
});

test("a start that failed can be tried again with the same file and the same providers", async () => {
  const path = newPath();
  let isAway = true;
  const storage: Storage = {
    async open(context) {
      const opened = await sqlite(path).open(context);
      return isAway ? { ...opened, work: { consume: fail } } : opened;
    },
  };
  let closed = 0;
  const provider: PushProvider = {
    name: "fake",
    send: () => Promise.resolve({ verdict: "sent" }),
    close: () => Promise.resolve(void closed++),
  };
  const start = () => createEngine({ insecure: true, logger: silent, storage, push: [provider] });
  await expect(start()).rejects.toThrow("not now");
  expect(closed).toBe(0);
  isAway = false;
  const engine = await start();
  expect(await engine.publish({ to: "sara", content: "hi" })).toMatchObject({ durable: true });
  await engine.close();
  expect(closed).toBe(1);
});

test.each<[string, (engine: { isAway: boolean }) => Partial<EngineOptions>]>([
  ["a provider that can't be closed", () => ({
    push: [{ name: "a", send: () => Promise.resolve({ verdict: "sent" }), close: fail }],
  })],
  ["a lease that can't be given back", (state) => ({
    storage: watched(({ users }) => ({
      users: over(users, { lease: (...given) => state.isAway ? fail() : users.lease(...given) }),
    })).storage,
  })],
])("%s does not keep the others from being closed, nor the storage", async (_, options) => {
  const state = { isAway: false };
  const clock: ManualClock = createManualClock();
  const given = options(state);
  const { storage, seen } = watched(() => ({}));
  let closed = 0;
  const other: PushProvider = {
    name: "other",
    send: () => Promise.resolve({ verdict: "sent" }),
    close: () => Promise.resolve(void closed++),
  };
  const inner = given.storage ?? memory();
  const both: Storage = {
    async open(context) {
      const outer = await storage.open(context);
      return { ...await inner.open(context), close: outer.close };
    },
  };
  const engine = await createEngine({
    ...{ insecure: true, logger: silent, clock },
    ...given,
    storage: both,
    push: [...given.push ?? [], other],
  });
  state.isAway = true;
  await expect(engine.close()).rejects.toThrow("not now");
  expect(closed).toBe(1);
  expect(seen).toEqual(["opened", "closed"]);
  expect(clock.timers).toBe(0);
});
