import { expect, test } from "vitest";
import { hashOf, isWrong, report, shrink, type Walk, walk } from "./walk.ts";

const SEEDS = 400;
const EVENTS = 300;
/** Failing seeds that are told; one fault of the engine fails many. */
const TOLD = 3;

test(`on one node everybody is pushed who must be, and nobody who must not (${SEEDS} seeds x ${EVENTS} events)`, async () => {
  const told: string[] = [];
  let wrong = 0;
  let must = 0;
  let not = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const one = await walk(seed, EVENTS);
    must += one.verdict.must;
    not += one.verdict.not;
    if (!isWrong(one)) continue;
    wrong++;
    if (told.length < TOLD) told.push(report(await shrink(one)));
  }
  // A judge that leaves everything open finds nothing.
  expect(must).toBeGreaterThan(SEEDS * 5);
  expect(not).toBeGreaterThan(SEEDS * 5);
  if (wrong > 0) throw new Error(`${wrong} of ${SEEDS} seeds went wrong\n\n${told.join("\n\n")}`);
}, 180_000);

test("the same seed goes the same way", async () => {
  const hash = ({ lines }: Walk): string => hashOf(lines);
  for (const seed of [3, 44, 71]) expect(hash(await walk(seed, EVENTS))).toBe(hash(await walk(seed, EVENTS)));
  expect(hash(await walk(3, EVENTS))).not.toBe(hash(await walk(4, EVENTS)));
});
