import { describe, expect, test } from "vitest";
import { type Arrival, sentBy } from "../../adapters/gateway/forwarded.ts";
import { refusalOf } from "../../adapters/gateway/refusal.ts";
import { type UpgradeRules, upgradeRules } from "../../adapters/gateway/upgrade_rules.ts";
import { closeReason } from "../../adapters/gateway/close_reason.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { originAllowed, originFault } from "../../src/protocol/origin.ts";

describe("without an allow-list, a page's host must be the asked host", () => {
  test.each([
    ["http://example.org", "example.org"],
    ["https://example.org", "example.org"],
    ["https://example.org", "EXAMPLE.org"],
    ["https://example.org", "example.org:443"],
    ["http://example.org", "example.org:80"],
    ["http://example.org:8080", "example.org:8080"],
    ["http://127.0.0.1:3000", "127.0.0.1:3000"],
    ["http://[::1]:3000", "[::1]:3000"],
    [null, "example.org"],
    [null, null],
  ])("origin %s at host %s is allowed", (origin, host) => {
    expect(originAllowed(origin, host, undefined)).toBe(true);
  });

  test.each([
    ["https://evil.example", "example.org"],
    ["https://example.org.evil.example", "example.org"],
    ["https://sub.example.org", "example.org"],
    ["https://example.org:8443", "example.org"],
    ["http://example.org", "example.org:443"],
    ["http://localhost:3000", "127.0.0.1:3000"],
    ["null", "null"],
    ["null", "example.org"],
    ["", ""],
    ["", "example.org"],
    ["https://example.org", null],
    ["https://null", null],
    ["https://example.org", ""],
    ["https://example.org", "user@example.org"],
    ["https://example.org", "example.org/x"],
    ["https://example.org", "example.org\\x"],
    ["https://user@example.org", "example.org"],
    ["https://example.org/", "example.org"],
    ["ftp://example.org", "example.org"],
    ["file://", ""],
    ["chrome-extension://example.org", "example.org"],
    ["https://exa mple.org", "exa mple.org"],
    ["https://[", "["],
    ["javascript:alert(1)", "example.org"],
  ])("origin %j at host %j is refused", (origin, host) => {
    expect(originAllowed(origin, host, undefined)).toBe(false);
  });
});

describe("with an allow-list, only its entries are allowed", () => {
  const list = ["https://example.org", "capacitor://localhost"];
  test.each([
    ["https://example.org", true],
    ["capacitor://localhost", true],
    [null, true],
    ["https://example.org:443", false],
    ["https://EXAMPLE.org", false],
    ["https://example.org/", false],
    ["http://example.org", false],
    ["https://here.test", false], // the asked host: no longer enough
    ["null", false],
  ])("%s: %s", (origin, allowed) => {
    expect(originAllowed(origin, "here.test", list)).toBe(allowed);
  });

  test('"null" is allowed when it is listed', () => {
    expect(originAllowed("null", "here.test", ["null"])).toBe(true);
  });

  test("an empty list lets no page in", () => {
    expect(originAllowed("https://here.test", "here.test", [])).toBe(false);
  });
});

test.each([
  ["https://a.example.org", true],
  ["https://a.b-c.example.org", true],
  ["https://example.org", false],
  ["https://.example.org", false],
  ["https://a..example.org", false],
  ["http://a.example.org", false],
  ["http://abc.example.org", false],
  ["https://aexample.org", false],
  ["https://a.example.org:8443", false],
  ["https://a.example.org.evil.test", false],
  ["https://evil.test/.example.org", false],
  ["https://evil.test:1.example.org", false],
  ["https://u@evil.example.org", false],
])("the pattern https://*.example.org lets %s in: %s", (origin, allowed) => {
  expect(originAllowed(origin, "here.test", ["https://*.example.org"])).toBe(allowed);
});

test("a function decides with true alone, and a throw is a no", () => {
  const asked: string[] = [];
  const answers: unknown[] = [true, false, undefined, "yes", Promise.resolve(true)];
  const decide = (origin: string) => {
    asked.push(origin);
    if (answers.length === 0) throw new Error("no");
    return answers.shift() as boolean;
  };
  const { origins } = upgradeRules({ origins: decide });
  const said = Array.from({ length: 6 }, () => originAllowed("https://a.test", "a.test", origins));
  expect(said).toEqual([true, false, false, false, false, false]);
  expect(asked).toEqual(Array(6).fill("https://a.test"));
  expect(originAllowed(null, "a.test", origins)).toBe(true);
});

describe("options are checked at the start", () => {
  test.each([
    "https://example.org/",
    "https://Example.org",
    "example.org",
    "*",
    "https://example.org:443",
    "https://a b",
    "https://*",
    "https://*example.org",
    "https://a.*.example.org",
    "https://*.*.example.org",
    "https://*.Example.org",
    "*://*.example.org",
    "https://[",
    "",
  ])(
    "the origin %j is a bad-config",
    (origin) => {
      expect(originFault(origin)).toBeTypeOf("string");
      expect(() => upgradeRules({ origins: [origin] })).toThrow(expect.objectContaining({ code: "bad-config" }));
    },
  );

  test.each([
    "https://example.org",
    "http://localhost:3000",
    "http://[::1]:3000",
    "capacitor://localhost",
    "null",
    "https://*.example.org",
  ])(
    "the origin %j is fine",
    (origin) => expect(originFault(origin)).toBeUndefined(),
  );

  test.each(["peyk", "", "/a b", "/peyk?x=1", "/peyk#x"])("the path %j is a bad-config", (path) => {
    expect(() => upgradeRules({ path })).toThrow(PeykError);
  });
});

/** Why an upgrade with these headers is refused. A header that is null is left out. */
function refused(headers: Record<string, string | null>, rules: UpgradeRules = upgradeRules({}), method = "GET") {
  const right: Record<string, string | null> = {
    host: "here.test",
    "sec-websocket-protocol": "peyk.v1",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  const all = { ...right, ...headers };
  const arrival: Arrival = { method, peer: "203.0.113.9", scheme: "http", header: (name) => all[name] ?? null };
  return refusalOf(arrival, sentBy(arrival, rules.trusts), rules);
}

describe("an upgrade is refused", () => {
  test("never when everything is right", () => {
    expect(refused({})).toBeUndefined();
    expect(refused({ "sec-websocket-protocol": "other, peyk.v1" })).toBeUndefined();
    expect(refused({ "content-length": "0" })).toBeUndefined();
  });

  test("with 403 for a foreign origin", () => {
    expect(refused({ origin: "https://evil.example" })?.status).toBe(403);
  });

  test.each([null, "", "peyk.v2", "PEYK.V1", "peyk.v1x", "x-peyk.v1"])(
    "with 400 for the subprotocols %j, and says which to name",
    (protocols) => {
      const refusal = refused({ "sec-websocket-protocol": protocols });
      expect(refusal?.status).toBe(400);
      expect(refusal?.body).toContain("peyk.v1");
    },
  );

  test.each([
    null,
    "",
    "a b",
    "[",
    "a:b:c",
    "user@here.test",
    "here.test/x",
    "here.test?x",
    "here.test#x",
    "here.test\\x",
    "x:99999",
  ])(
    "with 400 for the host %j",
    (host) => expect(refused({ host })).toMatchObject({ status: 400, reason: "host", what: host ?? "none" }),
  );

  test.each([null, "", "7", "8", "13,13", "13, 13", "13.0", "0x0d", "x"])(
    "with 400 for the WebSocket version %j, and says which is spoken",
    (version) => {
      const refusal = refused({ "sec-websocket-version": version });
      expect(refusal).toMatchObject({ status: 400, reason: "handshake", headers: { "Sec-WebSocket-Version": "13" } });
      expect(refusal?.body).toContain("13");
    },
  );

  test.each([null, "", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==", "=".repeat(24)])(
    "with 400 for the key %j, which is not in the log",
    (key) => {
      const refusal = refused({ "sec-websocket-key": key });
      expect(refusal).toMatchObject({ status: 400, reason: "handshake", what: "GET with version 13" });
      expect(refusal?.body).toContain("Sec-WebSocket-Key");
    },
  );

  test.each(["POST", "HEAD", "OPTIONS", "get", "BREW"])("with 405 for the method %s", (method) => {
    expect(refused({}, undefined, method)).toMatchObject({ status: 405, headers: { Allow: "GET" }, reason: "handshake" });
  });

  test.each([{ "content-length": "5" }, { "content-length": "x" }, { "transfer-encoding": "chunked" }])(
    "with 400 for a body: %j",
    (headers) => expect(refused(headers)?.body).toContain("no body"),
  );
});

test("a close reason is cut to 123 bytes, between characters", () => {
  expect(closeReason("short")).toBe("short");
  expect(closeReason("x".repeat(200))).toBe("x".repeat(123));
  expect(closeReason("é".repeat(100))).toBe("é".repeat(61));
  expect(closeReason("🐦".repeat(40))).toBe("🐦".repeat(30));
});
