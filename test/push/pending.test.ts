import { describe, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { newRow } from "../../adapters/conformance/records.ts";
import { type CacheBytes, createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { type Counters, createCounters } from "../../src/delivery/counters.ts";
import type { Journal } from "../../src/delivery/journal.ts";
import type { NewOutboxRow, Outbox, OutboxRow } from "../../src/ports/outbox.ts";
import { PendingPushes } from "../../src/push/pending.ts";
import { WaitingRows } from "../../src/push/waiting_rows.ts";

interface Stage {
  pending: PendingPushes;
  counters: Counters;
  held: CacheBytes;
  /** Ids of the rows that the outbox has as pending. */
  waiting: Set<string>;
  /** How often it was asked for all that wait. */
  asked(): number;
  /** Called while it is asked for that. */
  meanwhile: { call(): void };
}

const journal = { note() {} } as unknown as Journal;
const silent = { info() {}, warn() {}, error() {} };

function createPending({ shared = true } = {}): Stage {
  const waiting = new Set<string>();
  const counters = createCounters();
  const meanwhile = { call() {} };
  let asked = 0;
  const held = createCacheBytes();
  const outbox = {
    waiting: () => Promise.resolve([...waiting].map((id) => ({ id }) as OutboxRow)),
    cancel: () => Promise.resolve([]),
    underWay: () => Promise.resolve(false),
    async due(_now: number, limit: number) {
      asked++;
      const rows = [...waiting].slice(0, limit).map((id) => ({ ...rowOf(userOf(id), id), attempts: 0 }) as OutboxRow);
      await Promise.resolve();
      meanwhile.call();
      return { rows, nextDueAt: waiting.size > limit ? 0 : undefined };
    },
  } as unknown as Outbox;
  const pending = new PendingPushes(outbox, journal, counters, createManualClock(), silent, shared, held);
  return { pending, counters, held, waiting, asked: () => asked, meanwhile };
}

/** A row's id begins with its user. */
function userOf(id: string): string {
  return id.split(" ")[0]!;
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

describe("rows that had to be forgotten are known again", () => {
  const LONG = "x".repeat(200);

  /** More rows than are remembered, of user after user; the outbox has all of them. */
  function overfull() {
    const stage = createPending({ shared: false });
    const { pending, waiting } = stage;
    for (let user = 0; user < 2_000; user++) {
      const ids = Array.from({ length: 20 }, (_, row) => `${user} ${row} ${LONG}`);
      pending.added(ids.map((id) => rowOf(`${user}`, id)));
      for (const id of ids) waiting.add(id);
    }
    return {
      ...stage,
      /** All have ended but those of the first users. */
      leave(users: number): void {
        for (const id of [...waiting]) {
          if (Number(userOf(id)) < users) continue;
          waiting.delete(id);
          pending.settled({ id, userId: userOf(id) });
        }
      },
    };
  }

  test("when few wait: then no decision asks the outbox in vain any more", async () => {
    const { asked, leave, pending } = overfull();
    expect([pending.has("0"), pending.mayHave("nobody")]).toEqual([false, true]);
    await pending.look();
    expect([asked(), pending.mayHave("nobody")], "far too many are known").toEqual([0, true]);
    leave(200);
    await pending.look();
    expect([asked(), pending.mayHave("nobody")], "too many for one question").toEqual([1, true]);
    leave(2);
    await pending.look();
    const known = ["nobody", "0", "1", "2"].map((user) => pending.mayHave(user));
    expect(known).toEqual([false, true, true, false]);
    await pending.look();
    expect(asked()).toBe(2);
  });

  test("but not while others have to be forgotten", async () => {
    const { leave, meanwhile, pending } = overfull();
    leave(2);
    meanwhile.call = () => {
      const rows = Array.from({ length: 2_000 }, (_, user) => {
        return Array.from({ length: 20 }, (_, row) => rowOf(`new ${user}`, `new ${user} ${row} ${LONG}`));
      });
      for (const ofUser of rows) pending.added(ofUser);
      // There is room again, but the first ones are not known any more.
      for (const row of rows.slice(1_000).flat()) pending.settled(row);
    };
    await pending.look();
    expect(pending.mayHave("new 0")).toBe(true);
  });

  test("and one that is just being taken is known before that", async () => {
    const { leave, pending, waiting } = overfull();
    leave(1);
    const [id] = [...waiting];
    pending.taking([{ ...rowOf("0", id!), attempts: 0 } as OutboxRow]);
    waiting.delete(id!);
    await pending.look();
    expect([pending.mayHave("nobody"), pending.has("0")]).toEqual([false, true]);
  });

  test("but not where other nodes queue pushes of which this one does not know", async () => {
    const { asked, pending } = createPending();
    pending.restored([], false);
    await pending.look();
    expect([asked(), pending.mayHave("nobody")]).toEqual([0, true]);
  });
});

describe("a row in whose place another one is written", () => {
  const first = rowOf("sara", "first");
  const second = { ...rowOf("sara", "second"), replaces: "first" };
  const nothing: ReadonlySet<string> = new Set();

  test("is merged when it was not taken, whichever answer comes first", () => {
    for (const order of ["taken", "added"] as const) {
      const { counters, pending } = createPending();
      pending.added([first]);
      pending.taking([first]);
      if (order === "taken") pending.taken([first], nothing);
      pending.added([second]);
      if (order === "added") pending.taken([first], nothing);
      expect(counters.pushesMerged).toBe(1);
      expect(pending.settled(first)).toBe(false);
    }
  });

  test("stays when it was taken, whichever answer comes first", () => {
    for (const order of ["taken", "added"] as const) {
      const { counters, pending } = createPending();
      pending.added([first]);
      pending.taking([first]);
      if (order === "taken") pending.taken([first], new Set(["first"]));
      pending.added([second]);
      if (order === "added") pending.taken([first], new Set(["first"]));
      expect(counters.pushesMerged).toBe(0);
      expect(pending.settled(first)).toBe(true);
    }
  });

  test("that ended before is not counted again", () => {
    const { counters, pending } = createPending();
    pending.added([first]);
    pending.taking([first]);
    pending.taken([first], new Set(["first"]));
    pending.settled(first);
    pending.added([second]);
    expect(counters.pushesMerged).toBe(0);
  });
});
