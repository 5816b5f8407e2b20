import { describe, expect, onTestFinished, test } from "vitest";
import { type Compose, createEngine, memory, type Message, type Notification, type Storage } from "../../mod.ts";
import { createStage, FakeProvider, surviving } from "./stage.ts";

interface Phone {
  user: string;
  locale?: string;
  timeZone?: string;
}

/** Phones that have left, whose targets say so much, and what is logged. */
async function stageOf(
  compose: Compose | undefined,
  phones: readonly Phone[],
  provider = new FakeProvider(),
  storage: Storage = memory(),
) {
  const logged: string[] = [];
  const log = (message: string): void => void logged.push(message);
  const stage = await createStage({
    ...compose && { compose },
    storage,
    push: [provider],
    logger: { info: log, warn: log, error: log },
  });
  onTestFinished(() => stage.engine.close());
  for (const { user, ...details } of phones) {
    const phone = await stage.device(user);
    await phone.request({ type: "target", ref: 0, provider: "fake", token: user, details });
    phone.leave();
    await stage.clock.settle();
    await stage.engine.subscribe(user, { to: "*", channel: "news" });
  }
  const say = async (message: Parameters<typeof stage.engine.publish>[0]): Promise<void> => {
    await stage.engine.publish({ id: "m", ...message });
    await stage.clock.settle();
  };
  const alerts = (): unknown[] => provider.sent.map(({ notification: { alert } }) => alert);
  return { ...stage, alerts, logged, provider, say };
}

describe("compose()", () => {
  const GREETINGS: Record<string, string> = { de: "Hallo", fa: "سلام" };

  test("finds words in the reader's language, which stand in for the message's own", async () => {
    const compose: Compose = ({ content }, { locale = "en" }) => {
      return { body: `${GREETINGS[locale] ?? "Hello"}, ${content}`, native: { fake: { locale } } };
    };
    const phones = [{ user: "sara", locale: "fa" }, { user: "jan", locale: "de" }, { user: "ann" }];
    const { provider, say } = await stageOf(compose, phones);
    await say({ to: "*", channel: "news", content: "A", notification: { title: "News", body: "own" } });
    const words = Object.fromEntries(
      provider.sent.map(({ token, notification: { alert, native } }) => [token, { alert, native }]),
    );
    expect(words).toEqual({
      sara: { alert: { title: "News", body: "سلام, A" }, native: { locale: "fa" } },
      jan: { alert: { title: "News", body: "Hallo, A" }, native: { locale: "de" } },
      ann: { alert: { title: "News", body: "Hello, A" }, native: { locale: "en" } },
    });
  });

  test("is asked once for each message, locale and time zone, however many read it", async () => {
    const asked: string[] = [];
    const compose: Compose = async ({ id }, { locale, timeZone }) => {
      asked.push(`${id} ${locale} ${timeZone}`);
      await Promise.resolve();
      return { body: `${id} ${locale}` };
    };
    const phones = Array.from({ length: 12 }, (_, at) => ({
      user: `user ${at}`,
      locale: at % 2 === 0 ? "fa" : "de",
      ...at < 4 ? { timeZone: "Asia/Tehran" } : {},
    }));
    const { alerts, clock, provider, say } = await stageOf(compose, phones);
    provider.verdict = (_, attempt) => attempt === 1 ? { verdict: "retry", reason: "again" } : { verdict: "sent" };
    await say({ to: "*", channel: "news", id: "one" });
    await say({ to: "*", channel: "news", id: "two" });
    await clock.advance(2_000);
    expect(alerts()).toHaveLength(25);
    expect(asked.sort()).toEqual(
      ["one", "two"].flatMap((id) =>
        ["de Asia/Tehran", "de undefined", "fa Asia/Tehran", "fa undefined"].map((of) => `${id} ${of}`)
      ),
    );
  });

  test("gets the message as an app does", async () => {
    const messages: Message[] = [];
    const { say } = await stageOf((message) => void messages.push(message), [{ user: "sara" }]);
    await say({
      to: "sara",
      content: "hi",
      data: { n: 1 },
      from: "reza",
      urgency: "high",
      notification: { title: "T" },
    });
    expect(messages).toMatchObject([{
      ...{ id: "m", to: "sara", channel: "default", topic: "sara/default", from: "reza", content: "hi", data: { n: 1 } },
      ...{ urgency: "high", notification: { title: "T" }, position: { offset: 1 } },
    }]);
    expect(messages[0]?.sentAt).toBeGreaterThan(0);
  });

  test("that returns nothing leaves the message's own words", async () => {
    const { alerts, logged, say } = await stageOf(() => undefined, [{ user: "sara" }]);
    await say({ to: "sara", content: "hi", useAsAlert: true });
    expect(alerts()).toEqual([{ body: "hi" }]);
    expect(logged).toEqual([]);
  });

  test.each<[string, Compose]>([
    ["throws", () => {
      throw new Error("no");
    }],
    ["rejects", () => Promise.reject(new Error("no"))],
    ["takes too long", () => new Promise(() => {})],
    ["returns text", () => "hi" as unknown as Notification],
    ["returns null", () => null as unknown as Notification],
    ["returns what is no notification", () => ({ title: 5 } as unknown as Notification)],
  ])("that %s leaves the message's own words, after a second at most, and is told once for all readers", async (_, compose) => {
    let asked = 0;
    const counted: Compose = (...what) => {
      asked++;
      return compose(...what);
    };
    const { alerts, clock, logged, say } = await stageOf(counted, [{ user: "sara" }, { user: "reza" }, { user: "jan" }]);
    await say({ to: "*", channel: "news", notification: { body: "own" } });
    await clock.advance(1_000);
    expect(alerts()).toEqual([{ body: "own" }, { body: "own" }, { body: "own" }]);
    expect([asked, logged]).toEqual([1, ["compose() failed, a message's own words are used"]]);
  });

  test("of a message that shows nothing is not asked", async () => {
    let asked = 0;
    const { alerts, say } = await stageOf(() => void asked++, [{ user: "sara" }]);
    await say({ to: "sara", silent: true });
    expect([asked, alerts()]).toEqual([0, [undefined]]);
  });

  test("that takes its time lets no push leave that is not needed any more", async () => {
    for (const how of ["revoke", "unsubscribe"] as const) {
      const { promise, resolve } = Promise.withResolvers<Notification>();
      const { clock, engine, provider, say } = await stageOf(() => promise, [{ user: "sara" }]);
      await say({ to: "*", channel: "news" });
      const done = how === "revoke" ? engine.revoke("sara") : engine.unsubscribe("sara", { to: "*", channel: "news" });
      let asked: number | undefined;
      void done.then(() => asked = provider.sent.length);
      await clock.settle();
      resolve({ body: "late" });
      await clock.advance(10_000);
      expect(asked, how).toBeDefined();
      expect(provider.sent, "after it returned no request begins").toHaveLength(asked!);
    }
  });

  test("that takes its time lets no push leave for what another node has ended meanwhile", async () => {
    const storage = surviving();
    const compose: Compose = async () => {
      const { users } = await storage.open({} as never);
      await users.put({ ...(await users.get("sara"))!, subscriptions: {} }, "devices");
      return { body: "late" };
    };
    const { clock, engine, provider, say } = await stageOf(compose, [{ user: "sara" }], new FakeProvider(), storage);
    await say({ to: "*", channel: "news" });
    await clock.advance(10_000);
    expect(provider.sent).toEqual([]);
    expect(engine.counters().pushesSent).toBe(0);
  });

  test("that is no function is refused when the engine is made", async () => {
    await expect(createEngine({ insecure: true, compose: {} as Compose })).rejects.toMatchObject({ code: "bad-config" });
  });
});

describe('a provider with content "none"', () => {
  function discreet(content: unknown): FakeProvider {
    return Object.assign(new FakeProvider(), { content: content as "none" });
  }

  test("gets ids and no words, whoever would have found some", async () => {
    let asked = 0;
    const compose: Compose = () => {
      asked++;
      return { body: "secret" };
    };
    const { provider, say } = await stageOf(compose, [{ user: "sara", locale: "fa" }], discreet("none"));
    const notification = { title: "secret", collapseKey: "secret", native: { fake: { x: "secret" } } };
    await say({ to: "sara", content: "secret", data: "secret", useAsAlert: true, notification });
    await say({ to: "sara", id: "silent", silent: true, notification });
    expect(provider.sent.map(({ notification: { id, alert, silent } }) => ({ id, alert, silent }))).toEqual([
      { id: "m", alert: {}, silent: false },
      { id: "silent", alert: undefined, silent: true },
    ]);
    expect([asked, JSON.stringify(provider.sent).includes("secret")]).toEqual([0, false]);
  });

  test('or "full", or nothing said of it: nothing else is taken', async () => {
    const { alerts, say } = await stageOf(undefined, [{ user: "sara" }], discreet("full"));
    await say({ to: "sara", notification: { title: "T" } });
    expect(alerts()).toEqual([{ title: "T" }]);
    for (const content of ["some", null, true]) {
      await expect(createEngine({ insecure: true, push: [discreet(content)] })).rejects.toMatchObject({ code: "bad-config" });
    }
  });
});
