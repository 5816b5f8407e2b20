import { expect, test } from "vitest";
import { Rates } from "../../src/gateway/rate.ts";

test("each user may take twice a second's worth at once, and goes on at the rate", () => {
  const rates = new Rates(10);
  const waits = Array.from({ length: 22 }, () => rates.take("sara", 1_000));
  expect(waits).toEqual([...Array.from({ length: 20 }, () => 0), 100, 100]);
  expect(rates.take("nima", 1_000)).toBe(0);
  expect(rates.take("sara", 1_100)).toBe(0);
  expect(rates.take("sara", 1_100)).toBe(100);
});

test("users who publish once and never again are not remembered", () => {
  const rates = new Rates(100);
  for (let second = 1; second <= 5_000; second++) rates.take(`guest ${second}`, second * 1_000);
  expect(rates.size).toBe(1);
});

test("who has taken more than has become free again is remembered while others come and go", () => {
  const rates = new Rates(10);
  for (let taken = 0; taken < 20; taken++) rates.take("sara", 0);
  for (let ms = 1; ms < 100; ms++) expect(rates.take(`guest ${ms}`, ms)).toBe(0);
  expect(rates.take("sara", 99)).toBe(1);
});

test("of more than 10,000 at once whoever has been quiet longest is forgotten", () => {
  const rates = new Rates(1);
  for (let user = 0; user < 12_000; user++) rates.take(`user ${user}`, 0);
  expect(rates.size).toBe(10_000);
});
