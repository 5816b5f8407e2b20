import { expect, onTestFinished, test, vi } from "vitest";
import { apns } from "../../adapters/apns.ts";
import type { FakeDecision } from "./fake_apns.ts";
import { app, deviceToken, stage } from "./stage.ts";

/** Answers that repeat the secrets of a request wherever an answer has room. */
function echoes(authorization: string): FakeDecision[] {
  const statuses = [200, 301, 400, 401, 403, 404, 410, 413, 429, 500, 503];
  return [
    ...statuses.flatMap((status): FakeDecision[] => [
      { status, reason: deviceToken, headers: { "apns-id": deviceToken, "retry-after": authorization, date: deviceToken } },
      { status, body: `${deviceToken} ${authorization}` },
      { status, body: JSON.stringify({ reason: `${deviceToken} ${authorization}`, timestamp: authorization }) },
    ]),
    "drop",
    "hang",
  ];
}

test("no key, provider token or device token is told, in whatever way a push ends", async () => {
  const consoles = (["log", "info", "warn", "error", "debug", "trace"] as const).map((name) =>
    vi.spyOn(console, name).mockImplementation(() => undefined)
  );
  onTestFinished(() => consoles.forEach((spy) => spy.mockRestore()));
  let at = 0;
  const { fake, key, provider, send } = await stage({
    answer: ({ headers }) => echoes(headers.authorization ?? "")[at],
  }, { timeoutMs: 100 });
  const told: unknown[] = [];
  const count = echoes("").length;
  for (; at < count; at++) told.push(await send());
  expect(fake.requests).toHaveLength(count);

  told.push(await send({}, { token: `${deviceToken}/..` }), await send({}, {}, AbortSignal.abort()));
  told.push(provider.lane?.({ token: deviceToken, app }), provider.targetFault?.({ token: `${deviceToken}zz`, app }));
  await fake.close();
  told.push(await send());
  await provider.close?.();
  told.push(await send());

  const { key: text, keyId, teamId } = key;
  for (
    const bad of [
      text.replace("\nM", "\nA"),
      text.slice(0, -40),
      text.replaceAll("\n", ""),
      text.replace("PRIVATE", "EC PRIVATE"),
    ]
  ) {
    try {
      apns({ keys: [{ key: bad, keyId, teamId, bundleIds: [app] }] });
      expect.unreachable("a damaged key was taken");
    } catch (error) {
      const { message, hint, cause, stack } = error as Error & { hint?: string };
      told.push(message, hint, String(cause), stack);
    }
  }

  const secrets = [
    deviceToken,
    ...fake.tokens.flatMap((token) => [token, ...token.split(".")]),
    ...text.split("\n").filter((line) => /^\w/.test(line)).map((line) => line.slice(1, 40)),
    fake.origin,
  ];
  const output = JSON.stringify([told, consoles.map((spy) => spy.mock.calls)]);
  expect(secrets.length).toBeGreaterThanOrEqual(8);
  expect(secrets.filter((secret) => output.includes(secret))).toEqual([]);
});
