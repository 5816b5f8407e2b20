import { expect, test } from "vitest";
import { USUAL, type Way } from "./chances.ts";
import { hashOf, isWrong, report, shrink, type Walk, walk } from "./walk.ts";

const SEEDS = 400;
const EVENTS = 300;
/** Failing seeds that are told; one fault of the engine fails many. */
const TOLD = 3;

const LOADED_SEEDS = 60;
const LOADED_EVENTS = 200;

async function walkAll(seeds: number, events: number, way: Way): Promise<void> {
  const told: string[] = [];
  let wrong = 0;
  let must = 0;
  let not = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const one = await walk(seed, events, way);
    must += one.verdict.must;
    not += one.verdict.not;
    if (!isWrong(one)) continue;
    wrong++;
    if (told.length < TOLD) told.push(report(await shrink(one)));
  }
  // A judge that leaves everything open finds nothing.
  expect(must).toBeGreaterThan(seeds * 5);
  expect(not).toBeGreaterThan(seeds * 5);
  if (wrong > 0) throw new Error(`${wrong} of ${seeds} seeds went wrong\n\n${told.join("\n\n")}`);
}

test(
  `on one node everybody is pushed who must be, and nobody who must not (${SEEDS} seeds x ${EVENTS} events)`,
  () => walkAll(SEEDS, EVENTS, USUAL),
  180_000,
);

test(
  `also while accounts make load, and an idle user feels nothing of it (${LOADED_SEEDS} seeds x ${LOADED_EVENTS} events)`,
  () => walkAll(LOADED_SEEDS, LOADED_EVENTS, { load: true }),
  180_000,
);

test("the same seed goes the same way", async () => {
  const hash = ({ lines }: Walk): string => hashOf(lines);
  for (const seed of [3, 44, 71]) expect(hash(await walk(seed, EVENTS))).toBe(hash(await walk(seed, EVENTS)));
  const load = { load: true };
  expect(hash(await walk(6, EVENTS, load))).toBe(hash(await walk(6, EVENTS, load)));
  expect(hash(await walk(3, EVENTS))).not.toBe(hash(await walk(4, EVENTS)));
});
