import { expect, test } from "vitest";
import { Ranges } from "./ranges.ts";

test("of more than eight ranges apart from each other the lowest is forgotten", () => {
  const ranges = new Ranges();
  for (let offset = 2; offset <= 16; offset += 2) ranges.add(offset - 1, offset);
  expect(ranges.forgotten).toBe(0);
  ranges.add(17, 18);
  expect(ranges.forgotten).toBe(2);
});

test("ranges that meet become one", () => {
  const ranges = new Ranges();
  for (let offset = 1; offset <= 100; offset++) ranges.add(offset - 1, offset);
  for (let offset = 200; offset > 150; offset--) ranges.add(offset - 1, offset);
  for (let offset = 302; offset <= 312; offset += 2) ranges.add(offset - 1, offset);
  expect(ranges.forgotten).toBe(0);
  ranges.add(0, 400);
  for (let offset = 502; offset <= 514; offset += 2) ranges.add(offset - 1, offset);
  expect(ranges.forgotten).toBe(0);
});
