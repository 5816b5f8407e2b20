import { describe, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { createEngine, type PublishResult } from "../../mod.ts";
import { type CacheBytes, createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { Emitter } from "../../src/delivery/events.ts";
import type { EntryName } from "../../src/delivery/journal.ts";
import { ExplanationBook } from "../../src/explanation_book.ts";

function createBook(mostBytes: number): { book: ExplanationBook; held: CacheBytes } {
  const held = createCacheBytes();
  return { book: new ExplanationBook(createManualClock(), new Emitter(() => {}), () => {}, held, mostBytes), held };
}

const at = (offset: number) => ({ topic: "*/room", position: { epoch: 1, offset } });

function accept(book: ExplanationBook, offset: number): EntryName {
  const entry = { id: `m${offset}`, ...at(offset) };
  book.accepted({ ...entry, from: undefined, urgency: "normal", sentAt: 0 });
  return entry;
}

function note(book: ExplanationBook, entry: EntryName, device: number): void {
  book.note(entry, { userId: `member ${device}`, device: `device ${device}` }, "push-sent", "ok", { provider: "push" });
}

describe("what explain() remembers", () => {
  test("is bounded by bytes: of too much the oldest messages are forgotten, as whole ones", () => {
    const { book, held } = createBook(1_000_000);
    for (let offset = 1; offset <= 200; offset++) {
      const entry = accept(book, offset);
      for (let device = 0; device < 100; device++) note(book, entry, device);
      expect(held.explain).toBeLessThanOrEqual(1_000_000);
    }
    const known = Array.from({ length: 200 }, (_, index) => book.find(at(index + 1))).flat();
    expect(known.length).toBeGreaterThan(10);
    expect(held.explain).toBeGreaterThan(known.length * 100 * 400);
    expect(known.map(({ id }) => id)).toEqual(Array.from({ length: known.length }, (_, i) => `m${201 - known.length + i}`));
    expect(known.every(({ devices }) => devices.length === 100)).toBe(true);
  });

  test("is bounded by number: of more than 10,000 messages the oldest are forgotten, and their bytes with them", () => {
    const { book, held } = createBook(64 * 1024 * 1024);
    for (let offset = 1; offset <= 25_000; offset++) note(book, accept(book, offset), 1);
    expect([book.find(at(15_000))[0], book.find(at(15_001))[0]?.id, book.find(at(25_000))[0]?.id]).toEqual([
      undefined,
      "m15001",
      "m25000",
    ]);
    const most = held.explain;
    for (let offset = 25_001; offset <= 26_000; offset++) note(book, accept(book, offset), 1);
    expect(held.explain).toBe(most);
  });

  test("may be one message that takes all there is, or nothing at all", () => {
    const { book, held } = createBook(2_000);
    const entry = accept(book, 1);
    for (let device = 0; device < 100; device++) note(book, entry, device);
    expect([book.find(at(1))[0], held.explain]).toEqual([undefined, 0]);
    expect(book.find(accept(book, 2))[0]?.id).toBe("m2");
    const nothing = createBook(0);
    note(nothing.book, accept(nothing.book, 1), 1);
    expect([nothing.book.find(at(1))[0], nothing.held.explain]).toEqual([undefined, 0]);
  });

  test("takes no more when the same thing happens to a push again and again", () => {
    const { book, held } = createBook(1_000_000);
    const entry = accept(book, 1);
    const retry = (): void => book.note(entry, { userId: "sara", device: "phone" }, "push-retry", "503", { provider: "push" });
    retry();
    const once = held.explain;
    for (let times = 0; times < 1_000; times++) retry();
    expect(held.explain).toBe(once);
  });
});

test("an engine says how much that is, and takes an option for it", async () => {
  const silent = { info() {}, warn() {}, error() {} };
  const engine = await createEngine({ insecure: true, logger: silent, limits: { explainBytes: 2_000 } });
  const results: PublishResult[] = [];
  for (let count = 0; count < 20; count++) results.push(await engine.publish({ to: "sara", content: "hi", id: `m${count}` }));
  const { explain } = engine.counters().bytes;
  expect(explain).toBeGreaterThan(0);
  expect(explain).toBeLessThanOrEqual(2_000);
  expect([await engine.explain(results[0]!), (await engine.explain(results[19]!))?.id]).toEqual([undefined, "m19"]);
  await engine.close();
  await expect(createEngine({ insecure: true, limits: { explainBytes: -1 } })).rejects.toMatchObject({ code: "bad-config" });
});
