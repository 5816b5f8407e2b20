import { expect, test } from "vitest";
import { systemRandom } from "../../src/system.ts";
import { createStage } from "./stage.ts";

test("explain remembers the last 10,000 messages and no more", async () => {
  const { engine, explain } = await createStage();
  for (let i = 0; i < 25_000; i++) await engine.publish({ to: "sara", id: `m${i}` });
  const known = async (i: number): Promise<boolean> => await explain(`m${i}`) !== undefined;
  expect(await Promise.all([0, 9_999, 10_000, 14_999].map(known))).toEqual([false, false, false, false]);
  expect(await Promise.all([15_000, 20_000, 24_999].map(known))).toEqual([true, true, true]);
});

test("ids are 128 bits each, and none comes twice", () => {
  const random = systemRandom();
  const ids = Array.from({ length: 1_000 }, () => random.id());
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/);
});
