import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { createEngine, memory, type OpenStorage, PeykError, type Storage } from "../../mod.ts";
import { createStage, FakeProvider, seededRandom, surviving } from "./stage.ts";

test("a message accepted before a restart reaches the device after it", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  const before = await first.device("sara", { habit: "sees" });
  await first.engine.publish({ to: "sara", content: "kept" });
  await clock.settle();
  await first.engine.close();
  expect(before.closedWith).toBe(4000);
  const second = await createStage({ storage, clock });
  const after = await second.device("sara");
  await clock.settle();
  expect(after.contents).toEqual(["kept"]);
});

test("sessions of the last life come back as recent: nobody who returns within the grace is pushed", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  await first.device("returns", { token: "r" });
  await first.device("stays away", { token: "s" });
  await first.engine.close();
  const second = await createStage({ storage, clock });
  expect((await second.engine.sessions("returns"))[0]?.state).toBe("disconnected.recent");
  for (const to of ["returns", "stays away"]) await second.engine.publish({ to, content: "hi" });
  await second.device("returns");
  await clock.advance(14_000);
  expect(second.provider.sent).toEqual([]);
  await clock.advance(1_000);
  expect(second.provider.tokens).toEqual(["s"]);
});

test("what was published while nobody ran the sweep is decided after the restart", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  (await first.device("sara", { token: "t" })).leave();
  await clock.settle();
  await first.engine.close();
  // A crash between append and sweep: the entry is in the log, nobody was told.
  const opened = await storage.open({ clock, random: seededRandom(1), logger: console });
  const { encodeEnvelope, encodePayload } = await import("../../src/protocol/codec.ts");
  const expiresAt = clock.now() + 60_000;
  const bytes = encodeEnvelope({
    id: "x",
    from: undefined,
    sentAt: clock.now(),
    expiresAt,
    options: undefined,
    payload: encodePayload("hi", 1),
  });
  await opened.transport.publish("sara/default", bytes, { key: "x", expiresAt });
  const second = await createStage({ storage, clock });
  await clock.settle();
  expect(second.provider.sent.map(({ notification }) => notification.id)).toEqual(["x"]);
});

test("a push that was held or under retry leaves after the restart, once", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  first.provider.verdict = () => ({ verdict: "retry", afterMs: 30_000, reason: "busy" });
  (await first.device("sara", { token: "t" })).leave();
  await clock.settle();
  const result = await first.engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(first.provider.sent).toHaveLength(1);
  await first.engine.close();
  await clock.advance(20_000);
  const second = await createStage({ storage, clock });
  await clock.advance(10_000);
  expect(second.provider.sent.map(({ notification }) => notification.id)).toEqual([result.id]);
  expect(second.provider.sent[0]?.notification.collapseId).toBe(first.provider.sent[0]?.notification.collapseId);
  expect((await second.engine.explain(result))?.devices[0]?.events.map(({ kind }) => kind)).toContain("push-sent");
});

test("after close no timer is left, and what is asked then is refused", async () => {
  const clock = createManualClock();
  const { engine, device } = await createStage({ clock });
  const phone = await device("sara", { token: "t", habit: "mute" });
  (await device("reza", { token: "u" })).drop();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  await engine.close();
  expect(clock.timers).toBe(0);
  expect(phone.closedWith).toBe(4000);
  await expect(engine.publish({ to: "sara", content: "late" })).rejects.toMatchObject({ code: "closed" });
});

test("idle means idle: when everybody has left, no session, feed or connection is held", async () => {
  const clock = createManualClock();
  const { engine, device } = await createStage({ clock });
  const idle = clock.timers;
  const devices = [];
  for (let i = 0; i < 20; i++) devices.push(await device(`user ${i}`, { token: `t${i}` }));
  await engine.publish({ to: "user 3", content: "hi" });
  await clock.settle();
  for (const [index, device] of devices.entries()) index % 2 ? device.drop() : device.leave();
  await clock.advance(20_000);
  expect(engine.counters()).toMatchObject({ sessions: 0, connections: 0 });
  expect(clock.timers).toBe(idle);
});

test("users unseen for 60 days beyond the longest ttl are forgotten and counted", async () => {
  const days = { passed: 0 };
  const clock = createManualClock();
  const passing = { ...clock, elapsed: () => clock.elapsed() + days.passed * 24 * 3600_000 };
  const { engine, device } = await createStage({ clock: passing });
  (await device("gone")).leave();
  await device("always there", { habit: "acks" });
  await clock.settle();
  days.passed = 89;
  await clock.advance(3601_000);
  expect(engine.counters().usersEvicted).toBe(0);
  (await device("sara")).leave();
  days.passed = 91;
  await clock.advance(3601_000);
  expect(engine.counters().usersEvicted).toBe(1);
  expect(await engine.sessions("gone")).toEqual([]);
  expect(await engine.sessions("sara")).toHaveLength(1);
  expect(await engine.sessions("always there")).toHaveLength(1);
});

test("a wall clock that jumps by two days pushes nothing early and forgets no deadline", async () => {
  const jump = { ms: 0 };
  const clock = createManualClock();
  const { engine, device, provider } = await createStage({ clock: { ...clock, now: () => clock.now() + jump.ms } });
  await device("sara", { token: "t", habit: "mute" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(1_000);
  jump.ms = 2 * 24 * 3600_000;
  await clock.advance(1_999);
  expect(provider.sent).toEqual([]);
  await clock.advance(1);
  expect(provider.sent).toHaveLength(1);
});

test("a retry waits as long as the provider says, or backs off by itself with jitter, up to a minute", async () => {
  const { engine, clock, device, provider, story } = await createStage();
  provider.verdict = (_, attempt) =>
    attempt === 1
      ? { verdict: "retry", afterMs: 7_000, reason: "busy" }
      : attempt < 5
      ? { verdict: "retry", reason: "down" }
      : { verdict: "sent" };
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  const { id } = await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(6_999);
  expect(provider.sent).toHaveLength(1);
  await clock.advance(1);
  expect(provider.sent).toHaveLength(2);
  await clock.advance(20_000);
  expect(provider.sent).toHaveLength(5);
  // Each thing that it waited for is told once, with how often.
  expect(await story(id)).toEqual(["routed", "push-queued", "push-retry", "target-rested", "push-retry", "push-sent"]);
  expect(engine.counters()).toMatchObject({ pushesQueued: 1, pushesSent: 1, pushesRetried: 4 });
});

test("a provider that throws or never answers is asked again, and says nothing of its tokens", async () => {
  const logged: unknown[] = [];
  const log = (...args: unknown[]): void => void logged.push(args);
  const { engine, clock, device, provider, notes } = await createStage({ logger: { info: log, warn: log, error: log } });
  provider.verdict = (token, attempt) => {
    if (attempt === 1) throw new Error(`could not reach ${token}`);
    if (attempt === 2) return new Promise(() => {});
    return { verdict: "sent" };
  };
  (await device("sara", { token: "secret-token" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(120_000);
  expect(provider.sent).toHaveLength(3);
  expect(notes.at(-1)?.kind).toBe("push-sent");
  expect(JSON.stringify([logged, notes])).not.toContain("secret-token");
});

test("a push that nobody takes before the message expires is recorded as expired", async () => {
  const { engine, clock, device, provider, story } = await createStage();
  provider.verdict = () => ({ verdict: "retry", reason: "down" });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  const { id } = await engine.publish({ to: "sara", content: "hi", ttl: 60 });
  await clock.advance(120_000);
  const asked = provider.sent.length;
  expect((await story(id)).at(-1)).toBe("expired");
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(asked);
});

test("two engines run side by side in one process without knowing of each other", async () => {
  const a = await createStage();
  const b = await createStage();
  const inA = await a.device("sara");
  const inB = await b.device("sara");
  await a.engine.publish({ to: "sara", content: "in a" });
  await a.clock.settle();
  await b.clock.settle();
  expect([inA.contents, inB.contents]).toEqual([["in a"], []]);
  await expect(createEngine({})).rejects.toMatchObject({ code: "bad-config" });
  const push = [new FakeProvider(), new FakeProvider()];
  await expect(createEngine({ insecure: true, push })).rejects.toMatchObject({ code: "bad-config" });
});

test("what became of a push is written down until that succeeds: the provider is not asked twice", async () => {
  let failing = false;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const settle: typeof opened.outbox.settle = (...given) =>
        failing ? Promise.reject(new PeykError("unavailable", "not now", { retryable: true })) : opened.outbox.settle(...given);
      return { ...opened, outbox: { ...bound(opened.outbox), settle } };
    },
  };
  const { engine, clock, device, provider, story } = await createStage({ storage });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  failing = true;
  const { id } = await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(provider.sent).toHaveLength(1);
  await clock.advance(10_000);
  failing = false;
  await clock.advance(1_000);
  expect(provider.sent).toHaveLength(1);
  expect((await story(id)).at(-1)).toBe("push-sent");
});

test("a push that could not be taken from the outbox holds up no other, and leaves later", async () => {
  const refused = new Set<string>();
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const take = async (ids: readonly string[]): Promise<string[]> => {
        const { rows } = await opened.outbox.due(Infinity, 10);
        const low = rows.find((row) => row.urgency === "low" && ids.includes(row.id));
        if (low !== undefined && !refused.has(low.id)) {
          refused.add(low.id);
          throw new PeykError("unavailable", "no answer", { retryable: true });
        }
        return await opened.outbox.take(ids);
      };
      const settle: typeof opened.outbox.settle = (...given) => opened.outbox.settle(...given);
      return { ...opened, outbox: { ...bound(opened.outbox), settle, take } };
    },
  };
  const { engine, clock, device, provider } = await createStage({ storage });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "merged", urgency: "low", id: "merged" });
  await clock.advance(59_999);
  await engine.publish({ to: "sara", content: "now", id: "now" });
  await clock.advance(1);
  expect(refused.size).toBe(1);
  await clock.advance(1_000);
  expect(provider.sent.map(({ notification }) => notification.id)).toEqual(["now", "merged"]);
});

/** The methods of an outbox without `settle`, which the test replaces. */
function bound(outbox: OpenStorage["outbox"]): Omit<OpenStorage["outbox"], "settle"> {
  return {
    due: (...given) => outbox.due(...given),
    take: (...given) => outbox.take(...given),
    retry: (...given) => outbox.retry(...given),
    cancel: (...given) => outbox.cancel(...given),
    underWay: (...given) => outbox.underWay(...given),
    ofMessage: (...given) => outbox.ofMessage(...given),
    waiting: (...given) => outbox.waiting(...given),
    waitingIn: (...given) => outbox.waitingIn(...given),
    postpone: (...given) => outbox.postpone(...given),
    decision: (...given) => outbox.decision(...given),
    decide: (...given) => outbox.decide(...given),
    undecided: (...given) => outbox.undecided(...given),
  };
}
