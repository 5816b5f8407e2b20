import { expect, test } from "vitest";
import { type CacheBytes, createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { type OpenedEntry, openEntry } from "../../src/delivery/opened_entry.ts";
import { Remembered, type RememberedEntry } from "../../src/delivery/remembered.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import { seededRandom } from "../engine/stage.ts";

const KEPT = 1_024;
/** Of an entry of one letter. */
const weight = 161;
const payload = encodePayload("hi", undefined);
const bytes = encodeEnvelope({ id: "m", from: undefined, sentAt: 0, expiresAt: 0, options: undefined, payload });

function held(): CacheBytes {
  return createCacheBytes();
}

function entryAt(offset: number, previous: number = offset - 1): OpenedEntry {
  const entry = openEntry({ topic: "*/news", epoch: 1, offset, previous, bytes, expiresAt: Infinity });
  entry.account = { delivered: 0 };
  return entry;
}

function longAt(offset: number, length: number): RememberedEntry {
  return {
    id: "m".repeat(length),
    from: undefined,
    expiresAt: Infinity,
    account: undefined,
    previous: offset - 1,
    position: { epoch: 1, offset },
  };
}

function least(offsets: Iterable<number>): number | undefined {
  const all = [...offsets];
  return all.length === 0 ? undefined : Math.min(...all);
}

function offsetsBetween(remembered: Remembered, from: number, to: number): number[] {
  const offsets: number[] = [];
  remembered.between(from, to, ({ position }) => offsets.push(position.offset));
  return offsets;
}

test("offsets may have holes: a range is the entries in it, without the one it begins behind", () => {
  const remembered = new Remembered("*/news", held());
  for (const offset of [3, 7, 8, 20]) remembered.add(entryAt(offset));
  expect(offsetsBetween(remembered, 0, 100)).toEqual([3, 7, 8, 20]);
  expect(offsetsBetween(remembered, 3, 8)).toEqual([7, 8]);
  expect(offsetsBetween(remembered, 4, 19)).toEqual([7, 8]);
  expect(offsetsBetween(remembered, 8, 19)).toEqual([]);
  expect(remembered.first).toBe(3);
});

test("a range is whole when no entry in it was forgotten, or never remembered", () => {
  const remembered = new Remembered("*/news", held());
  for (const [offset, previous] of [[7, 3], [8, 7], [20, 12]] as const) remembered.add(entryAt(offset, previous));
  const isWhole = (from: number, to: number): boolean => remembered.between(from, to, () => {});
  expect([isWhole(3, 8), isWhole(5, 7), isWhole(8, 8), isWhole(12, 20)]).toEqual([true, true, true, true]);
  expect([isWhole(2, 8), isWhole(8, 20), isWhole(7, 9), isWhole(30, 31)]).toEqual([false, false, false, false]);
});

test("what comes late stands where its offset belongs, and the same one again takes the other's place", () => {
  const remembered = new Remembered("*/news", held());
  for (const offset of [10, 20, 5, 15]) remembered.add(entryAt(offset));
  const again = entryAt(15);
  remembered.add(again);
  expect(offsetsBetween(remembered, 0, 100)).toEqual([5, 10, 15, 20]);
  remembered.between(14, 15, ({ account }) => expect(account).toBe(again.account));
});

test("of many the ones last remembered are kept, even when those are the older ones", () => {
  const remembered = new Remembered("*/news", held());
  for (let offset = 2_001; offset <= 2_000 + KEPT; offset++) remembered.add(entryAt(offset));
  for (let offset = 1; offset <= 10; offset++) remembered.add(entryAt(offset));
  expect(offsetsBetween(remembered, 0, 2_000)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(offsetsBetween(remembered, 2_000, 2_012)).toEqual([2_011, 2_012]);
  expect(offsetsBetween(remembered, 0, Infinity)).toHaveLength(KEPT);
});

test("a device is counted for what it is done with: not for what comes later, nor for what was there unremembered", () => {
  const remembered = new Remembered("*/news", held());
  const entries = [10, 20, 30].map((offset) => entryAt(offset));
  for (const entry of entries) remembered.add(entry);
  expect(remembered.count(0, 30)).toBe(3);
  const [late, next] = [entryAt(25), entryAt(40)];
  remembered.add(late);
  remembered.add(next);
  expect(remembered.count(20, 40)).toBe(3);
  expect(remembered.count(40, 50)).toBe(0);
  remembered.settle();
  remembered.settle();
  expect([...entries, late, next].map(({ account }) => account!.delivered)).toEqual([1, 1, 2, 1, 1]);
});

test("whatever is remembered, counted and forgotten in whatever order, each account is what counting one by one gives", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed);
    const below = (limit: number): number => Math.floor(random.fraction() * limit);
    const bytes = held();
    const remembered = new Remembered("*/news", bytes);
    // By offset, in the order in which they were first remembered.
    const plain = new Map<number, OpenedEntry>();
    const expected = new Map<OpenedEntry, number>();
    let head = 0;
    for (let turn = 0; turn < 3_000; turn++) {
      const dice = random.fraction();
      if (dice < 0.7) {
        const offset = random.fraction() < 0.98 ? head += 1 + below(3) : 1 + below(head + 1);
        head = Math.max(head, offset);
        const entry = entryAt(offset);
        remembered.add(entry);
        plain.set(offset, entry);
        expected.set(entry, 0);
        if (plain.size > KEPT) plain.delete(plain.keys().next().value!);
      } else if (dice < 0.99) {
        const to = Math.max(0, head - below(turn % 2 === 0 ? 2 : 1_500));
        const from = Math.max(0, to - below(600));
        let count = 0;
        for (const [offset, entry] of plain) {
          if (offset <= from || offset > to) continue;
          expected.set(entry, expected.get(entry)! + 1);
          count++;
        }
        if (remembered.count(from, to) !== count) expect.fail(`seed ${seed}: not ${count} entries in (${from}, ${to}]`);
      } else if (dice < 0.995) {
        const to = Math.max(0, head - below(1_000));
        remembered.forgetUpTo(to);
        for (const offset of plain.keys()) if (offset <= to) plain.delete(offset);
      } else remembered.settle();
      if (remembered.first !== least(plain.keys())) expect.fail(`seed ${seed}: the first is ${remembered.first}`);
    }
    expect(bytes.receipts).toBe(plain.size * weight);
    remembered.settle();
    expect([...expected.keys()].map(({ account }) => account!.delivered)).toEqual([...expected.values()]);
    expect(offsetsBetween(remembered, 0, Infinity)).toEqual([...plain.keys()].sort((a, b) => a - b));
    remembered.clear();
    expect([bytes.receipts, remembered.first]).toEqual([0, undefined]);
  }
});

test("what is remembered is bounded by bytes too: of long names fewer are kept, and the last one always", () => {
  const bytes = held();
  const remembered = new Remembered("*/news", bytes);
  for (let offset = 1; offset <= KEPT; offset++) remembered.add(longAt(offset, 256));
  expect(bytes.receipts).toBeLessThanOrEqual(256 * 1024);
  expect(offsetsBetween(remembered, 0, Infinity)).toEqual(
    Array.from({ length: KEPT - remembered.first! + 1 }, (_, i) => remembered.first! + i),
  );
  expect(KEPT - remembered.first!).toBeGreaterThan(500);
  remembered.add(longAt(KEPT + 1, 300 * 1024));
  expect(offsetsBetween(remembered, 0, Infinity)).toEqual([KEPT + 1]);
});
