import { expect, test } from "vitest";
import { OpenedPage } from "../../src/delivery/opened_page.ts";
import type { Entry } from "../../src/ports/transport.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";

const EPOCH = 7;

function entryOf(offset: number): Entry {
  const payload = encodePayload("x".repeat(offset), undefined);
  const bytes = encodeEnvelope({
    ...{ id: `m${offset}`, from: undefined, sentAt: 1, expiresAt: 2, options: undefined },
    payload,
  });
  return { topic: "sara/default", epoch: EPOCH, offset, previous: offset - 1, bytes, expiresAt: 2 };
}

test("a page's frames are those of its entries back to back, in whole and in part, and the same array for all who are as far", () => {
  const entries = [1, 2, 3, 4].map(entryOf);
  const page = new OpenedPage({ entries, through: 4, expired: 0, head: { epoch: EPOCH, offset: 4 }, floor: 0 }, 0);
  for (const [begin, end] of [[0, 4], [0, 2], [1, 3], [2, 4]] as const) {
    const each = page.entries.slice(begin, end).flatMap(({ frame }) => [...frame]);
    expect([...page.frames(begin, end)]).toEqual(each);
    expect(page.frames(begin, end)).toBe(page.frames(begin, end));
  }
});
