import { describe, expect, test } from "vitest";
import { verdictOf } from "../../adapters/web_push/verdict.ts";

const chrome = new URL("https://fcm.googleapis.com/fcm/send/abc");
const firefox = new URL("https://updates.push.services.mozilla.com/wpush/v2/abc");
const safari = new URL("https://web.push.apple.com/abc");
const edge = new URL("https://wns2-par02p.notify.windows.com/w/?token=abc");
const own = new URL("https://push.example.org/abc");
const now = Date.parse("2026-11-27T12:00:00Z");

function verdict(endpoint: URL, status: number, headers: Record<string, string> = {}, body = "") {
  return verdictOf({ kind: "answer", status, header: (name) => headers[name], body }, endpoint, now);
}

describe("a service's answer", () => {
  test.each([200, 201, 202, 204])("%i: sent", (status) => {
    expect(verdict(own, status)).toEqual({ verdict: "sent", info: `HTTP ${status}` });
  });

  test.each([
    ["an address there", "https://push.example.org/m/1", "https://push.example.org/m/1"],
    ["a path", "/m/1", "https://push.example.org/m/1"],
    ["another origin", "https://evil.example/m/1", undefined],
    ["another port", "https://push.example.org:8443/m/1", undefined],
    ["no TLS", "http://push.example.org/m/1", undefined],
    ["no URL", "http://[", undefined],
    ["1,024 characters", `/${"a".repeat(1_024 - 25)}`, `https://push.example.org/${"a".repeat(1_024 - 25)}`],
    ["1,025 characters", `/${"a".repeat(1_025 - 25)}`, undefined],
  ])("with a Location of %s", (_what, location, handle) => {
    const result = verdict(own, 201, { location });
    expect(result).toEqual({ verdict: "sent", info: "HTTP 201", ...handle && { handle } });
  });

  test.each([301, 302, 307, 308])("%i: rejected, redirects are not followed", (status) => {
    const result = verdict(own, status, { location: "https://push.example.org/other" });
    expect(result).toEqual({ verdict: "rejected", reason: `HTTP ${status}: redirects are not followed` });
  });

  test.each([400, 402, 405, 406, 411, 413, 415, 422])("%i: rejected", (status) => {
    expect(verdict(own, status)).toEqual({ verdict: "rejected", reason: `HTTP ${status}` });
  });

  test.each([
    [firefox, 404, '{"code":404,"errno":102,"error":"Not Found"}', "HTTP 404, errno 102"],
    [firefox, 410, '{"code":410,"errno":106}', "HTTP 410, errno 106"],
    [chrome, 404, "A valid push subscription endpoint should be specified", "HTTP 404"],
    [safari, 410, '{"reason":"Unregistered"}', "HTTP 410, Unregistered"],
  ])("of a dead subscription: gone (%s %i)", (endpoint, status, body, reason) => {
    expect(verdict(endpoint, status, {}, body)).toEqual({ verdict: "gone", reason });
  });

  test.each([
    [firefox, 401, '{"code":401,"errno":109,"message":"Request did not validate abc"}', "HTTP 401, errno 109"],
    [chrome, 403, "the VAPID credentials in the authorization header do not correspond to the credentials", "HTTP 403"],
    [safari, 403, '{"reason":"BadJwtToken"}', "HTTP 403, BadJwtToken"],
    [safari, 400, '{"reason":"VapidPkHashMismatch"}', "HTTP 400, VapidPkHashMismatch"],
    [own, 401, "", "HTTP 401"],
  ])("that refuses access: unclear whose fault it is (%s %i)", (endpoint, status, body, reason) => {
    expect(verdict(endpoint, status, {}, body)).toEqual({ verdict: "retry", reason, scope: "unclear" });
  });

  test.each(
    [
      ["Chrome counts by sender", chrome, 429, {}, "service", "HTTP 429"],
      ["Edge, by app", edge, 406, { "x-wns-notificationstatus": "appthrottled" }, "service", "HTTP 406, appthrottled"],
      ["Edge, by channel", edge, 406, { "x-wns-notificationstatus": "channelThrottled" }, "target", "HTTP 406, channelthrottled"],
      ["Edge, as of late", edge, 429, {}, "service", "HTTP 429"],
      ["Firefox, for a bridge", firefox, 429, {}, "unclear", "HTTP 429"],
      ["Safari", safari, 429, {}, "unclear", "HTTP 429"],
      ["UnifiedPush", own, 429, {}, "unclear", "HTTP 429"],
      ["503", own, 503, {}, "service", "HTTP 503"],
      ["500", own, 500, {}, "unclear", "HTTP 500"],
      ["502", firefox, 502, {}, "unclear", "HTTP 502"],
    ] as const,
  )("that asks to wait: retry (%s)", (_what, endpoint, status, headers, scope, reason) => {
    expect(verdict(endpoint, status, headers)).toEqual({ verdict: "retry", reason, scope });
    expect(verdict(endpoint, status, { ...headers, "retry-after": "900" })).toEqual({
      verdict: "retry",
      reason,
      scope,
      afterMs: 900_000,
    });
    const date = "Fri, 27 Nov 2026 12:01:00 GMT";
    expect(verdict(endpoint, status, { ...headers, "retry-after": date })).toMatchObject({ afterMs: 60_000 });
  });

  test("of Edge that dropped it says so", () => {
    expect(verdict(edge, 201, { "x-wns-notificationstatus": "dropped" })).toEqual({ verdict: "sent", info: "HTTP 201, dropped" });
  });

  test.each([
    '{"reason":"https://push.example.org/abc"}',
    '{"errno":"abc"}',
    '{"errno":1.5}',
    '{"errno":123456}',
    "{]",
    "null",
    "abc",
  ])("is not repeated: %s", (body) => {
    const headers = { "x-wns-notificationstatus": "abc", "x-wns-error-description": "abc" };
    for (const status of [400, 401, 404, 429, 500]) {
      expect(verdict(own, status, headers, body)).toMatchObject({ reason: `HTTP ${status}` });
    }
  });

  test("that did not come: retry, with what the client says of it", () => {
    expect(verdictOf({ kind: "failure", reason: "no answer", scope: "service" }, own, now)).toEqual({
      ...{ verdict: "retry", reason: "no answer", scope: "service" },
    });
  });
});
