import { expect, test } from "vitest";
import { newRow } from "../../adapters/conformance/records.ts";
import { OutboxIndex } from "../../adapters/jetstream/outbox_index.ts";
import { newRow as storedRow } from "../../adapters/jetstream/outbox_row.ts";

function open(subject: string, seq: number, note?: string) {
  return { row: { ...storedRow(newRow(subject), 0), note }, by: undefined, write: "write", subject, seq };
}

test("what the index takes in memory is what is open, and nothing when all has ended", () => {
  const index = new OutboxIndex();
  index.set(open("one", 1));
  const one = index.bytes;
  expect(one).toBeGreaterThan(2_000);
  index.set(open("two", 2));
  expect(index.bytes).toBe(2 * one);
  index.set(open("one", 3, "x".repeat(100)));
  expect(index.bytes).toBe(2 * one + 100);
  index.set(open("one", 1));
  expect(index.bytes, "an older version changes nothing").toBe(2 * one + 100);
  index.end("one", 4, true);
  index.drop("two", 2);
  expect(index.bytes).toBe(0);
});

test("an end that this node made is remembered until the server tells of it, of many the last ones only", () => {
  const index = new OutboxIndex();
  index.set(open("one", 1));
  index.end("one", 2, false);
  const ended = index.bytes;
  expect([ended > 0, ended < 500]).toEqual([true, true]);
  index.end("one", 2, false);
  expect(index.bytes).toBe(ended);
  index.end("one", 3, true);
  expect(index.bytes).toBe(0);
  for (let row = 0; row < 20_000; row++) index.end(`${row}`.padStart(5, "0"), 1, false);
  expect(index.bytes).toBe(10_000 * (ended + 2));
});

test("what stands is remembered only until all of it was told of", () => {
  const index = new OutboxIndex();
  for (const [at, subject] of ["one", "two"].entries()) index.set(open(subject, at + 1));
  const both = index.bytes;
  index.begin();
  index.stands("one");
  index.stands("one");
  // Another consumer begins anew.
  index.begin();
  index.stands("two");
  expect(index.bytes).toBeGreaterThan(both);
  index.retain(3);
  expect([index.at("one"), index.at("two")?.seq, index.bytes]).toEqual([undefined, 2, both / 2]);
  for (const subject of ["three", "four"]) index.stands(subject);
  expect(index.bytes).toBe(both / 2);
});
