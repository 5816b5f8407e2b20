import { describe, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Note } from "../../mod.ts";
import { createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { Emitter } from "../../src/delivery/events.ts";
import type { BroughtEntry, EntryName } from "../../src/delivery/journal.ts";
import { type Explanation, mergeExplanations } from "../../src/explain.ts";
import { ExplanationBook } from "../../src/explanation_book.ts";
import { createStepper, SessionEvent } from "../../src/session/step.ts";
import { DEFAULT_POLICY } from "../../src/session/policy.ts";

const PHONE = { userId: "sara", device: "phone" };
const LAPTOP = { userId: "sara", device: "laptop" };
const stepper = createStepper(DEFAULT_POLICY);
const DECISION = { state: "connected.live", route: stepper.step(stepper.start, SessionEvent["message.alert"]).route! };

function createBook(mostBytes = 64 * 1024 * 1024) {
  const [clock, held, notes] = [createManualClock(), createCacheBytes(), [] as Note[]];
  const emitter = new Emitter(() => {});
  emitter.on("note", (note) => notes.push(note));
  const book = new ExplanationBook(clock, emitter, () => {}, held, mostBytes);
  const explain = (id: string): Explanation | undefined => {
    return mergeExplanations(book.find({ topic: "sara/default", position: { epoch: 1, offset: Number(id.slice(1)) } }));
  };
  const kindsOf = (id: string, device = 0): string[] => explain(id)?.devices[device]?.events.map(({ kind }) => kind) ?? [];
  return { book, clock, held, notes, explain, kindsOf };
}

/** Entries from one offset to another, without those in `holes`. */
function entriesOf(from: number, to: number, topic = "sara/default", holes: readonly number[] = []): BroughtEntry[] {
  const offsets = Array.from({ length: to - from + 1 }, (_, index) => from + index).filter((offset) => !holes.includes(offset));
  return offsets.map((offset) => {
    const position = { epoch: 1, offset };
    return {
      id: `m${offset}`,
      topic,
      position,
      from: "omid",
      urgency: "normal" as const,
      sentAt: 1_000 + offset,
      account: undefined,
    };
  });
}

function nameOf({ id, topic, position }: BroughtEntry): EntryName {
  return { id, topic, position };
}

describe("messages that a device catches up on together", () => {
  test("are each explained as if they had come alone", () => {
    const [together, alone] = [createBook(), createBook()];
    const [many, each] = [entriesOf(1, 20, "sara/default", [7, 8]), entriesOf(1, 20, "sara/default", [7, 8])];
    together.book.brought(many, PHONE, DECISION);
    for (const entry of each) {
      entry.account = alone.book.accepted(entry);
      alone.book.routed(entry, PHONE, DECISION.state, DECISION.route);
    }
    for (const [{ book }, entries] of [[together, many], [alone, each]] as const) {
      for (const entry of entries.slice(0, 12)) book.note(entry, PHONE, "seen");
      for (const entry of entries.slice(0, 5)) book.note(entry, PHONE, "acked");
    }
    for (const { id } of many) expect(together.explain(id)).toEqual(alone.explain(id));
    expect(together.explain("m7")).toBe(undefined);
    expect(together.notes).toEqual(alone.notes);
    expect(together.held.explain).toBeLessThan(alone.held.explain / 5);
  });

  test("have what happens to one of them in its own story only, also where it comes by its name alone", () => {
    const { book, explain, kindsOf } = createBook();
    const entries = entriesOf(1, 12, "sara/default", [2, 3]);
    book.brought(entries, PHONE, DECISION);
    const [fourth, fifth] = entries.slice(1);
    book.note(nameOf(fourth!), PHONE, "push-queued", "now", { provider: "fcm" });
    book.note(nameOf(fourth!), PHONE, "acked");
    book.note(fifth!, PHONE, "failed", "no");
    book.note({ ...nameOf(entries[3]!), position: { epoch: 2, offset: 6 } }, PHONE, "seen");
    expect([4, 5, 6].map((offset) => kindsOf(`m${offset}`).toSorted())).toEqual([
      ["acked", "push-queued", "routed"],
      ["failed", "routed"],
      ["routed"],
    ]);
    expect(explain("m4")).toMatchObject({ from: "omid", sentAt: 1_004, delivered: 1, devices: [{ state: "connected.live" }] });
    expect(explain("m4")?.devices[0]?.events).toContainEqual(
      expect.objectContaining({ kind: "push-queued", detail: "now", provider: "fcm" }),
    );
  });

  test("are not taken for each other where different things happen to them in the same moment", () => {
    const { book, kindsOf } = createBook();
    const entries = entriesOf(1, 6);
    book.brought(entries, PHONE, DECISION);
    for (const offset of [1, 3]) book.note(entries[offset - 1]!, PHONE, "seen");
    book.note(entries[3]!, PHONE, "acked");
    expect([1, 2, 3, 4, 5].map((offset) => kindsOf(`m${offset}`).slice(1))).toEqual([["seen"], [], ["seen"], ["acked"], []]);
  });

  test("tell each device's story, and what was decided last", async () => {
    const { book, clock, explain, kindsOf } = createBook();
    const entries = entriesOf(1, 10);
    book.brought(entries, PHONE, DECISION);
    book.brought(entriesOf(3, 8), LAPTOP, undefined);
    book.note(entries[4]!, LAPTOP, "seen");
    expect([explain("m5")?.devices.length, kindsOf("m5", 1), explain("m6")?.devices.length]).toEqual([2, ["seen"], 1]);
    await clock.advance(10);
    const { route } = stepper.step(stepper.start, SessionEvent["message.quiet"]);
    book.routed(nameOf(entries[4]!), PHONE, "disconnected.away", route!);
    expect(explain("m5")?.devices[0]).toMatchObject({ state: "disconnected.away", rule: route!.rule });
    const decisions = explain("m5")!.devices[0]!.events.filter(({ kind }) => kind === "routed");
    expect(decisions.map(({ detail }) => detail)).toEqual([DECISION.route.rule, route!.rule]);
    expect(explain("m6")?.devices[0]).toMatchObject({ state: "connected.live", rule: DECISION.route.rule });
  });

  test("are forgotten as the oldest, with their bytes and from the count of messages", () => {
    const { book, explain, held } = createBook();
    for (let from = 10_000; from < 25_000; from += 100) book.brought(entriesOf(from, from + 99), PHONE, DECISION);
    expect([explain("m14999"), explain("m15000")?.id, explain("m24999")?.id]).toEqual([undefined, "m15000", "m24999"]);
    const most = held.explain;
    book.brought(entriesOf(25_000, 25_099), PHONE, DECISION);
    expect(held.explain).toBe(most);
    for (const entry of entriesOf(1, 10_000, "*/room")) book.accepted(entry);
    expect(explain("m25050")).toBe(undefined);
    const small = createBook(30_000);
    for (let page = 0; page < 50; page++) {
      const entries = entriesOf(1 + page * 100, 100 + page * 100);
      small.book.brought(entries, PHONE, DECISION);
      for (const entry of entries) small.book.note(entry, PHONE, "seen");
      expect(small.held.explain).toBeLessThanOrEqual(30_000);
    }
    for (const most of [0, 1_000, 1_600, 2_500]) {
      const tiny = createBook(most);
      const entries = entriesOf(1, 10);
      tiny.book.brought(entries, PHONE, most === 0 ? undefined : DECISION);
      expect(tiny.held.explain).toBeLessThanOrEqual(most);
      for (const entry of entries) {
        tiny.book.note(entry, PHONE, "seen");
        tiny.book.note(entry, PHONE, "push-sent", "x".repeat(500), { provider: "fcm" });
      }
      for (const entry of entriesOf(1, 10, "*/room")) tiny.book.accepted(entry);
      if (most < 600) expect(tiny.held.explain).toBe(0);
      expect(tiny.held.explain).toBeLessThanOrEqual(most);
    }
  });

  test("have a bounded story, however often they are brought, and whatever happens to them one by one", async () => {
    const { book, clock, held, kindsOf } = createBook();
    const entries = entriesOf(1, 100);
    for (let round = 0; round < 3_000; round++) {
      book.brought(entries, PHONE, undefined);
      book.note(entries[round % 2]!, PHONE, "seen");
      await clock.advance(1);
    }
    expect(kindsOf("m1").length).toBeLessThanOrEqual(100);
    for (const entry of entries) {
      book.note(entry, PHONE, "acked");
      await clock.advance(1);
    }
    expect(kindsOf("m100")).toEqual(["acked"]);
    expect(kindsOf("m1").at(-1)).toBe("acked");
    expect(held.explain).toBeLessThan(200_000);
  });
});
