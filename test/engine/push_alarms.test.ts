import { describe, expect, test } from "vitest";
import type { EngineOptions, PushResult, PushServiceEvent } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";

const SENT: PushResult = { verdict: "sent" };
const UNCLEAR: PushResult = { verdict: "retry", reason: "SENDER_ID_MISMATCH", scope: "unclear" };
const DOWN: PushResult = { verdict: "retry", reason: "HTTP 503", scope: "service" };
const MINUTE = 60_000;

interface Alarmed extends Lives {
  readonly events: PushServiceEvent[];
  readonly logged: string[];
}

/** Users with a phone that has left, their names as tokens. */
async function phones(users: readonly string[], options: EngineOptions = {}): Promise<Alarmed> {
  const logged: string[] = [];
  const log = (message: string): void => void logged.push(message);
  const lives = await createLives({ policy: { coalesceMs: 0 }, logger: { info: log, warn: log, error: log }, ...options });
  const events: PushServiceEvent[] = [];
  lives.engine.on("push-service", (event) => events.push(event));
  for (const user of users) (await lives.device(user, { token: user })).leave();
  await lives.clock.settle();
  return Object.assign(lives, { events, logged });
}

const named = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name} ${at}`);

async function sayTo(lives: Lives, users: readonly string[]): Promise<void> {
  for (const to of users) await lives.engine.publish({ to, content: "hi" });
  await lives.clock.settle();
}

/** One after the other; what can't leave soon expires, so that nothing is asked for later. */
async function sayInTurn(lives: Lives, users: readonly string[]): Promise<void> {
  for (const to of users) {
    await lives.engine.publish({ to, content: "hi", ttl: 30 });
    await lives.clock.settle();
  }
}

describe("a push service that takes nothing", () => {
  test("is told once as an event and in a line of the log, and so is its end", async () => {
    const users = named("user", 30);
    const lives = await phones(users);
    let isDown = true;
    lives.provider.verdict = () => isDown ? DOWN : SENT;
    const since = lives.clock.now();
    await sayTo(lives, users);
    await lives.clock.advance(10 * MINUTE);
    expect(lives.events).toEqual([
      { provider: "fake", lane: "", kind: "resting", reason: "HTTP 503", since, users: undefined, at: expect.any(Number) },
    ]);
    expect(lives.events[0]!.at).toBeGreaterThan(since);
    isDown = false;
    await lives.clock.advance(2 * MINUTE);
    expect(lives.events.slice(1)).toMatchObject([{ kind: "well", reason: "HTTP 503", since }]);
    expect(lives.logged).toHaveLength(2);
  });

  test("is listed with the reason and when it is tried again, a hiccup too, until it takes one", async () => {
    const lives = await phones(["sara", "reza"]);
    expect(lives.engine.restingPushServices()).toEqual([]);
    let verdict: PushResult = { ...DOWN, afterMs: 20_000 };
    lives.provider.verdict = () => verdict;
    const since = lives.clock.now();
    await sayTo(lives, ["sara"]);
    const listed = { provider: "fake", lane: "", reason: "HTTP 503", since };
    expect(lives.engine.restingPushServices()).toEqual([{ ...listed, until: since + 20_000 }]);
    verdict = { ...DOWN, reason: "HTTP 500", afterMs: 30_000 };
    await lives.clock.advance(21_000);
    expect(lives.engine.restingPushServices()).toMatchObject([{ reason: "HTTP 500", since }]);
    expect(lives.events).toEqual([]);
    verdict = SENT;
    await lives.clock.advance(40_000);
    expect(lives.engine.restingPushServices()).toEqual([]);
    // What only a target may have caused makes no service rest.
    verdict = UNCLEAR;
    await sayTo(lives, ["reza"]);
    expect(lives.engine.restingPushServices()).toEqual([]);
  });

  test("is told at once when it refuses pushes for good as it is set up", async () => {
    const lives = await phones(["sara", "reza"]);
    lives.provider.verdict = () => ({ verdict: "rejected", reason: "HTTP 404: no such project", scope: "service" });
    await sayTo(lives, ["sara"]);
    expect(lives.events).toMatchObject([{ kind: "resting", reason: "HTTP 404: no such project" }]);
    await sayTo(lives, ["reza", "sara"]);
    await lives.clock.advance(5 * MINUTE);
    expect(lives.events).toHaveLength(1);
    expect(lives.logged).toHaveLength(1);
  });

  test("because three users got a doubtful answer is not also told for its targets", async () => {
    const users = named("user", 40);
    const lives = await phones(users);
    lives.provider.verdict = () => UNCLEAR;
    await sayTo(lives, users);
    await lives.clock.advance(60 * MINUTE);
    expect(lives.provider.sent.length).toBeGreaterThan(20);
    expect(lives.events.map(({ kind }) => kind)).toEqual(["resting"]);
  });

  test("of each lane is told by its own", async () => {
    const lives = await createLives({ policy: { coalesceMs: 0 } });
    Object.assign(lives.provider, { lane: ({ token }: { token: string }) => token.slice(0, 1) });
    const events: PushServiceEvent[] = [];
    lives.engine.on("push-service", (event) => events.push(event));
    for (const user of ["a 1", "b 1"]) (await lives.device(user, { token: user })).leave();
    await lives.clock.settle();
    lives.provider.verdict = () => ({ ...DOWN, afterMs: 2 * MINUTE });
    await sayTo(lives, ["a 1", "b 1"]);
    expect(events.map(({ kind, lane }) => [kind, lane])).toEqual([["resting", "a"], ["resting", "b"]]);
    expect(lives.engine.restingPushServices().map(({ lane }) => lane)).toEqual(["a", "b"]);
  });
});

describe("targets of many users that rest", () => {
  /** So many with a foreign token, each followed by one who is well: the service takes pushes. */
  async function mixed(count: number) {
    const foreign = named("foreign", count);
    const users = foreign.flatMap((user, at) => [user, `well ${at}`]);
    const lives = await phones(users);
    lives.provider.verdict = (token) => token.startsWith("foreign") ? UNCLEAR : SENT;
    return { lives, users };
  }

  test("are told once, not for each push, for as long as it goes on", async () => {
    const { lives, users } = await mixed(25);
    const since = lives.clock.now();
    for (let minute = 0; minute < 30; minute++) {
      await sayInTurn(lives, users);
      await lives.clock.advance(MINUTE);
    }
    expect(lives.pushed().filter((push) => push.startsWith("foreign")).length).toBeGreaterThan(25 * 3);
    expect(lives.events).toEqual([{
      ...{ provider: "fake", lane: "", kind: "targets-resting", reason: "SENDER_ID_MISMATCH" },
      ...{ since, users: 10, at: expect.any(Number) },
    }]);
    expect(lives.logged).toEqual(["a push service finds fault with many users' targets: they rest"]);
  });

  test("are told again when it was quiet for ten minutes", async () => {
    const { lives, users } = await mixed(10);
    await sayInTurn(lives, users);
    await lives.clock.advance(9 * MINUTE);
    await sayInTurn(lives, users);
    expect(lives.events).toHaveLength(1);
    await lives.clock.advance(10 * MINUTE);
    await sayInTurn(lives, users);
    expect(lives.events.map(({ kind }) => kind)).toEqual(["targets-resting", "targets-resting"]);
  });

  test("are no alarm when they are few, or come far apart", async () => {
    const { lives, users } = await mixed(30);
    await sayInTurn(lives, users.slice(0, 18));
    await lives.clock.advance(10 * MINUTE);
    for (let at = 18; at < users.length; at += 2) {
      await sayInTurn(lives, users.slice(at, at + 2));
      await lives.clock.advance(2 * MINUTE);
    }
    expect(lives.events).toEqual([]);
    expect(lives.logged).toEqual([]);
  });

  test("are no alarm when they are one account's", async () => {
    const lives = await phones(["sara"]);
    for (const token of named("foreign", 40)) (await lives.device("mallory", { deviceId: token, token })).leave();
    await lives.clock.settle();
    lives.provider.verdict = (token) => token.startsWith("foreign") ? UNCLEAR : SENT;
    await sayTo(lives, ["mallory", "sara"]);
    expect(lives.provider.sent.length).toBeGreaterThan(30);
    expect(lives.events).toEqual([]);
  });
});

describe("a refusal that is for the operator to look at", () => {
  const REFUSED: PushResult = { verdict: "retry", reason: "HTTP 401", scope: "unclear", alarm: true };

  test("is told at the first of one user, the target is kept, and the push waits until it is taken", async () => {
    const lives = await phones(["sara", "omid"]);
    let isRefused = true;
    lives.provider.verdict = (token) => isRefused && token === "sara" ? REFUSED : SENT;
    const since = lives.clock.now();
    await sayTo(lives, ["sara"]);
    const told = { provider: "fake", lane: "", kind: "targets-resting", reason: "HTTP 401", since, users: 1, at: since };
    expect(lives.events).toEqual([told]);
    expect(lives.logged).toEqual(["a push service refuses pushes: their targets rest, and the pushes wait"]);
    expect(lives.engine.restingPushServices()).toEqual([]);
    await sayTo(lives, ["omid"]);
    expect(lives.pushed().map((push) => push.split(" ")[0])).toEqual(["sara", "omid"]);
    await lives.clock.advance(8 * MINUTE);
    expect(lives.pushed().length).toBeGreaterThan(4);
    expect(lives.events).toHaveLength(1);
    isRefused = false;
    await lives.clock.advance(20 * MINUTE);
    expect(lives.engine.counters()).toMatchObject({ pushesSent: 2, targetsGone: 0 });
    expect(lives.logged).toHaveLength(1);
  });

  test("is told in one line, however many get it at once", async () => {
    const users = named("user", 40);
    const lives = await phones(users);
    lives.provider.verdict = () => REFUSED;
    await sayTo(lives, users);
    await lives.clock.advance(9 * MINUTE);
    expect(lives.events.map(({ kind }) => kind)).toEqual(["targets-resting", "resting"]);
  });

  test("is not told once more for many users", async () => {
    const users = named("refused", 20).flatMap((user, at) => [user, `well ${at}`]);
    const lives = await phones(users);
    lives.provider.verdict = (token) => token.startsWith("refused") ? REFUSED : SENT;
    await sayInTurn(lives, users);
    expect(lives.events).toMatchObject([{ kind: "targets-resting", users: 1 }]);
    expect(lives.logged).toHaveLength(1);
  });

  test("is none where a provider says so of something else, or in other words", async () => {
    for (const verdict of [{ ...REFUSED, alarm: "yes" }, { ...REFUSED, alarm: false }, { ...REFUSED, verdict: "rejected" }]) {
      const lives = await phones(["sara"]);
      lives.provider.verdict = () => verdict as PushResult;
      await sayTo(lives, ["sara"]);
      expect(lives.logged).toEqual([]);
    }
  });
});

describe("targets of many users that die", () => {
  async function dying(dead: number, well: number): Promise<Alarmed> {
    const users = [...named("well", well), ...named("dead", dead)];
    // They take turns evenly.
    const place = (user: string): number => Number(user.split(" ")[1]) / (user.startsWith("well") ? well : dead);
    users.sort((one, other) => place(one) - place(other));
    const lives = await phones(users);
    lives.provider.verdict = (token) => token.startsWith("dead") ? { verdict: "gone", reason: "Unregistered" } : SENT;
    for (const user of users) await sayTo(lives, [user]);
    return lives;
  }

  test("are told once when they are most", async () => {
    const lives = await dying(80, 40);
    expect(lives.events).toMatchObject([{ kind: "targets-gone", reason: "Unregistered", users: 50 }]);
    expect(lives.logged).toEqual(["a push service says of many users' targets that they are dead"]);
    expect(lives.engine.counters()).toMatchObject({ targetsGone: 80, pushesGone: 80 });
  });

  test("are no alarm when they are few", async () => {
    expect((await dying(49, 0)).events).toEqual([]);
  });

  test("are no alarm when more are well", async () => {
    expect((await dying(60, 80)).events).toEqual([]);
  });
});
