import { describe, expect, test } from "vitest";
import { createManualClock, runCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { newRow, user } from "../../adapters/conformance/records.ts";
import { memory, MemoryTransport } from "../../src/memory/memory.ts";
import { byName, SortedList } from "../../src/memory/sorted_list.ts";
import { MemoryWork } from "../../src/memory/work.ts";

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

test("memory keeps the last settled rows, and of those with long names fewer", async () => {
  const random = { id: () => crypto.randomUUID(), fraction: Math.random };
  const { users, outbox, close } = await memory().open({ clock: createManualClock(), logger: console, random });
  const send = async (id: string, note = ""): Promise<void> => {
    await users.put(await users.get("sara") ?? user("sara"), "both", [newRow(id, { messageId: id })]);
    await outbox.settle([id], "sent", note);
  };
  const name = (index: number): string => `row ${String(index).padStart(6, "0")}`;
  const isKept = async (index: number): Promise<boolean> => (await outbox.ofMessage(name(index))).length > 0;
  for (let index = 0; index < 10_050; index++) await send(name(index));
  expect([await isKept(49), await isKept(50), await isKept(10_049)]).toEqual([false, true, true]);
  await send(name(10_050), "x".repeat(10 * 1024 * 1024));
  expect([await isKept(51), await isKept(10_049), await isKept(10_050)]).toEqual([false, true, true]);
  await close();
});

describe("of a topic that nobody listens to and that has nothing any more", () => {
  const DAY_MS = 24 * 3_600_000;

  function open() {
    const clock = createManualClock();
    const random = { id: () => crypto.randomUUID(), fraction: Math.random };
    const work = new MemoryWork(clock, console);
    const ended: string[] = [];
    const limits = { maxEntries: 3, idempotencyMs: DAY_MS };
    const transport = new MemoryTransport(clock, console, random, limits, work, (topic) => ended.push(topic));
    let keys = 0;
    const publish = async (topic: string, ttlMs: number): Promise<number> => {
      const options = { key: `${keys++}`, expiresAt: clock.now() + ttlMs };
      return (await transport.publish(topic, Uint8Array.of(1), options)).position!.offset;
    };
    return { clock, ended, publish, transport, work };
  }

  const listener = { entry() {}, gap() {} };

  test("memory keeps no log: one that was only listened to is gone when the last one leaves", async () => {
    const { ended, transport } = open();
    for (let index = 0; index < 100; index++) {
      const [one, other] = await Promise.all([0, 1].map(() => transport.subscribe(`*/${index}`, listener)));
      one!.close();
      expect(transport.topics).toBe(1);
      other!.close();
      other!.close();
    }
    expect([transport.topics, ended.length]).toEqual([0, 100]);
  });

  test("one with entries is gone once they have expired, with their keys, and were worked on; its offsets never come again", async () => {
    const { clock, publish, transport, work } = open();
    for (let count = 1; count <= 3; count++) expect(await publish("*/news", 1_000)).toBe(count);
    const days = async (): Promise<void> => {
      for (let day = 0; day < 4; day++) {
        await clock.advance(DAY_MS);
        for (let count = 0; count < 10; count++) await publish("sara/default", 1_000_000);
      }
    };
    await days();
    expect(transport.topics).toBe(2);
    const working = await work.consume(() => Promise.resolve());
    await clock.settle();
    await days();
    expect(transport.topics).toBe(1);
    expect(await transport.read("*/news", 0, 10)).toMatchObject({ entries: [], through: 0, head: { offset: 0 } });
    const told: number[] = [];
    const { head } = await transport.subscribe("*/news", { ...listener, entry: ({ offset }) => void told.push(offset) });
    const offset = await publish("*/news", 1_000);
    expect(offset).toBeGreaterThan(3);
    expect([head.offset, told]).toEqual([offset - 1, [offset]]);
    const page = await transport.read("*/news", 2, 10);
    expect(page).toMatchObject({ through: offset, expired: 0, head: { offset }, floor: 0 });
    expect(page.entries.map(({ offset, previous }) => [offset, previous])).toEqual([[offset, offset - 1]]);
    await working.close();
  });

  test("one that evicted something before it expired stays: who missed that is to hear it", async () => {
    const { clock, publish, transport, work } = open();
    for (let count = 0; count < 5; count++) await publish("*/news", 1_000);
    const working = await work.consume(() => Promise.resolve());
    await clock.settle();
    for (let day = 0; day < 4; day++) {
      await clock.advance(DAY_MS);
      for (let count = 0; count < 10; count++) await publish("sara/default", 1_000_000);
    }
    expect((await transport.read("*/news", 0, 10)).floor).toBe(2);
    await working.close();
  });

  test("what was decided about is forgotten with it, unless something is open", async () => {
    const random = { id: () => crypto.randomUUID(), fraction: Math.random };
    const { outbox, transport, close } = await memory().open({ clock: createManualClock(), logger: console, random });
    await outbox.decide({ topic: "*/done", version: 0, epoch: 1, decided: 3, goal: 3 }, []);
    await outbox.decide({ topic: "*/open", version: 0, epoch: 1, decided: 3, goal: 4 }, []);
    for (const topic of ["*/done", "*/open"]) (await transport.subscribe(topic, listener)).close();
    expect([await outbox.decision("*/done"), (await outbox.decision("*/open"))?.goal]).toEqual([undefined, 4]);
    await close();
  });
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
