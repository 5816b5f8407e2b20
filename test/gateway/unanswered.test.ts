import { expect, test } from "vitest";
import type { Authenticate, Authorize, EngineOptions } from "../../mod.ts";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { type Bench, createBench, type Wire } from "./wire.ts";

const never = <Value>(): Promise<Value> => new Promise<Value>(() => {});
const subscribe = (ref: number, topic: string) => ({ type: "subscribe", ref, topic, since: null, anew: false }) as const;

/** Advances less than a heartbeat, and has the client say something, so that it is not taken for dead. */
async function pass({ clock }: Bench, ms: number, ...wires: Wire[]): Promise<void> {
  await clock.advance(ms);
  for (const wire of wires) wire.ack();
}

test("an authorize that never settles is given up after 10 s, and told to the logger once", async () => {
  const bench = await createBench({ authorize: () => never() });
  const sara = await bench.open("sara");
  const timers = bench.clock.timers;
  sara.publish("sara/default", "hi", { ref: 1 });
  sara.send(subscribe(2, "*/news"));
  await pass(bench, 9_999);
  expect([sara.answer(1), sara.answer(2)]).toEqual([undefined, undefined]);
  await pass(bench, 1);
  for (const ref of [1, 2]) {
    expect(sara.answer(ref)).toMatchObject({ type: "error", code: "unavailable", retryable: true });
  }
  expect(sara.closedWith).toBeUndefined();
  expect(bench.engine.counters().accepted).toBe(0);
  expect(bench.errors).toEqual(["authorize() did not answer within 10 s"]);
  await pass(bench, 1_000);
  expect(bench.clock.timers).toBeLessThanOrEqual(timers);
  await bench.engine.close();
});

test("what comes behind a publish whose authorize never settles is held up until that is given up, and no longer", async () => {
  const authorize: Authorize = ({ message }) => message?.content === "stuck" ? never() : true;
  const bench = await createBench({ authorize });
  const sara = await bench.open("sara");
  const omid = await bench.open("omid");
  sara.publish("omid/default", "stuck", { ref: 1 });
  sara.publish("omid/default", "next", { ref: 2 });
  omid.publish("omid/default", "another device's", { ref: 1 });
  await pass(bench, 9_999);
  expect(omid.contents).toEqual(["another device's"]);
  await pass(bench, 1);
  expect(omid.contents).toEqual(["another device's", "next"]);
  expect([sara.answer(1), sara.answer(2)]).toMatchObject([{ code: "unavailable" }, { type: "ok" }]);
});

test("neither a late yes nor a late failure of authorize has an effect", async () => {
  for (const end of ["resolve", "reject"] as const) {
    const late = Promise.withResolvers<boolean>();
    const bench = await createBench({ authorize: () => late.promise });
    const sara = await bench.open("sara");
    sara.publish("sara/default", "hi", { ref: 1 });
    sara.send(subscribe(2, "*/news"));
    await pass(bench, 10_000, sara);
    if (end === "resolve") late.resolve(true);
    else late.reject(new Error("late"));
    await pass(bench, 1_000, sara);
    await bench.engine.publish({ to: "*", channel: "news", content: "news" });
    await bench.clock.settle();
    expect(sara.contents).toEqual([]);
    expect(sara.of("ok")).toEqual([]);
    expect(sara.of("error")).toHaveLength(2);
    expect(new Set(bench.errors)).toEqual(new Set(["authorize() did not answer within 10 s"]));
  }
});

test.each<[string, Authorize, number]>([
  ["at once needs none", () => true, 0],
  ["later leaves none behind", async () => await Promise.resolve(true), 2],
  ["with another kind of promise leaves none behind", () =>
    ({
      then: (resolve: (verdict: boolean) => void) => resolve(true),
    }) as unknown as Promise<boolean>, 2],
])("timers: an authorize that answers %s", async (_, authorize, most) => {
  const clock = createManualClock();
  let waits = 0;
  const counting = {
    ...clock,
    setTimeout(task: () => void, ms: number) {
      if (ms === 10_000) waits++;
      return clock.setTimeout(task, ms);
    },
  };
  const bench = await createBench({ authorize, clock: counting });
  // A connection waits 10 s for its hello.
  const sara = bench.wire();
  sara.hello("sara");
  await clock.settle();
  const [before, timers] = [waits, clock.timers];
  sara.publish("sara/default", "hi", { ref: 1 });
  sara.send(subscribe(2, "*/news"));
  await clock.settle();
  expect(sara.of("ok").map(({ ref }) => ref).sort()).toEqual([1, 2]);
  expect(waits - before).toBe(most);
  sara.ack();
  await clock.advance(1_000);
  expect(clock.timers).toBeLessThanOrEqual(timers + 1);
  await bench.engine.close();
  expect(clock.timers).toBe(0);
});

const authenticate: Authenticate = ({ token }) => token === "stuck" ? never() : { userId: "sara" };

test("an authenticate that never settles lets nobody in, and is told to the logger", async () => {
  const bench = await createBench({ authenticate });
  const sara = await bench.open("stuck");
  await bench.clock.advance(10_000);
  expect(sara.end).toBe("timeout 4003");
  expect(sara.of("error")[0]?.hint).toBe("the token was not checked in time");
  expect(bench.errors).toEqual(["authenticate() did not answer within 10 s"]);
  expect(await bench.engine.sessions("sara")).toEqual([]);
});

test("a connection that says no hello hears that, and nothing is logged", async () => {
  const bench = await createBench({ authenticate });
  const silent = bench.wire();
  await bench.clock.advance(10_000);
  expect(silent.of("error")[0]?.hint).toBe("no hello in time");
  expect(bench.errors).toEqual([]);
});

test("a token whose check never settles is refused after 10 s, and the old one counts until its end", async () => {
  const late = Promise.withResolvers<{ userId: string }>();
  const options: EngineOptions = {
    authenticate: ({ token }) => token === "stuck" ? late.promise : { userId: "sara", expiresAt: Date.UTC(2026, 0, 1) + 60_000 },
  };
  const bench = await createBench(options);
  const sara = await bench.open("sara");
  sara.send({ type: "token", ref: 7, token: "stuck" });
  await pass(bench, 9_999, sara);
  expect(sara.answer(7)).toBeUndefined();
  await pass(bench, 1, sara);
  expect(sara.answer(7)).toMatchObject({ type: "error", code: "unavailable", retryable: true });
  expect(bench.errors).toEqual(["authenticate() did not answer within 10 s"]);
  // It would have counted for ever, or ended the connection.
  late.resolve({ userId: "sara" });
  await pass(bench, 10_000, sara);
  await pass(bench, 20_000, sara);
  await pass(bench, 20_000, sara);
  expect(sara.end).toBe("expired 4001");
});
