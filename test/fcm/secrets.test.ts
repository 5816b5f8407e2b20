import { inspect } from "node:util";
import { afterEach, expect, test, vi } from "vitest";
import { fcmError, type Reply, violation } from "./fake_fcm.ts";
import { serviceAccount } from "./account.ts";
import { startStage } from "./stage.ts";

const target = "CANARYtoken0123:APA91bCANARYtoken";
const access = "ya29.CANARYaccess";
const whole = { depth: 9, maxArrayLength: null, maxStringLength: null };

afterEach(() => vi.restoreAllMocks());

/** All that the console was told. */
function listen(): () => string {
  const methods = ["log", "info", "warn", "error", "debug"] as const;
  const spies = methods.map((method) => vi.spyOn(console, method).mockImplementation(() => {}));
  return () => inspect(spies.map(({ mock }) => mock.calls), whole);
}

/** Answers that repeat what they were asked with, in every place that something is read from. */
function echoes(said: string): (Reply | "silent")[] {
  const quota = (text: string) => ({
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    violations: [{ subject: text, description: text }],
  });
  const headers = { "retry-after": said, location: `https://localhost/${said}`, "www-authenticate": said };
  const replies = [200, 302, 400, 401, 403, 404, 429, 500, 503].flatMap((status) => [
    { status, headers, body: said },
    { status, headers, body: { name: `projects/p/messages/${said}`, error: { status: said, message: said, details: [] } } },
    { ...fcmError(status, said, said, [violation(said), quota(said), quota(`device ${said}`)]), headers },
    { ...fcmError(status, "INVALID_ARGUMENT", "INVALID_ARGUMENT", [violation(`message.data[${said}]`), quota(said)]), headers },
  ]);
  return [...replies, "silent"];
}

test("no token and no key is in a verdict, an error or the console, whatever FCM answers", async () => {
  const told = listen();
  const { fake, provider, send } = await startStage({ timeoutMs: 100 });
  const results: unknown[] = [];
  fake.onToken = () => ({ status: 200, body: { access_token: access, expires_in: 3_600 } });
  for (const said of [target, access, `${target} and Bearer ${access} are no good`]) {
    for (const reply of echoes(said)) {
      fake.onSend = () => reply;
      results.push(await send(target, { collapseId: String(results.length) }).catch((error: unknown) => error));
    }
  }
  results.push(
    provider.lane!({ token: target }),
    provider.targetFault!({ token: `${target} ` }),
    inspect(provider, whole),
  );
  expect(results.length).toBeGreaterThan(30);
  expect(inspect(results, whole) + told()).not.toMatch(/CANARY/);
});

test("no assertion and no key is in them, whatever the endpoint for access tokens answers", async () => {
  const told = listen();
  const { fake, send } = await startStage({ timeoutMs: 100 });
  const results: unknown[] = [];
  for (const error of ["invalid_grant", "invalid_client", "CANARY"]) {
    for (const status of [200, 302, 400, 401, 503]) {
      fake.onToken = (asked) => {
        const said = `CANARY ${asked.get("assertion")}`;
        return {
          status,
          headers: { "retry-after": said },
          body: { error, error_description: said, access_token: `${said}\n`, expires_in: said },
        };
      };
      results.push(await send(target).catch((error: unknown) => error));
    }
  }
  fake.onToken = () => "silent";
  results.push(await send(target).catch((error: unknown) => error));
  const output = inspect(results, whole) + told();
  expect(results).toHaveLength(16);
  expect(output).not.toMatch(/CANARY/);
  expect(output).not.toContain(serviceAccount(fake.origin).private_key.split("\n")[1]);
  for (const assertion of fake.assertions) expect(output).not.toContain(assertion.split(".")[2]);
});
