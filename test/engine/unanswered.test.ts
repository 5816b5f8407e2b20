import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { createEngine, memory, type PushAddress, type PushProvider, type PushResult, type Storage } from "../../mod.ts";
import { unhandledRejections } from "./rejections.ts";
import { createStage } from "./stage.ts";

const never = <Value>(): Promise<Value> => new Promise<Value>(() => {});

function logging() {
  const logged: string[] = [];
  const log = (message: string, { error, ...fields }: Record<string, unknown> = {}): void =>
    void logged.push([message, ...Object.values(fields), ...error instanceof Error ? [error.message] : []].join(": "));
  return { logged, logger: { info() {}, warn: log, error: log } };
}

/** A provider that takes everything, but for what is given. */
function provider(name: string, change: Partial<Record<keyof PushProvider, unknown>> = {}): PushProvider {
  return { name, send: () => Promise.resolve<PushResult>({ verdict: "sent" }), ...change } as PushProvider;
}

test("a provider whose close() never settles is given up after 10 s: the others and the storage are closed, and close() rejects", async () => {
  const closed: string[] = [];
  const clock = createManualClock();
  const { logged, logger } = logging();
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      return { ...opened, close: () => opened.close().then(() => void closed.push("storage")) };
    },
  };
  const push = [
    provider("one", { close: never }),
    provider("two", { close: never }),
    provider("well", { close: () => Promise.resolve(void closed.push("well")) }),
    provider("plain", { close: () => void closed.push("plain") }),
  ];
  const engine = await createEngine({ insecure: true, clock, logger, storage, push });
  let fault: unknown;
  void engine.close().catch((error: unknown) => fault = error);
  await clock.advance(9_999);
  expect([closed, fault]).toEqual([["well", "plain"], undefined]);
  await clock.advance(1);
  expect(closed).toEqual(["well", "plain", "storage"]);
  expect(fault).toMatchObject({ code: "unavailable", retryable: true });
  expect(logged).toEqual(["one", "two"].map((name) => `close() of the push provider "${name}" did not answer within 10 s`));
  expect(clock.timers).toBe(0);
});

test("a storage whose close() never settles is given up after 10 s", async () => {
  const clock = createManualClock();
  const { logged, logger } = logging();
  const storage: Storage = { open: async (context) => ({ ...await memory().open(context), close: never }) };
  const engine = await createEngine({ insecure: true, clock, logger, storage });
  let fault: unknown;
  void engine.close().catch((error: unknown) => fault = error);
  await clock.advance(9_999);
  expect(fault).toBeUndefined();
  await clock.advance(1);
  expect(fault).toMatchObject({ code: "unavailable" });
  expect(logged).toEqual(["close() of the storage did not answer within 10 s"]);
  expect(clock.timers).toBe(0);
});

test("close() of what answers leaves no timer behind", async () => {
  const clock = createManualClock();
  const engine = await createEngine({ insecure: true, clock, push: [provider("well", { close: () => Promise.resolve() })] });
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("a send that never settles and ignores its signal gives its place and its push back, and holds up no close", async () => {
  const asked: string[] = [];
  const hanging = provider("fake", {
    send: ({ token }: PushAddress) => {
      asked.push(token);
      return asked.length === 1 ? never() : Promise.resolve({ verdict: "sent" });
    },
  });
  const { clock, device, engine } = await createStage({ push: [hanging] });
  (await device("sara", { token: "phone" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(29_999);
  expect(asked).toEqual(["phone"]);
  await clock.advance(60_000);
  expect(asked).toEqual(["phone", "phone"]);
  expect(engine.counters()).toMatchObject({ pushesSent: 1, pushesRetried: 1 });
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("an engine closes at once though a send and a compose never settle", async () => {
  for (const compose of [undefined, () => never<undefined>()]) {
    const { clock, device, engine } = await createStage({ push: [provider("fake", { send: never })], ...compose && { compose } });
    (await device("sara", { token: "phone" })).leave();
    await clock.settle();
    await engine.publish({ to: "sara", content: "hi" });
    await clock.settle();
    let isClosed = false;
    const closing = engine.close().then(() => isClosed = true);
    await clock.advance(1_000);
    expect(isClosed).toBe(true);
    await closing;
    expect(clock.timers).toBe(0);
  }
});

test("a listener that never settles is not waited for", async () => {
  const { clock, device, engine } = await createStage();
  for (const name of ["receipt", "session", "note"] as const) engine.on(name, () => never<void>() as unknown as void);
  const phone = await device("sara");
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(phone.contents).toEqual(["hi"]);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("a logger that never settles is not waited for", async () => {
  const logger = { info() {}, warn: () => never<void>() as unknown as void, error: () => never<void>() as unknown as void };
  const { clock, device, engine } = await createStage({ logger });
  engine.on("session", () => {
    throw new Error("listener");
  });
  const phone = await device("sara");
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(phone.contents).toEqual(["hi"]);
  await engine.close();
});

test.each<[string, () => unknown]>([
  ["throws", () => {
    throw new Error("no target: secret token");
  }],
  ["rejects", () => Promise.reject(new Error("no target: secret token"))],
  ["answers with a number", () => 7],
  ["never settles", never],
])("a targetFault that %s refuses the target for now, and its words go nowhere", async (_, targetFault) => {
  const faults = unhandledRejections();
  const { logged, logger } = logging();
  const { clock, device, engine } = await createStage({ push: [provider("fake", { targetFault })], logger });
  const phone = await device("sara");
  const answer = await phone.request({ type: "target", ref: 0, provider: "fake", token: "secret token", details: null });
  expect(answer).toMatchObject({ type: "error", code: "internal", retryable: true });
  expect(phone.closedWith).toBeUndefined();
  expect((await engine.sessions("sara"))[0]?.targets).toEqual([]);
  await clock.advance(1_000);
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(logged).toEqual(['a frame could not be acted on: targetFault of the push provider "fake" failed']);
  expect(JSON.stringify([logged, phone.frames])).not.toContain("secret");
  expect(faults).toEqual([]);
});

test.each<[string, () => unknown]>([
  ["throws", () => {
    throw new Error("no lane");
  }],
  ["rejects", () => Promise.reject(new Error("no lane"))],
  ["never settles", never],
])("a lane() that %s counts as one lane", async (_, lane) => {
  const faults = unhandledRejections();
  const { clock, device, engine } = await createStage({ push: [provider("fake", { lane })] });
  (await device("sara", { token: "phone" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(1_000);
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(engine.counters().pushesSent).toBe(1);
  expect(faults).toEqual([]);
});
