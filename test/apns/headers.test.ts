import { expect, test } from "vitest";
import { headersOf } from "../../adapters/apns/headers.ts";
import type { PushNotification } from "../../src/ports/push_provider.ts";
import type { PushAddress } from "../../src/protocol/target.ts";
import { app, deviceToken, notification } from "./stage.ts";

const now = 1_700_000_000_900;
const headers = (changes: Partial<PushNotification> = {}, target: Partial<PushAddress> = {}) =>
  headersOf({ token: deviceToken, app, ...target }, { ...notification, ...changes }, now);

test("an alert goes at once, to its app, as long as it is worth it", () => {
  expect(headers()).toEqual({
    "content-type": "application/json",
    "apns-topic": app,
    "apns-push-type": "alert",
    "apns-priority": "10",
    "apns-expiration": "1700000060",
    "apns-id": expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
    "apns-collapse-id": "c1",
  });
});

test("what is silent goes as a background push, and what is not urgent as the battery allows", () => {
  const ways = (["very-low", "low", "normal", "high"] as const).map((urgency) => [
    headers({ urgency })["apns-priority"],
    headers({ urgency, silent: true })["apns-priority"],
    headers({ urgency, silent: true })["apns-push-type"],
  ]);
  expect(ways).toEqual([["5", "5", "background"], ["5", "5", "background"], ["10", "5", "background"], [
    "10",
    "5",
    "background",
  ]]);
});

test("a time to live of 0 is tried once and not stored, and a part of a second is a whole one", () => {
  expect(headers({ ttl: 0 })["apns-expiration"]).toBe("0");
  expect(headers({ ttl: 0.5 })["apns-expiration"]).toBe("1700000001");
});

test("the id is the same on every try, and another for each target and message", () => {
  const id = (changes?: Partial<PushNotification>, target?: Partial<PushAddress>) => headers(changes, target)["apns-id"];
  expect(id({ ttl: 30, waiting: 4, alert: {} }, { environment: "production", locale: "fa-IR" })).toBe(id());
  expect(id({}, { token: deviceToken.toUpperCase() })).toBe(id());
  const others = [
    id(),
    id({}, { token: deviceToken.replace("c0ffee", "decade") }),
    id({}, { app: "org.example.other" }),
    id({}, { environment: "sandbox" }),
    id({ id: "m2" }),
    id({ topic: "u2/default" }),
    id({ collapseId: "c2" }),
  ];
  expect(new Set(others).size).toBe(others.length);
});

test("the collapse id is the message's own key, and never more than 64 bytes of plain text", () => {
  const collapse = (collapseKey: string) => headers({ alert: { collapseKey } })["apns-collapse-id"];
  expect(collapse("score-of-the-match")).toBe("score-of-the-match");
  expect(collapse("a".repeat(64))).toBe("a".repeat(64));
  const hashed = ["a".repeat(65), "نتیجه", "two words", "", "a\r\nx: y"].map(collapse);
  expect(hashed.every((id) => /^[\w-]{43}$/.test(id!))).toBe(true);
  expect(new Set(hashed).size).toBe(hashed.length);
  expect(headers({ collapseId: "ک".repeat(60) })["apns-collapse-id"]).toMatch(/^[\w-]{43}$/);
});
