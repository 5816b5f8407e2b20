import { describe, expect, test } from "vitest";
import type { PushResult } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";

const SENT: PushResult = { verdict: "sent" };

/** Sara's phone, away. */
async function away(token = "token"): Promise<Lives> {
  const lives = await createLives({ policy: { coalesceMs: 0 } });
  await leave(lives, token);
  return lives;
}

/** Her app registers that token, and leaves. */
async function leave(lives: Lives, token: string): Promise<void> {
  (await lives.sara("phone", { token, visible: false })).leave();
  await lives.clock.settle();
}

async function disabled(lives: Lives): Promise<boolean> {
  return (await lives.engine.sessions("sara"))[0]?.targets[0]?.disabled !== undefined;
}

describe("a target that its service calls dead", () => {
  test("since before it was registered is tried once more, and lives when that is taken", async () => {
    const lives = await away();
    const since = lives.clock.now() - 1;
    lives.provider.verdict = (_, attempt) => attempt === 1 ? { verdict: "gone", reason: "410", since } : SENT;
    await lives.say("one");
    expect(await disabled(lives)).toBe(false);
    await lives.clock.advance(1_000);
    await lives.say("two");
    expect(lives.pushed()).toEqual(["token one", "token one", "token two"]);
    expect(lives.engine.counters()).toMatchObject({ pushesSent: 2, targetsGone: 0 });
  });

  test("twice since the same time is dead", async () => {
    const lives = await away();
    const since = lives.clock.now() - 1;
    lives.provider.verdict = () => ({ verdict: "gone", reason: "410", since });
    await lives.say("one");
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["token one", "token one"]);
    expect(await disabled(lives)).toBe(true);
    expect((await lives.told("one")).at(-1)).toBe("push-gone 410");
  });

  test("since another time, or before it was registered once more, is tried again", async () => {
    const lives = await away();
    await lives.clock.advance(1_000);
    const registeredAt = lives.clock.now() - 1_000;
    lives.provider.verdict = (_, attempt) => ({
      verdict: "gone",
      reason: "410",
      since: registeredAt - (attempt < 3 ? attempt : 2),
    });
    await lives.say("one");
    await lives.clock.advance(1_500);
    expect(lives.pushed()).toHaveLength(2);
    await leave(lives, "token");
    await lives.clock.advance(1_000);
    expect(lives.pushed()).toHaveLength(3);
    expect(await disabled(lives)).toBe(false);
    await lives.clock.advance(1_500);
    expect(lives.pushed()).toHaveLength(4);
    expect(await disabled(lives)).toBe(true);
  });

  test.each([undefined, NaN, Infinity, -Infinity, "0", null, {}, 8.64e15])("since %s is dead now", async (since) => {
    const lives = await away();
    lives.provider.verdict = () => ({ verdict: "gone", reason: "410", since }) as PushResult;
    await lives.say("one");
    expect(await disabled(lives)).toBe(true);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["token one"]);
  });

  test("while its client registers it again lives", async () => {
    const lives = await away();
    const { promise, resolve } = Promise.withResolvers<PushResult>();
    const since = lives.clock.now();
    lives.provider.verdict = (_, attempt) => attempt === 1 ? promise : SENT;
    await lives.say("one");
    await lives.clock.advance(1_000);
    await leave(lives, "token");
    resolve({ verdict: "gone", reason: "410", since });
    await lives.clock.advance(2_000);
    expect(await disabled(lives)).toBe(false);
    expect(lives.pushed()).toEqual(["token one", "token one"]);
  });
});

describe("a target that rests for it may be at fault itself", () => {
  const UNCLEAR: PushResult = { verdict: "retry", reason: "403", scope: "unclear" };

  /** It was refused three times and rests for four minutes, with two pushes that wait. */
  async function refused(): Promise<Lives> {
    const lives = await away("foreign");
    lives.provider.verdict = (token) => token === "foreign" ? UNCLEAR : SENT;
    await lives.say("one");
    await lives.say("two");
    await lives.clock.advance(181_000);
    expect(lives.pushed().filter((push) => push === "foreign one")).toHaveLength(3);
    lives.provider.sent.length = 0;
    return lives;
  }

  test("is tried at once when its client registers another token, for all that waits", async () => {
    const lives = await refused();
    await leave(lives, "own");
    await lives.clock.advance(1_000);
    expect(lives.provider.tokens[0]).toBe("own");
    expect(lives.provider.sent.reduce((sum, { notification: { waiting } }) => sum + waiting, 0)).toBe(2);
    await lives.say("three");
    expect(lives.pushed().at(-1)).toBe("own three");
  });

  test("rests for a minute again, not longer, when the new token is refused too", async () => {
    const lives = await refused();
    lives.provider.verdict = () => UNCLEAR;
    await leave(lives, "another");
    await lives.clock.advance(59_000);
    const asked = lives.provider.sent.length;
    await lives.clock.advance(2_000);
    expect(lives.provider.sent.length).toBeGreaterThan(asked);
  });

  test("is tried again when the same token is registered again, a minute after it was refused", async () => {
    const lives = await refused();
    await leave(lives, "foreign");
    await lives.clock.advance(1_000);
    expect(lives.provider.sent).toEqual([]);
    await lives.clock.advance(60_000);
    await leave(lives, "foreign");
    await lives.clock.advance(1_000);
    expect(lives.provider.sent).toHaveLength(1);
    // It was the fourth time: eight minutes.
    await lives.clock.advance(400_000);
    expect(lives.provider.sent).toHaveLength(1);
    await lives.clock.advance(100_000);
    expect(lives.provider.sent.length).toBeGreaterThan(1);
  });

  test("that its service asked a pause for keeps it when the same token is registered again", async () => {
    const lives = await away();
    lives.provider.verdict = () => ({ verdict: "retry", reason: "429", afterMs: 600_000 });
    await lives.say("one");
    await lives.clock.advance(120_000);
    await leave(lives, "token");
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["token one"]);
  });
});
