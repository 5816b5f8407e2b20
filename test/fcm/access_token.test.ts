import { Buffer } from "node:buffer";
import { decodeJwt } from "jose";
import { describe, expect, test, vi } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { AccessToken } from "../../adapters/fcm/access_token.ts";
import { readAccount } from "../../adapters/fcm/service_account.ts";
import type { ServiceReply, ServiceRequest } from "../../adapters/push_service/service_request.ts";
import { serviceAccount } from "./account.ts";
import { fcmError, type Reply } from "./fake_fcm.ts";
import { startStage, token } from "./stage.ts";

const forever = new AbortController().signal;

function answer(status: number, body: object | string, headers: Record<string, string> = {}): ServiceReply {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { kind: "answer", status, body: text, header: (name) => headers[name] };
}

/** An access token before an endpoint that answers as it is told to. */
function before(reply: (count: number) => ServiceReply | Promise<ServiceReply>) {
  const clock = createManualClock();
  const requests: ServiceRequest[] = [];
  const client = {
    request: (request: ServiceRequest) => {
      requests.push(request);
      return Promise.resolve(reply(requests.length));
    },
  };
  return { clock, requests, accessToken: new AccessToken(readAccount(serviceAccount("https://a.example")), client, clock) };
}

const given = (count: number, seconds: unknown = 3_600): ServiceReply =>
  answer(200, { access_token: `token-${count}`, expires_in: seconds });
/** Long enough for an assertion that is being signed to have been sent. */
const signed = () => before(given).accessToken.get(forever);
const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 2 });

describe("an access token", () => {
  test("is asked for with an assertion of the service account", async () => {
    const { accessToken, clock, requests } = before(given);
    expect(await accessToken.get(forever)).toBe("token-1");
    const [{ body, headers, lane, url } = {} as ServiceRequest] = requests;
    const asked = new URLSearchParams(Buffer.from(body).toString());
    expect([url.href, lane, headers]).toEqual([
      "https://a.example/token",
      "my-project access token",
      { "content-type": "application/x-www-form-urlencoded" },
    ]);
    expect([...asked.keys()]).toEqual(["grant_type", "assertion"]);
    const iat = clock.now() / 1_000;
    expect(decodeJwt(asked.get("assertion")!)).toEqual({
      iss: "push@my-project.iam.gserviceaccount.com",
      scope: "https://www.googleapis.com/auth/firebase.messaging",
      aud: "https://a.example/token",
      iat,
      exp: iat + 3_600,
    });
  });

  test("is asked for once however many wait for it", async () => {
    const { accessToken, requests } = before(given);
    const all = await Promise.all(Array.from({ length: 20 }, () => accessToken.get(forever)));
    expect(new Set(all)).toEqual(new Set(["token-1"]));
    expect(requests).toHaveLength(1);
  });

  test("is renewed five minutes before its end, and is used meanwhile", async () => {
    const { accessToken, clock, requests } = before(given);
    await accessToken.get(forever);
    await clock.advance(3_299_999);
    expect(await accessToken.get(forever)).toBe("token-1");
    expect(requests).toHaveLength(1);
    await clock.advance(1);
    expect([await accessToken.get(forever), await accessToken.get(forever)]).toEqual(["token-1", "token-1"]);
    await until(() => requests.length === 2);
    await clock.settle();
    expect(await accessToken.get(forever)).toBe("token-2");
    expect(requests).toHaveLength(2);
  });

  test("is used until shortly before its end where it can't be renewed", async () => {
    const { accessToken, clock, requests } = before((count) => count === 1 ? given(1) : answer(503, ""));
    await accessToken.get(forever);
    await clock.advance(3_300_000);
    for (let tries = 0; tries < 5; tries++) {
      expect(await accessToken.get(forever)).toBe("token-1");
      await until(() => requests.length === 2);
    }
    await clock.advance(29_999);
    expect(await accessToken.get(forever)).toBe("token-1");
    await signed();
    expect(requests).toHaveLength(2);
    await clock.advance(1);
    await accessToken.get(forever);
    await until(() => requests.length === 3);
    await clock.advance(240_000);
    expect(await accessToken.get(forever)).toEqual({ verdict: "retry", reason: "access token: HTTP 503", scope: "service" });
  });

  test.each([[120, 60_000], ["soon", 3_300_000], [999_999, 3_300_000], [-1, 3_300_000]])(
    "that lasts for %s s is renewed after %s ms",
    async (seconds, renewMs) => {
      const { accessToken, clock, requests } = before((count) => given(count, seconds));
      await accessToken.get(forever);
      await clock.advance(renewMs - 1);
      await accessToken.get(forever);
      await signed();
      expect(requests).toHaveLength(1);
      await clock.advance(1);
      await accessToken.get(forever);
      await until(() => requests.length === 2);
    },
  );

  test("that is refused is replaced once, however many pushes were refused", async () => {
    const { accessToken, requests } = before(given);
    await accessToken.get(forever);
    accessToken.refuse("token-1");
    expect(await accessToken.get(forever)).toBe("token-2");
    accessToken.refuse("token-1");
    expect(await accessToken.get(forever)).toBe("token-2");
    expect(requests).toHaveLength(2);
  });

  test("is waited for no longer by a push that is given up, and is there for the others", async () => {
    const { promise, resolve } = Promise.withResolvers<ServiceReply>();
    const { accessToken, requests } = before(() => promise);
    const controller = new AbortController();
    const [givenUp, other] = [accessToken.get(controller.signal), accessToken.get(forever)];
    controller.abort();
    expect(await givenUp).toEqual({ verdict: "retry", reason: "aborted", scope: "target" });
    await until(() => requests.length === 1);
    expect(requests[0]!.signal.aborted).toBe(false);
    resolve(given(1));
    expect(await other).toBe("token-1");
  });
});

describe("an access token that is not given", () => {
  const now = Date.UTC(2026, 0, 1);
  const grantError = (description: string, date = now): ServiceReply =>
    answer(400, { error: "invalid_grant", error_description: description }, { date: new Date(date).toUTCString() });
  const timeframe = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";

  test.each<[string, ServiceReply, string, number?]>([
    ["a clock an hour fast", grantError(timeframe, now - 3_600_000), "invalid_grant, the clock here is 60 minutes fast"],
    ["a clock an hour slow", grantError(timeframe, now + 3_600_000), "invalid_grant, the clock here is 60 minutes slow"],
    [
      "a clock that nobody can compare",
      answer(400, { error: "invalid_grant", error_description: timeframe }),
      "invalid_grant, the clock here is wrong",
    ],
    [
      "a withdrawn key",
      grantError("Invalid JWT Signature."),
      "invalid_grant, the key is not, or no longer, one of the service account",
    ],
    ["a deleted account", grantError("Invalid grant: account not found"), "invalid_grant, there is no such service account"],
    ["another grant", grantError("Bad Request"), "invalid_grant, the service account or its key is not accepted"],
    ["a disabled account", answer(401, { error: "disabled_client" }), "disabled_client"],
    ["a code of its own", answer(400, { error: "the_secret_is_abc" }), "HTTP 400"],
    ["an error page", answer(502, "<html>"), "HTTP 502"],
    ["a busy endpoint", answer(503, "", { "retry-after": "7" }), "HTTP 503", 7_000],
    ["an empty answer", answer(200, {}), "the answer holds none"],
    ["a token that is no header", answer(200, { access_token: "a\r\nb" }), "the answer holds none"],
    ["JSON of another form", answer(200, "[1]"), "the answer holds none"],
    [
      "no answer",
      { kind: "failure", reason: "connection failed: ECONNREFUSED", scope: "target" },
      "connection failed: ECONNREFUSED",
    ],
  ])("because of %s holds up the project and says why", async (_what, reply, reason, afterMs) => {
    const { accessToken } = before(() => reply);
    const want = {
      verdict: "retry",
      reason: `access token: ${reason}`,
      scope: "service",
      ...afterMs !== undefined && { afterMs },
    };
    expect(await accessToken.get(forever)).toEqual(want);
  });
});

describe("a project", () => {
  test("asks for one access token for many pushes", async () => {
    const { fake, send } = await startStage();
    const results = await Promise.all(Array.from({ length: 50 }, () => send()));
    expect(new Set(results.map(({ verdict }) => verdict))).toEqual(new Set(["sent"]));
    expect([fake.sent.length, fake.assertions.length]).toEqual([50, 1]);
  });

  test("asks for another one, once, when it was withdrawn, and no push is lost", async () => {
    const { fake, send } = await startStage();
    await send();
    fake.withdrawTokens();
    const results = await Promise.all(Array.from({ length: 20 }, () => send()));
    expect(new Set(results.map(({ verdict }) => verdict))).toEqual(new Set(["sent"]));
    expect([fake.sent.length, fake.assertions.length]).toEqual([41, 2]);
  });

  test.each<[string, Reply, string]>([
    [
      "refuses",
      { status: 400, body: { error: "invalid_grant", error_description: "Invalid JWT Signature." } },
      "invalid_grant, the key is not, or no longer, one of the service account",
    ],
    ["is busy", { status: 503, body: "" }, "HTTP 503"],
  ])("sends nothing while the endpoint %s", async (_what, reply, reason) => {
    const { fake, send } = await startStage();
    fake.onToken = () => reply;
    expect(await send()).toMatchObject({ verdict: "retry", reason: `access token: ${reason}`, scope: "service" });
    expect(fake.sent).toHaveLength(0);
    fake.onToken = () => undefined;
    expect(await send()).toMatchObject({ verdict: "sent" });
  });

  test("gives up what it asks for when the provider closes", async () => {
    const { fake, provider, send } = await startStage();
    fake.onToken = () => "silent";
    const sending = send();
    await until(() => fake.assertions.length === 1);
    await provider.close!();
    expect(await sending).toMatchObject({ verdict: "retry" });
    expect(fake.sent).toHaveLength(0);
  });

  test("says so when no other access token is accepted either", async () => {
    const { fake, send } = await startStage();
    fake.onSend = () => fcmError(401, "UNAUTHENTICATED");
    const results = await Promise.all([send(), send(token, { collapseId: "two" })]);
    expect(results.map((result) => "scope" in result && result.scope)).toEqual(["service", "service"]);
    expect(fake.assertions).toHaveLength(2);
  });
});
