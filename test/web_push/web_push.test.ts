import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { vapidPair } from "../../adapters/cli/vapid_pair.ts";
import { webPush, type WebPushOptions, type WebPushProvider } from "../../adapters/web_push.ts";
import type { PushNotification, PushResult } from "../../src/ports/push_provider.ts";
import type { PushAddress } from "../../src/protocol/target.ts";
import { certificate } from "../tls/certificate.ts";
import { type Answer, FakePushService, type FakeSubscription, newReceiver } from "./fake_push_service.ts";

const pair = vapidPair();
const push: PushNotification = {
  userId: "sara",
  id: "message-1",
  topic: "sara/default",
  position: { epoch: 5, offset: 1 },
  collapseId: "0123456789abcdef",
  alert: { title: "Omid", body: "Hello" },
  silent: false,
  urgency: "high",
  ttl: 3_600,
  waiting: 1,
};
const basics: WebPushOptions = { subject: "mailto:push@example.org", keys: [pair], url: "https://app.example.org/" };

let service: FakePushService;
const open: WebPushProvider[] = [];

function provider(changed: Partial<WebPushOptions> = {}): WebPushProvider {
  const made = webPush({ ...basics, extraOrigins: [service.origin], allowLoopback: true, ca: certificate, ...changed });
  open.push(made);
  return made;
}

function targetOf({ endpoint, keys }: Pick<FakeSubscription, "endpoint" | "keys">): PushAddress {
  return { token: JSON.stringify({ endpoint, expirationTime: null, keys }) };
}

function send(to: WebPushProvider, target: PushAddress, changed: Partial<PushNotification> = {}): Promise<PushResult> {
  return to.send(target, { ...push, ...changed }, { signal: new AbortController().signal });
}

beforeEach(async () => {
  service = await new FakePushService().listen();
});

afterEach(async () => {
  for (const one of open.splice(0)) await one.close?.();
  await service.close();
  vi.useRealTimers();
});

describe("the web-push provider", () => {
  test.each([true, false])("sends what its browser decrypts and its service verifies, with HTTP/2: %s", async (http2) => {
    const other = await new FakePushService({ http2 }).listen();
    try {
      const result = await send(provider({ extraOrigins: [other.origin] }), targetOf(other.subscribe()));
      expect([result, other.refused]).toEqual([{ verdict: "sent", info: "HTTP 201" }, []]);
      const [{ httpVersion, headers, plaintext, claims, signedBy }] = other.taken as [typeof other.taken[0]];
      expect(httpVersion).toBe(http2 ? "2.0" : "1.1");
      expect(JSON.parse(plaintext)).toMatchObject({ web_push: 8030, notification: { title: "Omid", data: { userId: "sara" } } });
      expect(headers).toMatchObject({ ttl: "3600", urgency: "high", "content-encoding": "aes128gcm" });
      expect(headers["topic"]).toMatch(/^[0-9a-f]{32}$/);
      expect([claims.sub, signedBy]).toEqual(["mailto:push@example.org", pair.publicKey]);
    } finally {
      await other.close();
    }
  });

  test("sends over one connection, signed once", async () => {
    const to = provider();
    const targets = Array.from({ length: 20 }, () => targetOf(service.subscribe()));
    const results = await Promise.all(targets.map((target) => send(to, target)));
    expect(results.map(({ verdict }) => verdict)).toEqual(targets.map(() => "sent"));
    expect(service.connections).toBe(1);
    expect(new Set(service.taken.map(({ headers }) => headers["authorization"])).size).toBe(1);
  });

  test("refuses a key that is no point of the curve at registration, and sends nothing to a target that has one", async () => {
    const to = provider();
    const { endpoint, keys } = service.subscribe();
    const target = targetOf({ endpoint, keys: { ...keys, p256dh: Buffer.alloc(65, 4).toString("base64url") } });
    expect(to.targetFault?.(target)).toMatch(/p256dh/);
    expect(await send(to, target)).toEqual({ verdict: "retry", reason: "keys.p256dh: no point of P-256", scope: "unclear" });
    expect(service.taken).toEqual([]);
  });

  test("closes its connections", async () => {
    const to = provider();
    await send(to, targetOf(service.subscribe()));
    expect(service.open).toBe(1);
    await to.close!();
    await vi.waitUntil(() => service.open === 0);
  });

  test("sends what shows nothing as data for the worker", async () => {
    expect((await send(provider(), targetOf(service.subscribe()), { alert: undefined, silent: true })).verdict).toBe("sent");
    expect(JSON.parse(service.taken[0]!.plaintext)).toEqual({
      data: { userId: "sara", id: "message-1", topic: "sara/default", position: { epoch: 5, offset: 1 }, waiting: 1 },
    });
  });

  test.each([[0, "1"], [0.2, "1"], [59.5, "60"], [2_592_000, "2592000"], [1e9, "2592000"]])(
    "asks to keep it %d s by TTL: %s",
    async (ttl, header) => {
      await send(provider(), targetOf(service.subscribe()), { ttl });
      expect(service.taken[0]!.headers["ttl"]).toBe(header);
    },
  );

  test("names each message by a topic, the same on each try", async () => {
    const to = provider();
    const target = targetOf(service.subscribe());
    for (const collapseId of ["one", "one", "another", "a/b c".repeat(12)]) await send(to, target, { collapseId });
    const topics = service.taken.map(({ headers }) => headers["topic"]);
    expect([topics[0] === topics[1], new Set(topics).size, service.refused]).toEqual([true, 3, []]);
  });

  test("sends 3,993 bytes, and of what is more only that a message waits", async () => {
    const to = provider();
    const target = targetOf(service.subscribe());
    for (const body of ["a".repeat(3_600), "a".repeat(5_000)]) {
      expect((await send(to, target, { alert: { body } })).verdict).toBe("sent");
    }
    const [whole, bare] = service.taken.map(({ plaintext }) => JSON.parse(plaintext).notification);
    expect([whole.body.length, bare.body, bare.title]).toEqual([3_600, undefined, "New message"]);
  });

  test("rejects before any request what is too large without its words", async () => {
    const result = await send(provider({ maxBytes: 1_000 }), targetOf(service.subscribe()), { id: "a".repeat(1_000) });
    expect([result, service.requests, service.connections]).toEqual([
      { verdict: "rejected", reason: "larger than 1000 bytes" },
      0,
      0,
    ]);
  });

  test("hands on where the message can be taken back", async () => {
    service.answers.push({ status: 201, headers: { location: "/m/1" } }, {
      status: 201,
      headers: { location: "https://evil.example/" },
    });
    const to = provider();
    const target = targetOf(service.subscribe());
    expect(await send(to, target)).toEqual({ verdict: "sent", info: "HTTP 201", handle: `${service.origin}/m/1` });
    expect(await send(to, target)).toEqual({ verdict: "sent", info: "HTTP 201" });
  });

  const mozilla = (code: number, errno: number) => JSON.stringify({ code, errno, message: "abc" });
  const after = { "retry-after": "120" };
  test.each<[Answer, PushResult]>([
    [{ status: 200 }, { verdict: "sent", info: "HTTP 200" }],
    [{ status: 202 }, { verdict: "sent", info: "HTTP 202" }],
    [{ status: 307, headers: { location: "https://localhost/" } }, {
      verdict: "rejected",
      reason: "HTTP 307: redirects are not followed",
    }],
    [{ status: 400, body: mozilla(400, 111) }, { verdict: "rejected", reason: "HTTP 400, errno 111" }],
    [{ status: 401, body: mozilla(401, 109) }, { verdict: "retry", reason: "HTTP 401, errno 109", scope: "unclear" }],
    [{ status: 403, body: '{"reason":"BadJwtToken"}' }, { verdict: "retry", reason: "HTTP 403, BadJwtToken", scope: "unclear" }],
    [{ status: 404 }, { verdict: "gone", reason: "HTTP 404" }],
    [{ status: 410, body: mozilla(410, 106) }, { verdict: "gone", reason: "HTTP 410, errno 106" }],
    [{ status: 413, body: mozilla(413, 104) }, { verdict: "rejected", reason: "HTTP 413, errno 104" }],
    [{ status: 429 }, { verdict: "retry", reason: "HTTP 429", scope: "unclear" }],
    [{ status: 429, headers: after }, { verdict: "retry", reason: "HTTP 429", scope: "unclear", afterMs: 120_000 }],
    [{ status: 500 }, { verdict: "retry", reason: "HTTP 500", scope: "unclear" }],
    [{ status: 503, headers: after }, { verdict: "retry", reason: "HTTP 503", scope: "service", afterMs: 120_000 }],
    ["endless", { verdict: "sent", info: "HTTP 201" }],
  ])("asks once and gives the verdict on %j", async (answer, verdict) => {
    service.answers.push(answer);
    expect(await send(provider(), targetOf(service.subscribe()))).toEqual(verdict);
    expect(service.requests).toBe(1);
  });

  test("gives up on a service that says nothing", async () => {
    service.answers.push("hang");
    expect(await send(provider({ timeoutMs: 100 }), targetOf(service.subscribe()))).toMatchObject({ verdict: "retry" });
    expect(service.requests).toBe(1);
  });

  test("goes to no address of this machine unless that is allowed", async () => {
    const to = provider({ allowLoopback: false });
    expect(await send(to, targetOf(service.subscribe()))).toMatchObject({ verdict: "retry" });
    expect(service.connections).toBe(0);
  });

  test.each(["https://127.0.0.1", "https://10.0.0.1", "https://169.254.169.254", "https://[::1]", "https://[::ffff:10.0.0.1]"])(
    "goes to no private address, though it is named: %s",
    async (origin) => {
      const to = provider({ allowLoopback: false, extraOrigins: [origin] });
      const result = await send(to, targetOf({ endpoint: `${origin}/push`, keys: newReceiver().keys }));
      expect(result).toMatchObject({ verdict: "retry" });
      expect(JSON.stringify(result)).not.toContain("/push");
    },
  );

  test("is told by a service whose clock is a day off, as what is unclear", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 24 * 3_600_000 });
    const to = provider();
    const target = targetOf(service.subscribe());
    const signed = to.send(target, push, { signal: new AbortController().signal });
    vi.useRealTimers();
    expect(await signed).toEqual({ verdict: "retry", reason: "HTTP 401", scope: "unclear" });
    // The clock is put right: what was signed before is not used any more.
    expect((await send(to, target)).verdict).toBe("sent");
  });
});

describe("several keys", () => {
  const former = vapidPair();
  const keys = [pair, { ...former, keyId: "2025" }];

  test("the first one is for clients to subscribe with", () => {
    const { publicKey, keyId, targetFault, lane } = provider({ keys });
    expect(publicKey).toBe(pair.publicKey);
    const target = targetOf(service.subscribe());
    expect(targetFault!({ ...target, keyId })).toBeUndefined();
    expect(lane!({ ...target, keyId })).toBe(lane!(target));
  });

  test("a target's own signs for it, the first where it names none", async () => {
    const to = provider({ keys });
    const target = targetOf(service.subscribe());
    for (const one of [target, { ...target, keyId: to.keyId }, { ...target, keyId: "2025" }]) await send(to, one);
    expect(service.taken.map(({ signedBy }) => signedBy)).toEqual([pair.publicKey, pair.publicKey, former.publicKey]);
    expect(to.lane!({ ...target, keyId: "2025" })).toBe(`${service.origin} 2025`);
  });

  test("an unknown one is refused at registration, and rests a target that was registered before", async () => {
    const to = provider();
    const target = { ...targetOf(service.subscribe()), keyId: "2025" };
    expect(to.targetFault!(target)).toBe("keyId: none of this server's keys; subscribe again, with the one that it offers now");
    expect(await send(to, target)).toEqual({ verdict: "retry", reason: "its key is no longer set up", scope: "unclear" });
    expect(to.lane!(target)).not.toBe(to.lane!(targetOf(service.subscribe())));
    expect(service.requests).toBe(0);
  });

  test("an origin that is no longer set up rests its targets", async () => {
    const target = targetOf(service.subscribe());
    const result = await send(provider({ extraOrigins: [] }), target);
    expect(result).toEqual({
      verdict: "retry",
      reason: "endpoint: at no push service that this server sends to",
      scope: "unclear",
    });
    expect(service.connections).toBe(0);
  });
});

describe("what is set up wrongly is told at start", () => {
  test.each<[string, Partial<WebPushOptions>]>([
    ["bad-config keys: not a list of 1-16 pairs", { keys: [] }],
    ["bad-config keys: not a list of 1-16 pairs", { keys: undefined as unknown as [] }],
    ["bad-config keys: not a list of 1-16 pairs", { keys: Array.from({ length: 17 }, vapidPair) }],
    ["bad-config keys: two of them have one keyId", { keys: [pair, pair] }],
    ["bad-config keys: publicKey does not belong to privateKey", { keys: [{ ...pair, privateKey: vapidPair().privateKey }] }],
    ["bad-config subject: not a mailto: or https: address that others can reach", { subject: "sara" }],
    ["bad-url url: not a web address", { url: "/inbox" }],
    ["bad-url url: not a web address", { url: "javascript:alert(1)" }],
    ["bad-url url: longer than 1024 characters", { url: `https://example.org/${"a".repeat(1_024)}` }],
    ["bad-config title: not text of 1-256 characters", { title: " " }],
    ["bad-config title: not text of 1-256 characters", { title: "a".repeat(257) }],
    ["bad-config maxBytes: not a whole number from 512 to 3993", { maxBytes: 3_994 }],
    ["bad-config timeoutMs: not a whole number from 1 to 120000", { timeoutMs: 0 }],
    ["bad-url extraOrigins: not an origin with https", { extraOrigins: ["push.example.org"] }],
    ["bad-url extraOrigins: not an origin with https", { extraOrigins: ["https://push.example.org/up"] }],
    ["bad-url extraOrigins: not an origin with https", { extraOrigins: ["http://localhost:8080"] }],
  ])("%s", (fault, changed) => {
    const [, code, message] = /^(\S+) (.*)$/.exec(fault)!;
    expect(() => webPush({ ...basics, ...changed })).toThrow(
      expect.objectContaining({ name: "PeykError", code, message, hint: expect.any(String) }),
    );
  });
});

test("no key, token, endpoint or word is told anywhere, whatever goes wrong", async () => {
  const told: unknown[] = [];
  const spies = (["log", "info", "warn", "error", "debug"] as const).map((name) => {
    return vi.spyOn(console, name).mockImplementation((...all) => void told.push(all));
  });
  const browser = service.subscribe();
  const target = targetOf(browser);
  const to = provider({ timeoutMs: 200 });
  // The service repeats all it was told, as a careless one may.
  const echo = JSON.stringify({
    reason: browser.endpoint,
    errno: browser.keys.auth,
    message: `${browser.endpoint} ${pair.publicKey}`,
  });
  const headers = { "x-wns-notificationstatus": browser.endpoint, "retry-after": browser.keys.auth };
  for (const status of [200, 307, 400, 401, 403, 404, 406, 410, 413, 418, 429, 500, 503]) {
    service.answers.push({ status, headers, body: echo });
    told.push(await send(to, target));
  }
  service.answers.push("hang");
  told.push(await send(to, target), to.lane!(target), to.targetFault!(target));
  told.push(await send(provider({ ca: undefined as unknown as string }), target)); // a certificate that nobody trusts
  told.push(await send(provider({ extraOrigins: [] }), target));
  told.push(await send(to, { ...target, keyId: "other" }), to.targetFault!({ ...target, keyId: "other" }));
  for (const field of ["endpoint", "keys", "p256dh", "auth"]) {
    const token = target.token.replace(`"${field}":`, `"${field}x":`);
    told.push(to.targetFault!({ token }), await send(to, { token }));
  }
  for (
    const keys of [[{ ...pair, keyId: "a b" }], [pair, pair], [{ ...pair, publicKey: vapidPair().publicKey }], [{
      ...pair,
      privateKey: "",
    }]]
  ) {
    try {
      provider({ keys });
    } catch (error) {
      told.push(String(error), (error as Error).stack, JSON.stringify(error), JSON.stringify(Object.entries(error as object)));
    }
  }
  await service.close();
  told.push(await send(provider(), target));
  service = await new FakePushService().listen();
  for (const spy of spies) spy.mockRestore();

  const text = JSON.stringify(told);
  const { pathname } = new URL(browser.endpoint);
  const secrets = [pair.privateKey, browser.endpoint, pathname, browser.keys.auth, browser.keys.p256dh, "Hello", "eyJ"];
  expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
  expect(told.length).toBeGreaterThan(30);
});
