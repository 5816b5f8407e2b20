import { describe, expect, test } from "vitest";
import type { PushProvider, PushResult } from "../../mod.ts";
import { createLives, type Lives, type Place, PLACES } from "./lives.ts";
import { createStage } from "./stage.ts";

/** A phone that has left, and a message for it. */
async function asked(verdict: Lives["provider"]["verdict"], place?: Place): Promise<Lives> {
  const lives = await createLives({}, place);
  lives.provider.verdict = verdict;
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  await lives.say("hi");
  return lives;
}

const NONSENSE: readonly unknown[] = [
  undefined,
  null,
  {},
  [],
  "sent",
  "",
  0,
  true,
  { verdict: "ok" },
  { verdict: undefined },
  { verdict: "SENT" },
  { verdict: ["sent"] },
  { verdict: "toString" },
];

describe("a provider", () => {
  test.each(NONSENSE.map((answer) => [JSON.stringify(answer) ?? "undefined", answer]))(
    "that answers %s is asked again with growing pauses, until it answers a verdict",
    async (_, answer) => {
      const lives = await asked((_, attempt) => (attempt < 4 ? answer : { verdict: "sent" }) as PushResult);
      expect(lives.pushed()).toHaveLength(1);
      await lives.clock.advance(499);
      expect(lives.pushed()).toHaveLength(1);
      await lives.clock.advance(60_000);
      expect(lives.pushed()).toHaveLength(4);
      expect((await lives.told("hi")).slice(-1)[0]).toContain("push-sent");
    },
  );

  test.each([0, -1, -1e9, NaN, 0.001, -Infinity, "soon", null, {}].map((ms) => [String(ms), ms]))(
    "that asks to be asked again after %s ms is asked at most once a second",
    async (_, afterMs) => {
      const answer = { verdict: "retry", afterMs, reason: "again" } as unknown as PushResult;
      // One that is asked in a loop would never let go.
      const lives = await asked((_, attempt) => attempt > 20 ? { verdict: "sent" } : answer);
      await lives.clock.advance(10_000);
      expect(lives.provider.sent.length).toBeGreaterThan(1);
      // Of what it did not say in numbers nothing was said: the pauses grow.
      expect(lives.provider.sent.length).toBeLessThanOrEqual(11);
    },
  );

  test.each([Infinity, 2 ** 60, Number.MAX_VALUE, 1e10 + 0.5].flatMap((ms) => PLACES.map((place) => [ms, place] as const)))(
    "that asks to be asked again after %s ms is not asked at once, on %s",
    async (afterMs, place) => {
      const lives = await asked(() => ({ verdict: "retry", afterMs, reason: "never" }), place);
      await lives.clock.advance(600_000);
      expect(lives.pushed()).toEqual(["phone hi"]);
      expect(lives.provider.sent).toHaveLength(1);
      // It is in the outbox, and no more often looked at than others.
      expect(await lives.told("hi")).toEqual([
        "routed disconnected.away/alert",
        "push-queued disconnected.away/alert",
        "push-retry asked to wait: never",
        "target-rested never",
      ]);
      await lives.restart();
      await lives.clock.advance(600_000);
      expect(lives.provider.sent).toHaveLength(1);
    },
  );

  test("that never wants to be asked again: the push expires with its message", async () => {
    const lives = await createLives();
    lives.provider.verdict = () => ({ verdict: "retry", afterMs: Infinity, reason: "never" });
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.clock.settle();
    await lives.say("hi", { ttl: 60 });
    await lives.clock.advance(61_000);
    expect((await lives.told("hi")).at(-1)).toBe("expired expired before it left");
  });

  test.each(PLACES)("whose verdict has no words, or strange ones, is written down all the same, on %s", async (place) => {
    const strange = { info: 7, reason: {} };
    for (const verdict of ["sent", "rejected", "retry", "gone"]) {
      const answer = { verdict, ...verdict.length > 4 ? strange : {} };
      const lives = await asked((_, attempt) => (attempt === 1 ? answer : { verdict: "sent" }) as PushResult, place);
      await lives.clock.advance(60_000);
      expect(lives.provider.sent).toHaveLength(verdict === "retry" ? 2 : 1);
      await lives.restart();
      await lives.clock.advance(60_000);
      expect(lives.provider.sent).toHaveLength(verdict === "retry" ? 2 : 1);
    }
  });

  test("that throws at once, or rejects with nothing, is asked again", async () => {
    for (
      const throwing of [() => {
        throw new Error("no");
      }, () => Promise.reject(undefined)]
    ) {
      const lives = await asked((_, attempt) => attempt === 1 ? throwing() : { verdict: "sent" });
      await lives.clock.advance(60_000);
      expect(lives.pushed()).toEqual(["phone hi", "phone hi"]);
    }
  });

  test("that is no async function is understood", async () => {
    const answers: unknown[] = [{ verdict: "retry", reason: "later" }, { verdict: "sent" }];
    const plain = { name: "fake", send: () => answers.shift() } as unknown as PushProvider;
    const { clock, engine, device } = await createStage({ push: [plain] });
    (await device("sara", { token: "t" })).leave();
    await clock.settle();
    await engine.publish({ to: "sara", content: "hi" });
    await clock.advance(60_000);
    expect(answers).toEqual([]);
    expect(engine.counters().pushesSent).toBe(1);
    await engine.close();
  });
});

test("a device whose push hangs, throws or makes no sense holds up nobody else's", async () => {
  const lives = await createLives({ policy: { coalesceMs: 0 } });
  const verdicts: Record<string, () => PushResult | Promise<PushResult>> = {
    hangs: () => new Promise(() => {}),
    throws: () => Promise.reject(new Error("no")),
    nonsense: () => undefined as unknown as PushResult,
    loops: () => ({ verdict: "retry", afterMs: 0, reason: "again" }),
    well: () => ({ verdict: "sent" }),
  };
  lives.provider.verdict = (token) => verdicts[token]!();
  for (const name of Object.keys(verdicts)) (await lives.device(name, { token: name })).leave();
  await lives.clock.settle();
  for (let round = 0; round < 10; round++) {
    for (const name of Object.keys(verdicts)) await lives.say(`${name} ${round}`, { to: name });
    await lives.clock.advance(1_000);
  }
  const well = lives.pushed().filter((push) => push.startsWith("well"));
  expect(well).toEqual(Array.from({ length: 10 }, (_, round) => `well well ${round}`));
});
