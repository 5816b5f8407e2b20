import { describe, expect, test } from "vitest";
import { deviceToken, stage } from "./stage.ts";
import type { FakeAnswer } from "./fake_apns.ts";
import type { PushResult } from "../../src/ports/push_provider.ts";

const AT = 1_762_000_000_000;
const rejected = (reason: string): PushResult => ({ verdict: "rejected", reason });
const ofService = (reason: string): PushResult => ({ verdict: "retry", reason, scope: "service" });
const ofTarget = (reason: string): PushResult => ({ verdict: "retry", reason, scope: "target" });

/** [status, reason, what becomes of it, more of the answer] */
type Row = [status: number, reason: string | undefined, result: PushResult, more?: Partial<FakeAnswer>];

/** What Apple documents, and one reason of each kind that it does not. */
const rows: Row[] = [
  [410, "Unregistered", { verdict: "gone", reason: "HTTP 410 Unregistered", since: AT }, { timestamp: AT }],
  [410, "ExpiredToken", { verdict: "gone", reason: "HTTP 410 ExpiredToken", since: AT }, { timestamp: AT }],
  [410, "Unregistered", { verdict: "gone", reason: "HTTP 410 Unregistered" }],
  [410, undefined, { verdict: "gone", reason: "HTTP 410" }],
  [400, "BadDeviceToken", { verdict: "rejected", reason: "HTTP 400 BadDeviceToken", scope: "unclear" }],
  ...[
    ...["BadCollapseId", "InvalidCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "BadTopic"],
    ...["DeviceTokenNotForTopic", "DuplicateHeaders", "IdleTimeout", "InvalidPushType", "MissingDeviceToken", "MissingTopic"],
    ...["PayloadEmpty", "TopicDisallowed"],
  ].map((reason): Row => [400, reason, rejected(`HTTP 400 ${reason}`)]),
  [400, "SomethingNew", rejected("HTTP 400")],
  [404, "BadPath", rejected("HTTP 404 BadPath")],
  [405, "MethodNotAllowed", rejected("HTTP 405 MethodNotAllowed")],
  [413, "PayloadTooLarge", rejected("HTTP 413 PayloadTooLarge")],
  [301, undefined, rejected("HTTP 301: redirects are not followed"), { headers: { location: "https://localhost/" } }],
  ...[
    ...["BadCertificate", "BadCertificateEnvironment", "BadEnvironmentKeyInToken", "BadEnvironmentKeyIdInToken", "Forbidden"],
    ...["InvalidProviderToken", "MissingProviderToken", "UnrelatedKeyIdInToken"],
  ].map((reason): Row => [403, reason, ofService(`HTTP 403 ${reason}`)]),
  [403, "SomethingNew", ofService("HTTP 403")],
  [401, undefined, ofService("HTTP 401")],
  [429, "TooManyRequests", ofTarget("HTTP 429 TooManyRequests")],
  [429, "TooManyProviderTokenUpdates", ofService("HTTP 429 TooManyProviderTokenUpdates")],
  [429, undefined, ofTarget("HTTP 429")],
  [500, "InternalServerError", ofService("HTTP 500 InternalServerError")],
  [503, "ServiceUnavailable", ofService("HTTP 503 ServiceUnavailable")],
  [503, "Shutdown", ofService("HTTP 503 Shutdown")],
  [502, undefined, ofService("HTTP 502"), { body: "<html>" }],
  [599, undefined, ofService("HTTP 599")],
];

test.each(rows)("HTTP %i with %s, in one request", async (status, reason, result, more) => {
  const { fake, send } = await stage({ answer: () => ({ status, ...reason !== undefined && { reason }, ...more }) });
  expect(await send()).toEqual(result);
  expect(fake.requests).toHaveLength(1);
});

test.each(rows.filter(([, , { verdict }]) => verdict === "retry"))(
  "HTTP %i with %s, and when to come again",
  async (status, reason, result) => {
    const { send } = await stage({
      answer: () => ({ status, ...reason !== undefined && { reason }, headers: { "retry-after": "90" } }),
    });
    expect(await send()).toEqual({ ...result, afterMs: 90_000 });
  },
);

describe("a push that was taken", () => {
  test("is told by the id that Apple gives it", async () => {
    const { fake, send } = await stage();
    const [id] = [await send(), [...fake.taken.keys()][0]].reverse();
    expect(await send()).toEqual({ verdict: "sent", info: id });
  });

  test.each(["x", deviceToken, "", "not-a-uuid\u00e9"])("is told by its status where that is no id (%#)", async (id) => {
    const { send } = await stage({ answer: () => ({ status: 200, headers: { "apns-id": id } }) });
    expect(await send()).toEqual({ verdict: "sent", info: "HTTP 200" });
  });
});

describe("an answer's body", () => {
  test.each(["", "null", "[]", "7", "<html>", '{"reason":', '{"reason":{}}', "x".repeat(100_000), `{"reason":"${deviceToken}"}`])(
    "that says nothing known leaves the status (%#)",
    async (body) => {
      const { send } = await stage({ answer: () => ({ status: 400, body }) });
      expect(await send()).toEqual(rejected("HTTP 400"));
    },
  );

  test.each(['"soon"', "-1", "0", "1.5", "1e300", "null"])("has no time of death in %s", async (timestamp) => {
    const { send } = await stage({ answer: () => ({ status: 410, body: `{"reason":"Unregistered","timestamp":${timestamp}}` }) });
    expect(await send()).toEqual({ verdict: "gone", reason: "HTTP 410 Unregistered" });
  });
});

describe("a clock that is wrong", () => {
  const HOUR = 3_600_000;
  const dateOf = (time: number) => ({ date: new Date(time).toUTCString() });

  test.each([
    [-HOUR, "InvalidProviderToken", ": the clock here is 60 min ahead of the service's"],
    [HOUR, "InvalidProviderToken", ": the clock here is 60 min behind the service's"],
    [4 * 60_000, "InvalidProviderToken", ""],
    [HOUR, "Forbidden", ""],
    [HOUR, "ExpiredProviderToken", ": the clock here is 60 min behind the service's"],
    [0, "ExpiredProviderToken", ": the token is new, so the clock here may be behind"],
  ])("by %i ms is named with %s, where the service says its time", async (apart, reason, note) => {
    const { send } = await stage({ answer: () => ({ status: 403, reason, headers: dateOf(Date.now() + apart) }) });
    expect(await send()).toEqual(ofService(`HTTP 403 ${reason}${note}`));
  });

  test("is guessed where the service says none", async () => {
    const { send } = await stage({ answer: () => ({ status: 403, reason: "ExpiredProviderToken" }) });
    expect(await send()).toEqual(ofService("HTTP 403 ExpiredProviderToken: the token is new, so the clock here may be behind"));
    const { send: other } = await stage({
      answer: () => ({ status: 403, reason: "InvalidProviderToken", headers: { date: "soon" } }),
    });
    expect(await other()).toEqual(ofService("HTTP 403 InvalidProviderToken"));
  });
});
