import { createPrivateKey, createPublicKey } from "node:crypto";
import { jwtVerify } from "jose";
import { expect, test } from "vitest";
import { ProviderToken } from "../../adapters/apns/provider_token.ts";
import { fakeKey } from "./fake_apns.ts";

const MINUTE = 60_000;
const { key, keyId, teamId, publicKey } = fakeKey();

/** A token on a clock that the test sets. */
function start(signingKey = createPrivateKey(key)) {
  const clock = { now: Date.UTC(2026, 10, 1) };
  return { clock, token: new ProviderToken({ key: signingKey, keyId, teamId, now: () => clock.now }) };
}

test("a provider token names key and team, is signed with ES256, and is of the minute before", async () => {
  const { clock, token } = start();
  const { payload, protectedHeader } = await jwtVerify(await token.current().text, publicKey);
  expect(protectedHeader).toEqual({ alg: "ES256", kid: keyId });
  expect(payload).toEqual({ iss: teamId, iat: clock.now / 1_000 - 60 });
});

test("one token is for all for 50 minutes from its first use, and then another", () => {
  const { clock, token } = start();
  clock.now += 600 * MINUTE; // made, and not used yet
  const first = token.current();
  const times = [0, 1, 19, 20, 49, 50];
  for (const minutes of times) {
    clock.now += minutes * MINUTE - (times[times.indexOf(minutes) - 1] ?? 0) * MINUTE;
    expect([minutes, token.current() === first]).toEqual([minutes, true]);
  }
  clock.now += 1;
  const second = token.current();
  expect(second).not.toBe(first);
  expect(token.current()).toBe(second);
  expect(second.series).toBe(first.series);
});

test("a clock that is set back makes a new token, one that wavers does not", () => {
  const { clock, token } = start();
  const first = token.current();
  clock.now -= MINUTE;
  expect(token.current()).toBe(first);
  clock.now -= 1;
  expect(token.current()).not.toBe(first);
});

test("a token that the service calls expired is replaced once for all who were told so", () => {
  const { token } = start();
  const expired = token.current();
  const others = Array.from({ length: 100 }, () => token.another(expired));
  expect(new Set(others).size).toBe(1);
  expect(others[0]).toBeDefined();
  expect(others[0]).not.toBe(expired);
  expect(token.current()).toBe(others[0]);
  expect(others[0]!.series).not.toBe(expired.series);
});

test("a new token that is called expired too is kept, until 20 minutes have passed", () => {
  const { clock, token } = start();
  const second = token.another(token.current())!;
  expect(token.another(second)).toBeUndefined();
  clock.now += 20 * MINUTE - 1;
  expect(token.another(second)).toBeUndefined();
  expect(token.current()).toBe(second);
  clock.now += 1;
  const third = token.another(second);
  expect(third).toBeDefined();
  expect(token.another(third!)).toBeUndefined();
});

test("a token that could not be signed is tried again", async () => {
  const { token } = start(createPublicKey(key));
  const first = token.current();
  await expect(first.text).rejects.toThrow();
  expect(token.current()).not.toBe(first);
});
