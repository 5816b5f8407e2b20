import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { newRow } from "../../adapters/conformance/records.ts";
import { type CacheBytes, createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { createCounters } from "../../src/delivery/counters.ts";
import type { Journal } from "../../src/delivery/journal.ts";
import type { NewOutboxRow, Outbox, OutboxRow } from "../../src/ports/outbox.ts";
import { PendingPushes } from "../../src/push/pending.ts";
import { WaitingRows } from "../../src/push/waiting_rows.ts";

interface Stage {
  pending: PendingPushes;
  held: CacheBytes;
  /** Ids of the rows that the outbox has as pending. */
  waiting: Set<string>;
}

const journal = { note() {} } as unknown as Journal;
const silent = { info() {}, warn() {}, error() {} };

function createPending(): Stage {
  const waiting = new Set<string>();
  const held = createCacheBytes();
  const outbox = {
    waiting: () => Promise.resolve([...waiting].map((id) => ({ id }) as OutboxRow)),
    cancel: () => Promise.resolve([]),
    underWay: () => Promise.resolve(false),
  } as unknown as Outbox;
  const pending = new PendingPushes(outbox, journal, createCounters(), createManualClock(), silent, true, held);
  return { pending, held, waiting };
}

function rowOf(userId: string, id: string): NewOutboxRow {
  return newRow(id, { userId });
}

test("a row that another node ended is forgotten at the second look, and what waits is not", async () => {
  const { held, pending, waiting } = createPending();
  pending.added([rowOf("sara", "gone"), rowOf("nima", "stays")]);
  waiting.add("stays");
  await pending.look();
  expect([pending.has("sara"), pending.has("nima")]).toEqual([true, true]);
  await pending.look();
  expect([pending.has("sara"), pending.has("nima")]).toEqual([false, true]);
  waiting.delete("stays");
  await pending.look();
  await pending.look();
  expect([pending.has("nima"), held.pushes]).toEqual([false, 0]);
});

test("a row that was being sent at a look, and waits again at the next one, is known on", async () => {
  const { pending, waiting } = createPending();
  pending.added([rowOf("sara", "row")]);
  await pending.look();
  waiting.add("row");
  await pending.look();
  waiting.delete("row");
  await pending.look();
  expect(pending.has("sara")).toBe(true);
});

test("of a row of another node that this one asked a provider for nothing stays, whoever settled it", async () => {
  const { held, pending } = createPending();
  const row = rowOf("sara", "row");
  pending.asked(row);
  expect([pending.wasAsked(row), pending.has("sara")]).toEqual([true, true]);
  await pending.look();
  await pending.look();
  expect([pending.wasAsked(row), pending.has("sara"), held.pushes]).toEqual([false, false, 0]);
});

test("what is known of rows is bounded by bytes: of too many those of the first users are forgotten, and may wait nonetheless", () => {
  const held = createCacheBytes();
  const rows = new WaitingRows(held);
  const forgotten: string[] = [];
  for (let user = 0; user < 2_000; user++) {
    for (let row = 0; row < 20; row++) {
      forgotten.push(...rows.add(rowOf(`${user}`, `${user} ${row} ${"x".repeat(200)}`)).map(({ id }) => id));
    }
  }
  expect(held.pushes).toBeLessThanOrEqual(16 * 1024 * 1024);
  expect(forgotten.length).toBeGreaterThan(0);
  expect(forgotten.length + [...rows.all()].length).toBe(40_000);
  expect([rows.has("0"), rows.has("1999")]).toEqual([false, true]);
  for (const row of [...rows.all()]) rows.delete(row);
  expect(held.pushes).toBe(0);
});
