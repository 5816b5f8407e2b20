import { expect, test } from "vitest";
import { openLive } from "../../src/delivery/opened_entry.ts";
import { type Sending, Unseen } from "../../src/delivery/unseen.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import { seededRandom } from "../engine/stage.ts";

const payload = encodePayload("hi", undefined);
const entry = openLive(
  "*/news",
  encodeEnvelope({ id: "m", from: undefined, sentAt: 0, expiresAt: 0, options: undefined, payload }),
);
let sent = 0;

function runOf(length: number): Sending[] {
  return Array.from({ length }, () => ({ entry, at: sent++ }));
}

function seen(unseen: Unseen, total: number): { count: number | undefined; sendings: Sending[] } {
  const sendings: Sending[] = [];
  const count = unseen.confirm(total, 0, (run, begin, end) => sendings.push(...run.slice(begin, end)));
  return { count, sendings };
}

test("what was sent together is confirmed in any parts, each frame once and in order", () => {
  const unseen = new Unseen();
  const run = runOf(5);
  unseen.push(run);
  expect(seen(unseen, 2)).toEqual({ count: 2, sendings: run.slice(0, 2) });
  expect([...unseen]).toEqual(run.slice(2));
  expect(unseen.oldest).toBe(run[2]);
  expect(seen(unseen, 2)).toEqual({ count: 0, sendings: [] });
  expect(seen(unseen, 5)).toEqual({ count: 3, sendings: run.slice(2) });
  expect([unseen.count, unseen.oldest]).toEqual([0, undefined]);
});

test("a run goes to several connections, and each confirms it for itself", () => {
  const [one, other] = [new Unseen(), new Unseen()];
  const run = runOf(3);
  one.push(run);
  other.push(run);
  expect(seen(one, 3).sendings).toEqual(run);
  expect([...other]).toEqual(run);
});

test("a count that is lower than before, or more than was sent, changes nothing", () => {
  const unseen = new Unseen();
  unseen.push(runOf(4));
  seen(unseen, 3);
  expect(seen(unseen, 2)).toEqual({ count: undefined, sendings: [] });
  expect(seen(unseen, 5)).toEqual({ count: undefined, sendings: [] });
  expect(unseen.count).toBe(1);
});

test("whatever comes in whatever runs, the window is the same as a plain list's", () => {
  const random = seededRandom(3);
  const unseen = new Unseen();
  const list: Sending[] = [];
  let total = 0;
  for (let turn = 0; turn < 20_000; turn++) {
    if (random.fraction() < 0.5 && list.length < 900) {
      const run = runOf(1 + Math.floor(random.fraction() * (turn % 3 === 0 ? 16 : 2)));
      unseen.push(run);
      list.push(...run);
    } else {
      // In the second half something is always left, so the places are never filled anew from the first one.
      const count = Math.floor(random.fraction() * (turn < 10_000 ? list.length + 1 : list.length));
      total += count;
      const { sendings } = seen(unseen, total);
      const expected = list.splice(0, count);
      if (sendings.length !== count || sendings.some((sending, index) => sending !== expected[index])) {
        expect(sendings).toEqual(expected);
      }
    }
    if (unseen.count !== list.length || unseen.oldest !== list[0]) {
      expect([unseen.count, unseen.oldest]).toEqual([list.length, list[0]]);
    }
    if (turn % 100 === 0) expect([...unseen]).toEqual(list);
  }
});
