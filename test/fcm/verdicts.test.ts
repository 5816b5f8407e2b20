import { describe, expect, test } from "vitest";
import type { PushResult } from "../../src/ports/push_provider.ts";
import { fcmError, type Reply, violation } from "./fake_fcm.ts";
import { startStage, token } from "./stage.ts";

const quota = (...violations: object[]) => ({ "@type": "type.googleapis.com/google.rpc.QuotaFailure", violations });
/** As seen: https://github.com/firebase/firebase-admin-go/issues/719 */
const rateLimit = {
  "@type": "type.googleapis.com/google.rpc.ErrorInfo",
  reason: "RATE_LIMIT_EXCEEDED",
  domain: "googleapis.com",
  metadata: { quota_limit: "SendsPerMinutePerProject", quota_unit: "1/min/{project}", service: "fcm.googleapis.com" },
};
const after = (seconds: string, reply: Reply): Reply => ({ ...reply, headers: { "retry-after": seconds } });

interface Row {
  what: string;
  reply: Reply;
  want: PushResult;
  /** Requests for pushes and for access tokens. Default one of each. */
  requests?: [sends: number, tokens: number];
}

const retry = (reason: string, scope: "target" | "unclear" | "service", afterMs?: number): PushResult => ({
  verdict: "retry",
  reason,
  scope,
  ...afterMs !== undefined && { afterMs },
});

const rows: Row[] = [
  {
    what: "200",
    reply: { status: 200, body: { name: "projects/my-project/messages/0:1500415314455276%31bd1c9631bd1c96" } },
    want: { verdict: "sent", info: "0:1500415314455276%31bd1c9631bd1c96" },
  },
  {
    what: "200 that names nothing",
    reply: { status: 200, body: { name: `projects/my-project/messages/${token}${token}` } },
    want: { verdict: "sent", info: "HTTP 200" },
  },
  {
    what: "404 UNREGISTERED",
    reply: fcmError(404, "NOT_FOUND", "UNREGISTERED"),
    want: { verdict: "gone", reason: "HTTP 404 UNREGISTERED" },
  },
  {
    what: "404 that does not name the target",
    reply: fcmError(404, "NOT_FOUND"),
    want: retry("HTTP 404 NOT_FOUND: the project or the path is not there", "unclear"),
  },
  {
    what: "404 of something else than FCM",
    reply: { status: 404, body: "<html>Not Found</html>" },
    want: retry("HTTP 404: the project or the path is not there", "service"),
  },
  {
    what: "400 that names a field",
    reply: fcmError(400, "INVALID_ARGUMENT", undefined, [violation("message.data[0].value")]),
    want: { verdict: "rejected", reason: "HTTP 400 INVALID_ARGUMENT: message.data[0].value" },
  },
  {
    what: "400 that names a field, with FCM's own code too",
    reply: fcmError(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", [violation("message.android.ttl")]),
    want: { verdict: "rejected", reason: "HTTP 400 INVALID_ARGUMENT: message.android.ttl" },
  },
  {
    what: "400 that names a field in its own words",
    reply: fcmError(400, "INVALID_ARGUMENT", undefined, [violation(`the token ${token}`)]),
    want: { verdict: "rejected", reason: "HTTP 400 INVALID_ARGUMENT: a field" },
  },
  {
    what: "400 that names the token",
    reply: fcmError(400, "INVALID_ARGUMENT", undefined, [violation("message.token")]),
    want: { verdict: "rejected", reason: "HTTP 400 INVALID_ARGUMENT", scope: "unclear" },
  },
  {
    what: "400 with FCM's own code alone",
    reply: fcmError(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    want: { verdict: "rejected", reason: "HTTP 400 INVALID_ARGUMENT", scope: "unclear" },
  },
  {
    what: "400 that says nothing, as for what is too large",
    reply: fcmError(400, "INVALID_ARGUMENT"),
    want: { verdict: "rejected", reason: "HTTP 400 INVALID_ARGUMENT" },
  },
  {
    what: "403 SENDER_ID_MISMATCH",
    reply: fcmError(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    want: retry("HTTP 403 SENDER_ID_MISMATCH", "unclear"),
  },
  {
    what: "401 THIRD_PARTY_AUTH_ERROR",
    reply: fcmError(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
    want: retry("HTTP 401 THIRD_PARTY_AUTH_ERROR", "unclear"),
  },
  {
    what: "401 UNAUTHENTICATED",
    reply: fcmError(401, "UNAUTHENTICATED"),
    want: retry("HTTP 401 UNAUTHENTICATED", "service"),
    requests: [2, 2],
  },
  {
    what: "403 PERMISSION_DENIED",
    reply: fcmError(403, "PERMISSION_DENIED"),
    want: retry("HTTP 403 PERMISSION_DENIED", "service"),
    requests: [2, 2],
  },
  {
    what: "429 of the project's quota",
    reply: fcmError(429, "RESOURCE_EXHAUSTED", undefined, [rateLimit]),
    want: retry("HTTP 429 RESOURCE_EXHAUSTED: the project's quota", "service", 60_000),
  },
  {
    what: "429 of the project's quota, again sooner than a minute",
    reply: after("7", fcmError(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", [quota({ subject: "project:my-project" })])),
    want: retry("HTTP 429 QUOTA_EXCEEDED: the project's quota", "service", 60_000),
  },
  {
    what: "429 of the project's quota, again later than a minute",
    reply: after("90", fcmError(429, "RESOURCE_EXHAUSTED", undefined, [rateLimit])),
    want: retry("HTTP 429 RESOURCE_EXHAUSTED: the project's quota", "service", 90_000),
  },
  {
    what: "429 of the device's quota",
    reply: fcmError(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", [
      quota({ subject: token, description: "Device message rate exceeded" }),
    ]),
    want: retry("HTTP 429 QUOTA_EXCEEDED: the device's quota", "target", 60_000),
  },
  {
    what: "429 of the device's quota, with a time",
    reply: after("7", fcmError(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", [quota({ description: "device" })])),
    want: retry("HTTP 429 QUOTA_EXCEEDED: the device's quota", "target", 7_000),
  },
  {
    what: "429 of a quota that is not named",
    reply: fcmError(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
    want: retry("HTTP 429 QUOTA_EXCEEDED", "unclear", 60_000),
  },
  {
    what: "429 of an overload",
    reply: { status: 429, body: "<html>Too many</html>" },
    want: retry("HTTP 429", "service", 60_000),
  },
  {
    what: "500",
    reply: fcmError(500, "INTERNAL", "INTERNAL"),
    want: retry("HTTP 500 INTERNAL", "service"),
  },
  {
    what: "503 with a time",
    reply: after("7", fcmError(503, "UNAVAILABLE", "UNAVAILABLE")),
    want: retry("HTTP 503 UNAVAILABLE", "service", 7_000),
  },
  {
    what: "503 of something else than FCM",
    reply: { status: 503, body: "<html>busy</html>" },
    want: retry("HTTP 503", "service"),
  },
  {
    what: "a redirect",
    reply: { status: 302, headers: { location: "https://localhost:1/" }, body: "" },
    want: retry("HTTP 302", "service"),
  },
  {
    what: "another refusal",
    reply: fcmError(412, "FAILED_PRECONDITION"),
    want: { verdict: "rejected", reason: "HTTP 412 FAILED_PRECONDITION" },
  },
  {
    what: "JSON that is no error",
    reply: { status: 418, body: "null" },
    want: { verdict: "rejected", reason: "HTTP 418" },
  },
];

describe("FCM's answer", () => {
  test.each(rows)("$what", async ({ reply, want, requests = [1, 1] }) => {
    const { fake, send } = await startStage();
    fake.onSend = () => reply;
    expect(await send()).toEqual(want);
    expect([fake.sent.length, fake.assertions.length]).toEqual(requests);
  });

  test("to a push of the usual kind is a name", async () => {
    const { fake, send } = await startStage();
    expect(await send()).toEqual({ verdict: "sent", info: "0:170000001%31bd1c9631bd1c96" });
    expect(fake.sent[0]).toMatchObject({ projectId: "my-project", bearer: "ya29.access-token-1", message: { token } });
  });
});

describe("a target of which FCM says INVALID_ARGUMENT and no more", () => {
  const bare = fcmError(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  const rests = { verdict: "rejected", scope: "unclear" };

  test("is dead when a second push meets the same", async () => {
    const { fake, send } = await startStage();
    fake.onSend = () => bare;
    expect(await send(token, { collapseId: "one" })).toMatchObject(rests);
    expect(await send(token, { collapseId: "one" })).toMatchObject(rests);
    expect(await send(token, { collapseId: "two" })).toEqual({
      verdict: "gone",
      reason: "HTTP 400 INVALID_ARGUMENT, for two pushes",
    });
  });

  test("is not when a push was taken in between", async () => {
    const { fake, send } = await startStage();
    fake.onSend = (_, count) => count === 2 ? undefined : bare;
    expect(await send(token, { collapseId: "one" })).toMatchObject(rests);
    expect(await send(token, { collapseId: "two" })).toMatchObject({ verdict: "sent" });
    expect(await send(token, { collapseId: "three" })).toMatchObject(rests);
  });

  test("is not for what another target met", async () => {
    const { fake, send } = await startStage();
    fake.onSend = () => bare;
    expect(await send("another:token", { collapseId: "one" })).toMatchObject(rests);
    expect(await send(token, { collapseId: "two" })).toMatchObject(rests);
  });

  test("is not when three in a row meet it: the pushes are bad then", async () => {
    const { fake, send } = await startStage();
    fake.onSend = ({ message }) => message.token === "a:fine-one" ? undefined : bare;
    for (const collapseId of ["one", "two"]) {
      for (const target of ["a:token", "b:token", "c:token"]) {
        if (collapseId === "one") expect(await send(target, { collapseId })).toMatchObject(rests);
      }
    }
    expect(await send("a:token", { collapseId: "two" })).toMatchObject(rests);
    await send("a:fine-one");
    expect(await send("a:token", { collapseId: "three" })).toMatchObject({ verdict: "gone" });
  });
});

describe("a push", () => {
  test("that is too large for FCM is rejected before any request", async () => {
    const { fake, send } = await startStage();
    expect(await send(token, { id: "a".repeat(5_000) })).toEqual({ verdict: "rejected", reason: "larger than 4096 bytes" });
    expect([fake.sent.length, fake.assertions.length]).toEqual([0, 0]);
  });

  test("for which FCM is silent is tried again", async () => {
    const { fake, send } = await startStage({ timeoutMs: 200 });
    fake.onSend = () => "silent";
    expect(await send()).toMatchObject({ verdict: "retry" });
    expect(fake.sent).toHaveLength(1);
  });

  test("beyond the project's pace waits, and comes again where it would wait long", async () => {
    const { fake, send } = await startStage({ pushesPerSecond: 1 });
    const results = await Promise.all([send(token, {}, { nodes: 10 }), send(), send()]);
    expect(results.map(({ verdict }) => verdict)).toEqual(["sent", "retry", "retry"]);
    expect(results[1]).toEqual({
      verdict: "retry",
      reason: "more than 1 pushes a second",
      scope: "target",
      afterMs: expect.any(Number),
    });
    expect(fake.sent).toHaveLength(1);
  });
});
