import { describe, expect, test } from "vitest";
import { createManualClock, runCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { newRow, user } from "../../adapters/conformance/records.ts";
import { memory } from "../../src/memory/memory.ts";
import { byName, SortedList } from "../../src/memory/sorted_list.ts";

describe("the in-memory storage", () => {
  for (const one of storageCases()) {
    test(`${one.port} ${one.name}`, async () => {
      expect(await runCase(one, (retention) => memory({ retention }))).toBe(one.durable ? "skipped" : "passed");
    });
  }
});

test("memory refuses a retention that makes no sense", () => {
  for (const retention of [{ maxEntries: 0 }, { maxEntries: 1.5 }, { idempotencyMs: -1 }, { idempotencyMs: NaN }]) {
    expect(() => memory({ retention })).toThrow(expect.objectContaining({ code: "bad-config" }));
  }
});

test("memory reports an entry before its publish resolves, and says that it is not durable", async () => {
  const random = { id: () => crypto.randomUUID(), fraction: Math.random };
  const { transport, close } = await memory().open({ clock: createManualClock(), logger: console, random });
  const offsets: number[] = [];
  await transport.subscribe("sara/default", { entry: ({ offset }) => void offsets.push(offset), gap() {} });
  const publishing = transport.publish("sara/default", Uint8Array.of(1), { key: "key", expiresAt: Infinity });
  expect([offsets, transport.durable]).toEqual([[1], false]);
  expect(await publishing).toMatchObject({ durability: "memory" });
  await close();
});

test("memory lets go of settled rows that expired, a little with every write", async () => {
  const clock = createManualClock();
  const random = { id: () => crypto.randomUUID(), fraction: Math.random };
  const { users, outbox, close } = await memory().open({ clock, logger: console, random });
  const put = async (...rows: Parameters<typeof newRow>[]) =>
    void await users.put(await users.get("sara") ?? user("sara"), "both", rows.map((row) => newRow(...row)));
  const expiresAt = clock.now() + 1_000;
  await put(["settled", { messageId: "m", expiresAt }], ["pending", { messageId: "m", expiresAt }]);
  await outbox.settle(["settled"], "sent", "");
  await clock.advance(1_000);
  await put();
  expect((await outbox.ofMessage("m")).map(({ id }) => id)).toEqual(["pending"]);
  await close();
});

test("a sorted list stays in order through thousands of additions and removals", () => {
  const list = new SortedList<string>(byName);
  const model = new Set<string>();
  for (let step = 0; step < 20_000; step++) {
    const name = String((step * 7_919) % 4_001);
    if (step % 3 === 2) {
      list.delete(name);
      model.delete(name);
    } else {
      list.add(name);
      model.add(name);
    }
  }
  const sorted = [...model].sort();
  expect([...list.after(undefined)]).toEqual(sorted);
  expect(list.first).toBe(sorted[0]);
  for (const from of ["", "1", "2000", "2000.5", "999", "~"]) {
    expect([...list.after(from)]).toEqual(sorted.filter((name) => name > from));
  }
  for (const name of model) list.delete(name);
  expect([list.isEmpty, list.first]).toEqual([true, undefined]);
});
