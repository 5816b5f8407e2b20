import { describe, expect, onTestFinished, test } from "vitest";
import type { EngineOptions, PushResult, PushScope } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import { createStage, FakeProvider } from "./stage.ts";

const SENT: PushResult = { verdict: "sent" };
const WAITS = "push-held its push service does not take pushes: waits for one that it takes";

function failed(scope: PushScope, afterMs?: number): PushResult {
  return { verdict: "retry", reason: "no", scope, ...afterMs === undefined ? {} : { afterMs } };
}

/** Users whose phones have left, each with their name as token, and what was logged. */
async function phones(users: readonly string[], options: EngineOptions = {}): Promise<Lives & { logged: string[] }> {
  const logged: string[] = [];
  const log = (message: string, fields?: object): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const lives = await createLives({ policy: { coalesceMs: 0 }, logger: { info: log, warn: log, error: log }, ...options });
  for (const user of users) (await lives.device(user, { token: user })).leave();
  await lives.clock.settle();
  return Object.assign(lives, { logged });
}

/** A message for each of them, called as they are. */
async function sayTo(lives: Lives, users: readonly string[], round = ""): Promise<void> {
  for (const user of users) await lives.say(`${user}${round}`, { to: user });
}

const asked = (lives: Lives): string[] => lives.provider.sent.map(({ notification: { id } }) => id);
const MANY = Array.from({ length: 12 }, (_, at) => `user ${at}`);

describe("a reply that no target can have caused", () => {
  test("rests the service: one push at a time is tried with growing pauses, and all leave when one was taken", async () => {
    const lives = await phones(MANY);
    let isDown = true;
    lives.provider.verdict = () => isDown ? failed("service") : SENT;
    await sayTo(lives, MANY);
    expect(asked(lives)).toHaveLength(1);
    await lives.clock.advance(600_000);
    // 1, 2, 4 … 32 s, then a minute at most; each up to half of that shorter.
    expect(asked(lives).length).toBeGreaterThan(12);
    expect(asked(lives).length).toBeLessThan(25);
    isDown = false;
    await lives.clock.advance(62_000);
    expect(new Set(asked(lives).slice(-12))).toEqual(new Set(MANY));
    expect(lives.engine.counters().pushesSent).toBe(12);
  });

  test("is told to the logger once, as is its end, and in explain() of each message that waits", async () => {
    const lives = await phones(MANY);
    let isDown = true;
    lives.provider.verdict = () => isDown ? failed("service") : SENT;
    await sayTo(lives, MANY);
    await lives.clock.advance(600_000);
    expect(lives.logged).toEqual([
      'a push service takes nothing: its pushes wait, one at a time is tried {"provider":"fake","lane":"","reason":"no"}',
    ]);
    for (const user of MANY.slice(1)) expect((await lives.told(user)).filter((line) => line === WAITS).length).toBeGreaterThan(0);
    // Waiting for the same again is not told again.
    expect((await lives.told(MANY[11]!)).filter((line) => line === WAITS).length).toBeLessThan(5);
    isDown = false;
    await lives.clock.advance(62_000);
    expect(lives.logged.slice(1)).toEqual(['a push service takes pushes again {"provider":"fake","lane":""}']);
  });

  test("rests it for as long as it asks for, at most an hour, and is a hiccup when the next one is taken", async () => {
    const lives = await phones(MANY);
    lives.provider.verdict = (_, attempt) => attempt === 1 ? failed("service", 20_000) : SENT;
    await sayTo(lives, MANY);
    await lives.clock.advance(19_000);
    expect(asked(lives)).toHaveLength(1);
    await lives.clock.advance(3_000);
    expect(asked(lives)).toHaveLength(13);
    expect(lives.logged).toEqual([]);
    lives.provider.verdict = (_, attempt) => attempt === 14 ? failed("service", Infinity) : SENT;
    await sayTo(lives, MANY, " later");
    await lives.clock.advance(3_500_000);
    expect(asked(lives)).toHaveLength(14);
    await lives.clock.advance(110_000);
    expect(asked(lives)).toHaveLength(26);
  });

  test("rests the service also when the notification itself was refused", async () => {
    const lives = await phones(MANY);
    lives.provider.verdict = (_, attempt) =>
      attempt === 1 ? { verdict: "rejected", reason: "no such path", scope: "service" } : SENT;
    await sayTo(lives, MANY);
    expect(asked(lives)).toHaveLength(1);
    expect((await lives.told(MANY[0]!)).at(-1)).toBe("push-rejected no such path");
    await lives.clock.advance(3_000);
    expect(asked(lives)).toHaveLength(12);
  });
});

describe("a reply that a target may have caused", () => {
  test("of an account with many foreign tokens delays nobody", async () => {
    const lives = await phones(["sara"]);
    const foreign = Array.from({ length: 20 }, (_, at) => `foreign ${at}`);
    for (const token of foreign) (await lives.device("mallory", { deviceId: token, token })).leave();
    await lives.clock.settle();
    lives.provider.verdict = (token) => token.startsWith("foreign") ? failed("unclear") : SENT;
    for (let round = 0; round < 5; round++) {
      await lives.say(`trap ${round}`, { to: "mallory" });
      await lives.say(`hi ${round}`);
    }
    expect(lives.pushed().filter((push) => push.startsWith("sara"))).toEqual([
      "sara hi 0",
      "sara hi 1",
      "sara hi 2",
      "sara hi 3",
      "sara hi 4",
    ]);
    expect(lives.logged).toEqual([]);
  });

  test("rests its target: for a minute, then twice as long each time", async () => {
    const lives = await phones(["sara"]);
    lives.provider.verdict = () => failed("unclear");
    await lives.say("one");
    await lives.say("two");
    const counts: number[] = [];
    for (const ms of [59_000, 2_000, 118_000, 3_000]) {
      await lives.clock.advance(ms);
      counts.push(lives.pushed().filter((push) => push === "sara one").length);
    }
    expect(counts).toEqual([1, 2, 2, 3]);
    expect(lives.logged).toEqual([]);
  });

  test("of a push that is refused for good rests the target too", async () => {
    const lives = await phones(["sara"]);
    lives.provider.verdict = (_, attempt) =>
      attempt === 1 ? { verdict: "rejected", reason: "bad token", scope: "unclear" } : SENT;
    await lives.say("one");
    await lives.say("two");
    await lives.clock.advance(59_000);
    expect(lives.pushed()).toEqual(["sara one"]);
    await lives.clock.advance(2_000);
    expect(lives.pushed()).toEqual(["sara one", "sara two"]);
  });

  test("that three users got, with nothing taken in between, rests the service: one probe a minute", async () => {
    const lives = await phones(MANY);
    let isDown = true;
    lives.provider.verdict = () => isDown ? failed("unclear") : SENT;
    await sayTo(lives, MANY);
    expect(asked(lives)).toEqual(MANY.slice(0, 3));
    expect(lives.logged).toHaveLength(1);
    await lives.clock.advance(59_000);
    expect(asked(lives)).toHaveLength(3);
    for (let minute = 1; minute <= 5; minute++) {
      await lives.clock.advance(60_000);
      expect(asked(lives)).toHaveLength(3 + minute);
    }
    expect(lives.logged).toHaveLength(1);
    isDown = false;
    await lives.clock.advance(70_000);
    expect(lives.logged).toHaveLength(2);
    // Targets that were in doubt themselves rest on for their time.
    await lives.clock.advance(600_000);
    expect(lives.engine.counters().pushesSent).toBe(12);
  });

  test("that users got between pushes that were taken rests no service", async () => {
    const lives = await phones(MANY);
    lives.provider.verdict = (token) => Number(token.slice(5)) % 3 === 2 ? SENT : failed("unclear");
    for (let round = 0; round < 3; round++) await sayTo(lives, MANY, ` ${round}`);
    expect(lives.logged).toEqual([]);
    expect(lives.engine.counters().pushesSent).toBe(12);
  });

  test("leaves the probe to users who are not in doubt", async () => {
    const lives = await phones(MANY);
    lives.provider.verdict = (token) => Number(token.slice(5)) < 3 ? failed("unclear") : SENT;
    await sayTo(lives, MANY);
    expect(asked(lives)).toEqual(MANY.slice(0, 3));
    await lives.clock.advance(62_000);
    // The first probe was one of theirs who are well.
    expect(lives.engine.counters().pushesSent).toBe(9);
  });
});

describe("a lane", () => {
  /** A provider whose lanes are what stands before the token's first space. */
  function laned(lane: (token: string) => unknown): FakeProvider {
    return Object.assign(new FakeProvider(), { lane: ({ token }: { token: string }) => lane(token) as string });
  }

  async function stageOf(provider: FakeProvider, tokens: readonly string[]) {
    const stage = await createStage({ push: [provider], policy: { coalesceMs: 0 } });
    onTestFinished(() => stage.engine.close());
    for (const token of tokens) (await stage.device(`user of ${token}`, { token })).leave();
    await stage.clock.settle();
    return {
      ...stage,
      async say(): Promise<void> {
        for (const token of tokens) {
          await stage.engine.publish({ to: `user of ${token}`, content: "hi" });
          await stage.clock.settle();
        }
      },
    };
  }

  const tokens = ["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"];

  test("that rests holds up no other", async () => {
    const provider = laned((token) => token.slice(0, 1));
    const { say } = await stageOf(provider, tokens);
    provider.verdict = (token) => token.startsWith("a") ? failed("service", 600_000) : SENT;
    await say();
    expect(provider.tokens).toEqual(["a 1", "b 1", "b 2", "b 3"]);
  });

  test.each<[string, (token: string) => unknown]>([
    ["nothing", () => undefined],
    ["a number", (token) => Number(token.slice(2))],
    ["a long text", (token) => token + "x".repeat(254)],
    ["an error", (token) => {
      throw new Error(token);
    }],
  ])("that is %s is that of all", async (_, lane) => {
    const provider = laned(lane);
    const { say } = await stageOf(provider, tokens);
    provider.verdict = () => failed("service", 600_000);
    await say();
    expect(provider.tokens).toEqual(["a 1"]);
  });
});

describe("a token that its service replaced", () => {
  test("is stored in its place: the push counts as sent, and what waits goes to the new one", async () => {
    const lives = await phones(["sara"]);
    lives.provider.verdict = (token) => token === "sara" ? { verdict: "replaced", token: "new" } : SENT;
    await lives.say("one");
    await lives.say("two");
    await lives.clock.advance(1_000);
    expect(lives.pushed()).toEqual(["sara one", "new two"]);
    expect(lives.engine.counters()).toMatchObject({ pushesSent: 2, pushesRetried: 0 });
    expect((await lives.told("one")).at(-1)).toBe("push-sent fake");
    expect((await lives.engine.sessions("sara"))[0]?.targets).toMatchObject([{ provider: "fake", disabled: undefined }]);
    await lives.restart();
    await lives.say("three");
    expect(lives.pushed().at(-1)).toBe("new three");
  });

  test("keeps what the client said of its target", async () => {
    const lives = await createLives();
    const phone = await lives.sara("phone");
    await phone.request({ type: "target", ref: 0, provider: "fake", token: "old", details: { locale: "fa", app: "a" } });
    phone.leave();
    lives.provider.verdict = (token) => token === "old" ? { verdict: "replaced", token: "new" } : SENT;
    await lives.clock.settle();
    await lives.say("one");
    await lives.say("two");
    expect(lives.provider.sent.at(-1)?.target).toStrictEqual({ token: "new", locale: "fa", app: "a" });
  });

  test("by one that another session has registered is dead, and takes nothing from that one", async () => {
    const lives = await phones(["sara", "reza"]);
    lives.provider.verdict = (token) => token === "sara" ? { verdict: "replaced", token: "reza" } : SENT;
    await lives.say("one");
    await lives.say("two");
    await lives.say("for reza", { to: "reza" });
    expect(lives.pushed()).toEqual(["sara one", "reza for reza"]);
    const [session] = await lives.engine.sessions("sara");
    expect(session?.targets[0]?.disabled?.reason).toBe("its token was replaced by one that is registered elsewhere");
    expect((await lives.engine.sessions("reza"))[0]?.targets).toMatchObject([{ disabled: undefined }]);
  });

  test("stays as the client registered it meanwhile", async () => {
    const lives = await createLives();
    const { promise, resolve } = Promise.withResolvers<PushResult>();
    lives.provider.verdict = (token) => token === "old" ? promise : SENT;
    (await lives.sara("phone", { token: "old" })).leave();
    await lives.clock.settle();
    await lives.say("one");
    (await lives.sara("phone", { visible: false, token: "newest" })).leave();
    await lives.clock.settle();
    resolve({ verdict: "replaced", token: "new" });
    await lives.clock.advance(1_000);
    await lives.say("two");
    expect(lives.pushed()).toEqual(["old one", "newest two"]);
  });

  test.each([undefined, "", 7, "x".repeat(4_097), {}, "sara"])("by %j counts as sent, and stays", async (token) => {
    const lives = await phones(["sara"]);
    lives.provider.verdict = () => ({ verdict: "replaced", token }) as PushResult;
    await lives.say("one");
    await lives.say("two");
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["sara one", "sara two"]);
    expect(lives.engine.counters().pushesSent).toBe(2);
  });
});
