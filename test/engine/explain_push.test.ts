import { expect, onTestFinished, test } from "vitest";
import { deviceName, type ExplainedEvent, type Note, type PushResult } from "../../mod.ts";
import { createLives, PLACES } from "./lives.ts";
import { createStage, FakeProvider, type Stage } from "./stage.ts";

const SENT: PushResult = { verdict: "sent", info: "ok" };

/** Sara's phone, which has left, with a target of each of these providers. */
async function phoneWith(...names: string[]): Promise<Stage & { providers: FakeProvider[] }> {
  const providers = names.map((name) => Object.assign(new FakeProvider(), { name }));
  const stage = await createStage({ push: providers, policy: { coalesceMs: 0 } });
  onTestFinished(() => stage.engine.close());
  const phone = await stage.device("sara", { deviceId: "phone" });
  for (const provider of names) {
    await phone.request({ type: "target", ref: 0, provider, token: `${provider}'s token`, details: null });
  }
  phone.leave();
  await stage.clock.settle();
  return { ...stage, providers };
}

async function say(stage: Stage, id: string): Promise<void> {
  await stage.engine.publish({ to: "sara", content: "hi", id });
  await stage.clock.settle();
}

/** What is told of a message's pushes to the phone. */
async function pushesOf({ explain }: Pick<Stage, "explain">, id: string): Promise<ExplainedEvent[]> {
  const device = (await explain(id))?.devices.find(({ device }) => device === deviceName("phone"));
  return device?.events.filter(({ provider }) => provider !== undefined) ?? [];
}

async function targetOf({ engine }: Pick<Stage, "engine">, provider = "fake") {
  const [session] = await engine.sessions("sara");
  return session!.targets.find((target) => target.provider === provider)!;
}

test("a device with several targets tells of each what its provider answered, and of which target it was", async () => {
  const stage = await phoneWith("a", "b", "c", "d");
  const [a, b, c, d] = stage.providers as [FakeProvider, FakeProvider, FakeProvider, FakeProvider];
  a.verdict = () => SENT;
  b.verdict = (_, attempt) => attempt === 1 ? { verdict: "retry", reason: "HTTP 503", afterMs: 7_000 } : SENT;
  c.verdict = () => ({ verdict: "rejected", reason: "HTTP 413" });
  d.verdict = () => ({ verdict: "gone", reason: "HTTP 410" });
  await say(stage, "hi");
  const askedAt = stage.clock.now();
  const ids = new Map(
    await Promise.all(["a", "b", "c", "d"].map(async (name) => [name, (await targetOf(stage, name)).id] as const)),
  );
  await stage.clock.advance(10_000);
  const told = (await pushesOf(stage, "hi")).filter(({ kind }) => kind !== "push-queued");
  expect(told.map(({ kind, detail, provider, target }) => [provider, target, kind, detail]).sort()).toEqual([
    ["a", ids.get("a"), "push-sent", "ok"],
    ["b", ids.get("b"), "push-retry", "asked to wait: HTTP 503"],
    ["b", ids.get("b"), "push-sent", "ok"],
    ["b", ids.get("b"), "target-rested", "HTTP 503"],
    ["c", ids.get("c"), "push-rejected", "HTTP 413"],
    ["d", ids.get("d"), "push-gone", "HTTP 410"],
  ]);
  expect(told.find(({ kind }) => kind === "push-retry")?.until).toBe(askedAt + 7_000);
  expect(told.findLast(({ provider }) => provider === "b")?.at).toBe(askedAt + 7_000);
  expect(new Set(ids.values()).size).toBe(4);
  // The same as events.
  const notes = stage.notes.filter(({ provider, kind }) => provider !== undefined && kind !== "push-queued");
  expect(notes.map(({ kind, detail, provider, target }) => [provider, target, kind, detail]).sort()).toEqual(
    told.map(({ kind, detail, provider, target }) => [provider, target, kind, detail]).sort(),
  );
});

test("that a provider was asked is told for as long as there is no answer", async () => {
  const stage = await phoneWith("fake");
  const { promise, resolve } = Promise.withResolvers<PushResult>();
  stage.providers[0]!.verdict = () => promise;
  await say(stage, "hi");
  expect((await pushesOf(stage, "hi")).map(({ kind, provider }) => [kind, provider])).toEqual([
    ["push-queued", "fake"],
    ["push-asked", "fake"],
  ]);
  resolve(SENT);
  await stage.clock.settle();
  expect((await pushesOf(stage, "hi")).map(({ kind }) => kind)).toEqual(["push-queued", "push-sent"]);
});

test("what is answered again and again is told once, with how often, when the last time, and when it is asked again", async () => {
  const stage = await phoneWith("fake");
  const [provider] = stage.providers as [FakeProvider];
  const times: number[] = [];
  provider.verdict = (_, attempt) => {
    times.push(stage.clock.now());
    return attempt <= 100 ? { verdict: "retry", reason: attempt % 10 === 0 ? "HTTP 500" : "HTTP 503" } : SENT;
  };
  await say(stage, "hi");
  await stage.clock.advance(3_600_000);
  const [queued, unavailable, failed] = await pushesOf(stage, "hi");
  expect(queued?.times).toBeUndefined();
  const asked = times.length;
  expect(unavailable).toMatchObject({ detail: "HTTP 503", at: times[0], times: asked - Math.floor(asked / 10) });
  expect(failed).toMatchObject({ detail: "HTTP 500", at: times[9], times: Math.floor(asked / 10) });
  const last = [unavailable, failed].find(({ lastAt } = queued!) => lastAt === times.at(-1))!;
  await stage.clock.advance(last.until! - stage.clock.now());
  expect(times).toHaveLength(asked + 1);
  await stage.clock.advance(7_200_000);
  const told = await pushesOf(stage, "hi");
  expect(told.map(({ kind, times }) => [kind, times])).toEqual([
    ["push-queued", undefined],
    ["push-retry", 90],
    ["push-retry", 10],
    ["push-sent", undefined],
  ]);
  // Who listens hears each.
  const retries = stage.notes.filter(({ kind }) => kind === "push-retry");
  expect(retries).toHaveLength(100);
  expect(retries.every(({ until }) => Number.isInteger(until))).toBe(true);
});

test("two providers that say the same again and again are counted each by itself", async () => {
  const stage = await phoneWith("a", "b");
  const busy = (_: string, attempt: number): PushResult => attempt <= 3 ? { verdict: "retry", reason: "HTTP 503" } : SENT;
  for (const provider of stage.providers) provider.verdict = busy;
  await say(stage, "hi");
  await stage.clock.advance(600_000);
  const retried = (await pushesOf(stage, "hi")).filter(({ kind }) => kind === "push-retry");
  expect(retried.map(({ provider, times }) => [provider, times]).sort()).toEqual([["a", 3], ["b", 3]]);
});

test("however much happens, how it ended is told", async () => {
  const stage = await phoneWith("fake");
  stage.providers[0]!.verdict = (_, attempt) => attempt <= 70 ? { verdict: "retry", reason: `trouble ${attempt}` } : SENT;
  await say(stage, "hi");
  await stage.clock.advance(7_200_000);
  const { events } = (await stage.explain("hi"))!.devices[0]!;
  expect(events).toHaveLength(50);
  expect(events[2]?.detail).toBe("trouble 1");
  expect(events.at(-1)?.kind).toBe("push-sent");
});

test.each(PLACES)("a target that rests is shown with the reason, and so is what waits for it; on %s", async (place) => {
  const lives = await createLives({ policy: { coalesceMs: 0 } }, place);
  (await lives.sara("phone", { token: "t" })).leave();
  await lives.clock.settle();
  const held: Note[] = [];
  lives.engine.on("note", (note) => note.kind === "push-held" && held.push(note));
  lives.provider.verdict = () => ({ verdict: "retry", reason: "HTTP 403", scope: "unclear" });
  expect((await targetOf(lives)).resting).toBeUndefined();
  await lives.say("one");
  const until = lives.clock.now() + 60_000;
  expect(await targetOf(lives)).toMatchObject({ disabled: undefined, resting: { until, reason: "HTTP 403" } });
  await lives.say("two");
  await lives.clock.advance(1_000);
  expect(await pushesOf(lives, "one")).toMatchObject([
    { kind: "push-queued" },
    { kind: "push-retry", detail: "HTTP 403", until },
    { kind: "target-rested", detail: "HTTP 403", until },
  ]);
  expect(await pushesOf(lives, "two")).toMatchObject([
    { kind: "push-queued" },
    { kind: "push-held", detail: "its target rests: HTTP 403", until },
  ]);
  expect(held).toMatchObject([{ id: "two", detail: "its target rests: HTTP 403", until, provider: "fake" }]);
  expect(lives.engine.counters()).toMatchObject({ targetsRested: 1 });
  await lives.restart();
  // What only the node knew is forgotten; what the outbox keeps is told.
  expect((await targetOf(lives)).resting).toBeUndefined();
  expect(await pushesOf(lives, "two")).toMatchObject([{ kind: "push-held", detail: "its target rests: HTTP 403", until }]);
  lives.provider.verdict = () => SENT;
  await lives.clock.advance(120_000);
  expect((await pushesOf(lives, "two")).at(-1)?.kind).toBe("push-sent");
});

test("a target rests no longer than it is said, also after a push that was refused for good", async () => {
  const stage = await phoneWith("fake");
  stage.providers[0]!.verdict = () => ({ verdict: "rejected", reason: "BadDeviceToken", scope: "unclear" });
  await say(stage, "hi");
  const [, rested, refused] = await pushesOf(stage, "hi");
  expect([rested?.kind, refused?.kind]).toEqual(["target-rested", "push-rejected"]);
  expect((await targetOf(stage)).resting).toEqual({ until: rested?.until, reason: "BadDeviceToken" });
  await stage.clock.advance(rested!.until! - stage.clock.now() - 1);
  expect((await targetOf(stage)).resting).toBeDefined();
  await stage.clock.advance(1);
  expect((await targetOf(stage)).resting).toBeUndefined();
});

test("a pause without an end is told as one that a date can say", async () => {
  const stage = await phoneWith("fake");
  stage.providers[0]!.verdict = () => ({ verdict: "retry", reason: "never", afterMs: Infinity });
  await say(stage, "hi");
  const { until } = (await targetOf(stage)).resting!;
  expect(new Date(until).getTime()).toBe(until);
});

test("a token that was replaced is told with the hash that it has from now on", async () => {
  const stage = await phoneWith("fake");
  const before = (await targetOf(stage)).id;
  stage.providers[0]!.verdict = (_, attempt) => attempt === 1 ? { verdict: "replaced", token: "new" } : SENT;
  await say(stage, "one");
  await say(stage, "two");
  const { id } = await targetOf(stage);
  expect(id).not.toBe(before);
  expect((await pushesOf(stage, "one")).slice(1)).toMatchObject([
    { kind: "target-replaced", detail: `it is ${id} from now on`, target: before },
    { kind: "push-sent", target: before },
  ]);
  expect((await pushesOf(stage, "two")).at(-1)).toMatchObject({ kind: "push-sent", target: id });
  expect(stage.engine.counters()).toMatchObject({ targetsReplaced: 1, targetsGone: 0 });
});

test("a token that was replaced by somebody else's is told as dead", async () => {
  const stage = await phoneWith("fake");
  await stage.device("reza", { token: "reza's" });
  stage.providers[0]!.verdict = () => ({ verdict: "replaced", token: "reza's" });
  await say(stage, "hi");
  const why = "its token was replaced by one that is registered elsewhere";
  expect((await pushesOf(stage, "hi")).slice(1)).toMatchObject([
    { kind: "target-replaced", detail: `it is dead: ${why}` },
    { kind: "push-sent" },
  ]);
  expect(await targetOf(stage)).toMatchObject({ disabled: { reason: why }, resting: undefined });
  expect(stage.engine.counters()).toMatchObject({ targetsReplaced: 0, targetsGone: 1 });
});

test("that a dead token was replaced meanwhile is told, and that the new one is asked", async () => {
  const stage = await phoneWith("fake");
  const before = (await targetOf(stage)).id;
  const { promise, resolve } = Promise.withResolvers<PushResult>();
  stage.providers[0]!.verdict = (_, attempt) => attempt === 1 ? promise : SENT;
  await say(stage, "hi");
  const phone = await stage.device("sara", { deviceId: "phone", visible: false, token: "new" });
  phone.leave();
  await stage.clock.settle();
  resolve({ verdict: "gone", reason: "HTTP 410" });
  await stage.clock.advance(10_000);
  const { id } = await targetOf(stage);
  expect((await pushesOf(stage, "hi")).slice(-2)).toMatchObject([
    { kind: "push-retry", target: before },
    { kind: "push-sent", target: id },
  ]);
  expect(id).not.toBe(before);
});

test("a dead target is shown as dead, not as one that rests", async () => {
  const stage = await phoneWith("fake");
  const { promise, resolve } = Promise.withResolvers<PushResult>();
  stage.providers[0]!.verdict = (_, attempt) =>
    attempt === 1 ? promise : { verdict: "retry", reason: "HTTP 429", afterMs: 600_000 };
  await say(stage, "one");
  await stage.engine.subscribe("sara", { to: "*", channel: "news" });
  await stage.engine.publish({ to: "*", channel: "news", content: "hi" });
  await stage.clock.settle();
  expect((await targetOf(stage)).resting).toMatchObject({ reason: "HTTP 429" });
  resolve({ verdict: "gone", reason: "HTTP 410" });
  await stage.clock.settle();
  expect(await targetOf(stage)).toMatchObject({ disabled: { reason: "HTTP 410" }, resting: undefined });
});

test("of what a service says a bounded part is kept", async () => {
  const stage = await phoneWith("fake");
  stage.providers[0]!.verdict = () => ({ verdict: "rejected", reason: "x".repeat(100_000) });
  await say(stage, "hi");
  expect((await pushesOf(stage, "hi")).at(-1)?.detail).toBe("x".repeat(500));
});
