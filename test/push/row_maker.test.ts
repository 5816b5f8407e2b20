import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { newRow, session, user } from "../../adapters/conformance/records.ts";
import type { OpenedEntry } from "../../src/delivery/opened_entry.ts";
import { placeOf } from "../../src/delivery/target.ts";
import type { OutboxRow } from "../../src/ports/outbox.ts";
import type { Decision } from "../../src/push/decision.ts";
import { RowMaker, type RowMakerParts } from "../../src/push/row_maker.ts";

const TOPIC = "*/news";
const EPOCH = 5;

/** A row that waits and stands for the entries in (after, to]. */
function rest(after: number, to: number): OutboxRow {
  const position = { epoch: EPOCH, offset: to };
  return {
    ...newRow(`rest up to ${to}`, { topic: TOPIC, position, after }),
    ...{ attempts: 0, note: undefined, status: "pending", covers: [], changedAt: 0 },
  };
}

/** The rows that are made for entries at these offsets, in short. */
async function made(offsets: readonly number[], waiting: readonly OutboxRow[]): Promise<unknown[]> {
  const target = { id: "id", provider: "fake", token: "t", registeredAt: 1 };
  const place = placeOf("sara", "phone", "fake");
  const maker = new RowMaker({
    arbiter: { holdsUntil: () => 0 },
    outbox: { waiting: () => Promise.resolve(waiting.map((row) => ({ ...row, targetId: place }))) },
    pending: { mayHave: () => true, knows: () => false },
    policy: { coalesceMs: 60_000 },
    clock: createManualClock(),
  } as unknown as RowMakerParts);
  const record = user("sara", { subscriptions: { [TOPIC]: { epoch: EPOCH, offset: 0 } } });
  const decisions = offsets.map((offset) => {
    const entry = { id: `n${offset}`, topic: TOPIC, position: { epoch: EPOCH, offset }, expiresAt: Infinity, urgency: "normal" };
    return { entry: { ...entry, silent: false } as OpenedEntry, route: { push: "now", rule: "rule" } as Decision["route"] };
  });
  const phone = session("phone", { node: "here", targets: [target] });
  const { rows } = await maker.make(phone, record, decisions, "user");
  return rows.map(({ after, position: { offset }, replaces }) => ({ after, offset, replaces }));
}

test("what comes is part of the row that stands for the rest", async () => {
  expect(await made([11, 12], [rest(3, 10)])).toEqual([{ after: 10, offset: 12, replaces: "rest up to 10" }]);
});

test("what is decided later and came before it has a row of its own: in its place that would end before it", async () => {
  expect(await made([1, 2, 3], [rest(3, 10)])).toEqual([{ after: 0, offset: 3, replaces: undefined }]);
});

test("of several such rows what comes is part of the last one", async () => {
  for (const rows of [[rest(0, 3), rest(3, 10)], [rest(3, 10), rest(0, 3)]]) {
    expect(await made([11], rows)).toEqual([{ after: 10, offset: 11, replaces: "rest up to 10" }]);
  }
});

test("a row of another life of the log stands for nothing of this one", async () => {
  const other = { ...rest(3, 10), position: { epoch: EPOCH + 1, offset: 10 } };
  expect(await made([11], [other])).toEqual([{ after: undefined, offset: 11, replaces: undefined }]);
});
