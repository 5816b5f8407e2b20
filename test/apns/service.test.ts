import { describe, expect, onTestFinished, test, vi } from "vitest";
import { apns } from "../../adapters/apns.ts";
import type { PushResult } from "../../src/ports/push_provider.ts";
import { FakeApns, fakeKey, type FakeOptions } from "./fake_apns.ts";
import { app, deviceToken, notification, optionsFor, stage } from "./stage.ts";

/** Device tokens that are all different. */
const tokens = (count: number) => Array.from({ length: count }, (_, i) => i.toString(16).padStart(64, "0"));
const verdicts = (results: readonly PushResult[]) => [...new Set(results.map(({ verdict }) => verdict))];
/** How often what was taken was taken. */
const times = (fake: FakeApns) => [...new Set(fake.taken.values())];

describe("a request", () => {
  test("posts the payload to the device with the key's token", async () => {
    const { fake, send, key } = await stage();
    expect((await send({ urgency: "low" })).verdict).toBe("sent");
    const [{ path, headers, body }] = fake.requests as [FakeApns["requests"][0]];
    expect(path).toBe(`/3/device/${deviceToken}`);
    expect(JSON.parse(body)).toMatchObject({ aps: { alert: notification.alert }, peyk: { id: "m1", userId: "u1" } });
    expect(headers).toMatchObject({
      "apns-topic": app,
      "apns-push-type": "alert",
      "apns-priority": "5",
      "content-length": String(body.length),
    });
    const [header, payload] = fake.tokens[0]!.split(".").map((part) => atob(part.replaceAll("-", "+").replaceAll("_", "/")));
    expect(JSON.parse(header!)).toEqual({ alg: "ES256", kid: key.keyId });
    expect(JSON.parse(payload!)).toMatchObject({ iss: key.teamId });
  });

  test("is not made for a target that the provider has no key for, nor for what is too large", async () => {
    const { fake, send } = await stage();
    expect(await send({}, { token: "../../x" })).toEqual({
      verdict: "rejected",
      reason: "the token is not of 64-200 hexadecimal digits",
    });
    expect(await send({}, { app: "org.example.former" })).toEqual({
      verdict: "rejected",
      reason: "no key is set up for its app",
    });
    expect(await send({ id: "a".repeat(5_000) })).toEqual({ verdict: "rejected", reason: "larger than 4096 bytes" });
    expect(fake.connections).toBe(0);
  });

  test("goes to the host of its environment, with the key for it", async () => {
    const keys = [fakeKey("KEYOFPROD1"), fakeKey("KEYOFSAND1"), fakeKey("KEYOFOTHER", "TEAM000002")];
    const production = await FakeApns.start({ keys });
    const sandbox = await FakeApns.start({ keys });
    const [first, second, third] = keys.map(({ key, keyId, teamId }) => ({ key, keyId, teamId }));
    const provider = apns({
      ...optionsFor(production, [
        { ...first!, bundleIds: [app], environments: ["production"] },
        { ...second!, bundleIds: [app], environments: ["sandbox"] },
        { ...third!, bundleIds: ["org.example.other"] },
      ]),
      endpoints: { production: production.origin, sandbox: sandbox.origin },
    });
    onTestFinished(async () => {
      await provider.close?.();
      await production.close();
      await sandbox.close();
    });
    const { signal } = new AbortController();
    const targets = [{}, { environment: "sandbox" }, { environment: "production" }, { app: "org.example.other" }] as const;
    const results = await Promise.all(
      targets.map((target) => provider.send({ token: deviceToken, app, ...target }, notification, { signal })),
    );
    expect(verdicts(results)).toEqual(["sent"]);
    const seen = (fake: FakeApns) =>
      fake.requests.map(({ headers, connection }) => [connection, headers["apns-topic"], keyIdOf(headers)]);
    expect(seen(sandbox)).toEqual([[1, app, "KEYOFSAND1"]]);
    // One team, and here one key, on a connection.
    expect(production.connections).toBe(2);
    const pairs = seen(production).map(([connection, ...rest]) => `${connection} ${rest.join(" ")}`);
    expect(new Set(pairs).size).toBe(2);
    expect(pairs.map((pair) => pair.slice(2)).sort()).toEqual([
      `${app} KEYOFPROD1`,
      `${app} KEYOFPROD1`,
      "org.example.other KEYOFOTHER",
    ]);
  });
});

function keyIdOf({ authorization = "" }: { authorization?: string | undefined }): string {
  return JSON.parse(atob(authorization.slice("bearer ".length).split(".")[0]!)).kid;
}

describe("a connection", () => {
  test("has one stream until a valid token was accepted, and then as many as the service allows", async () => {
    let widest = 0;
    let open = 0;
    const { fake, send } = await stage({
      firstStreams: 100,
      streams: 20,
      answer: async () => {
        widest = Math.max(widest, ++open);
        await new Promise((resolve) => setImmediate(resolve));
        open--;
        return undefined;
      },
    });
    const results = await Promise.all(tokens(200).map((token) => send({}, { token })));
    expect(verdicts(results)).toEqual(["sent"]);
    expect([fake.widestUnproven, fake.connections, fake.tokens.length]).toEqual([1, 1, 1]);
    expect(widest).toBeGreaterThan(1);
    expect(widest).toBeLessThanOrEqual(20);
  });

  test("that the service ends with streams open loses nothing, and brings nothing twice", async () => {
    let goAway: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => goAway = resolve);
    const { fake, send } = await stage({
      arrive: (count) => {
        if (count !== 25) return undefined;
        goAway?.();
        return "goaway";
      },
      // Those that were taken before are answered after.
      answer: async (_, count) => {
        if (count > 1 && count < 25) await gone;
        return undefined;
      },
    });
    const results = await Promise.all(tokens(2_000).map((token) => send({}, { token })));
    expect(verdicts(results)).toEqual(["sent"]);
    expect([fake.taken.size, times(fake), fake.connections]).toEqual([2_000, [1], 2]);
  });

  test("on which the service refuses a stream sends it again, once", async () => {
    const { fake, send } = await stage({ arrive: (count) => count >= 10 && count <= 12 ? "refuse" : undefined });
    const results = await Promise.all(tokens(100).map((token) => send({}, { token })));
    expect(verdicts(results)).toEqual(["sent"]);
    expect([fake.taken.size, times(fake), fake.streams, fake.connections]).toEqual([100, [1], 103, 1]);
  });

  test("that breaks before the answer is a retry, and the next try has the same id", async () => {
    const { fake, send } = await stage({ answer: (_, count) => count === 1 ? "drop" : undefined });
    expect((await send()).verdict).toBe("retry");
    expect((await send()).verdict).toBe("sent");
    expect([...fake.taken.values()]).toEqual([2]);
  });

  test("that answers nothing is a retry when the time is up", async () => {
    const { fake, send } = await stage({ answer: () => "hang" }, { timeoutMs: 100 });
    expect(await send()).toEqual({ verdict: "retry", reason: "no answer within 100 ms", scope: "service" });
    expect(fake.requests).toHaveLength(1);
  });

  test("ends when the provider is closed, and the next send opens another", async () => {
    const { fake, provider, send } = await stage();
    await send();
    expect(fake.open).toBe(1);
    await provider.close?.();
    await vi.waitFor(() => expect(fake.open).toBe(0), { timeout: 15_000, interval: 5 });
    expect((await send()).verdict).toBe("sent");
    expect(fake.connections).toBe(2);
  });
});

describe("a provider token", () => {
  /** Calls the first token expired from some request on. Time goes on then: a token of the same second may be the same. */
  function expiresAt(from: number): FakeOptions {
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    let former: string | undefined;
    return {
      answer: ({ headers: { authorization } }, count) => {
        former ??= authorization;
        if (count === from) vi.setSystemTime(Date.now() + 1_000);
        return count >= from && authorization === former ? { status: 403, reason: "ExpiredProviderToken" } : undefined;
      },
    };
  }

  test("that has expired is replaced once for all sends, on a new connection, and nothing is lost", async () => {
    const { fake, send } = await stage(expiresAt(20));
    const results = await Promise.all(tokens(300).map((token) => send({}, { token })));
    expect(verdicts(results)).toEqual(["sent"]);
    expect([fake.taken.size, times(fake)]).toEqual([300, [1]]);
    // What waited with the former token did not bring it to the new connection.
    const pairs = fake.requests.map(({ connection, headers }) =>
      `${connection} ${fake.tokens.indexOf(headers.authorization!.slice(7))}`
    );
    expect([...new Set(pairs)].sort()).toEqual(["1 0", "2 1"]);
  });

  test("that is called expired though it is new is tried twice, and once from then on", async () => {
    const { fake, send } = await stage({ now: () => Date.now() + 3_700_000 });
    const first = await send();
    expect(first).toMatchObject({ verdict: "retry", scope: "service", reason: expect.stringContaining("ExpiredProviderToken") });
    expect([fake.requests.length, fake.connections]).toEqual([2, 2]);
    expect(await send()).toEqual(first);
    expect([fake.requests.length, fake.connections]).toEqual([3, 2]);
  });

  test("of a clock that is an hour ahead is refused, and not made anew", async () => {
    const { fake, send } = await stage({ now: () => Date.now() - 3_600_000 });
    expect(await send()).toEqual({ verdict: "retry", reason: "HTTP 403 InvalidProviderToken", scope: "service" });
    await send();
    expect([fake.requests.length, fake.tokens.length]).toEqual([2, 1]);
  });

  test("that changes too often for the service is kept", async () => {
    const { fake, send } = await stage({
      answer: (_, count) => count < 3 ? { status: 429, reason: "TooManyProviderTokenUpdates" } : undefined,
    });
    expect([await send(), await send(), await send()].map(({ verdict }) => verdict)).toEqual(["retry", "retry", "sent"]);
    expect([fake.tokens.length, fake.connections]).toEqual([1, 1]);
  });

  test("is one for both environments, and each gets a new connection when it expires", async () => {
    const { fake, send } = await stage(expiresAt(3));
    const both = () => Promise.all([send(), send({}, { environment: "sandbox" })]);
    expect(verdicts([...await both(), ...await both()])).toEqual(["sent"]);
    expect([fake.tokens.length, fake.connections]).toEqual([2, 4]);
  });

  test("is one for all entries that name its key", async () => {
    const { fake, key: { key, keyId, teamId } } = await stage();
    const entry = { key, keyId, teamId };
    const provider = apns(optionsFor(fake, [
      { ...entry, bundleIds: [app], environments: ["production"] },
      { ...entry, bundleIds: ["org.example.other"], environments: ["sandbox"] },
    ]));
    onTestFinished(() => provider.close?.());
    const { signal } = new AbortController();
    const targets = [{ app }, { app: "org.example.other", environment: "sandbox" }] as const;
    for (const target of targets) await provider.send({ token: deviceToken, ...target }, notification, { signal });
    expect([fake.taken.size, fake.connections, fake.tokens.length]).toEqual([2, 2, 1]);
  });

  test("of another key than the service knows rests the service", async () => {
    const { send, fake } = await stage({ keys: [fakeKey()] });
    expect(await send()).toEqual({ verdict: "retry", reason: "HTTP 403 InvalidProviderToken", scope: "service" });
    expect(fake.requests).toHaveLength(1);
  });
});
