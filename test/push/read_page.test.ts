import { expect, test } from "vitest";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import type { History } from "../../src/ports/transport.ts";
import { readPageOf, remembering } from "../../src/push/read_page.ts";

const TOPIC = "sara/default";

/** A log of that many entries, each so long that a piece has one only; `epochOf` says its life by how often it was read. */
function longLog(count: number, epochOf: (read: number) => number = () => 1): { history: History; reads: number[] } {
  const reads: number[] = [];
  return {
    reads,
    history: {
      read(topic, after) {
        const epoch = epochOf(reads.push(after));
        const bytes = encodeEnvelope({
          ...{ id: `${after + 1}`, from: undefined, sentAt: 0, expiresAt: 1e15, options: undefined },
          payload: encodePayload("hi", "x".repeat(1_000)),
        });
        const offset = Math.min(after + 1, count);
        const entry = { topic, epoch, offset, previous: after, bytes, expiresAt: Infinity };
        const head = { epoch, offset: count };
        return Promise.resolve({ entries: after < count ? [entry] : [], through: offset, expired: 0, head, floor: 0 });
      },
    },
  };
}

test("a page is put together of pieces, and holds no entry's bytes", async () => {
  const { history, reads } = longLog(30);
  const { entries, head, through } = await readPageOf(history)(TOPIC, 10);
  expect(entries.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, index) => `${11 + index}`));
  expect([head.offset, through, reads.length]).toEqual([30, 30, 20]);
  expect(entries.every(({ bytes, frame }) => bytes.length + frame.length === 0)).toBe(true);
});

test("a page ends where another life of the log begins", async () => {
  const { history } = longLog(30, (read) => read <= 5 ? 1 : 2);
  const { entries, head, through } = await readPageOf(history)(TOPIC, 0);
  expect([entries.length, head.epoch, through]).toEqual([5, 1, 5]);
});

test("who shares pages reads each of the last few once, and the others are not held", async () => {
  const { history, reads } = longLog(10);
  const read = remembering(readPageOf(history));
  const first = await read(TOPIC, 9);
  expect(await read(TOPIC, 9)).toBe(first);
  expect(reads.length).toBe(1);
  for (const after of [5, 6, 7, 8]) await read(TOPIC, after);
  expect(await read(TOPIC, 9)).not.toBe(first);
});
