import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import {
  deviceName,
  type Engine,
  type Explanation,
  memory,
  type MessageRef,
  type Outbox,
  type OutboxRow,
  type Position,
  type PublishResult,
} from "../../mod.ts";
import { withOutbox } from "../../src/explain.ts";
import { explainMessage } from "../../src/explained_message.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import { createStage, seededRandom, surviving } from "./stage.ts";

/** What `explain` tells of one device, a line an event. */
async function told(engine: Engine, message: MessageRef, deviceId: string): Promise<string[]> {
  const devices = (await engine.explain(message))?.devices.filter(({ device }) => device === deviceName(deviceId)) ?? [];
  expect(devices.length).toBeLessThanOrEqual(1);
  return devices.flatMap(({ events }) => events.map(({ kind, detail }) => detail === undefined ? kind : `${kind}: ${detail}`));
}

const SHOWN_ELSEWHERE = "push-held: shown on another device that was not touched for a while: waits for input there";

test("a push that waits for input at another device says so, and what it left for", async () => {
  const { engine, clock, device } = await createStage();
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  const laptop = await device("sara", { deviceId: "laptop", idleMs: 45_000 });
  const result = await engine.publish({ to: "sara", content: "hi" });
  for (let idle = 50; idle <= 120; idle += 5) {
    laptop.idleMs = idle * 1_000;
    await clock.advance(5_000);
  }
  expect(await told(engine, result, "phone")).toEqual([
    "routed: disconnected.away/alert",
    "push-held: the person is at another device",
    SHOWN_ELSEWHERE,
    "push-released: no input for 2 minutes",
    "push-sent: ok",
  ]);
});

test("a push that a mark made needless says where, and how long before it was due", async () => {
  const { engine, clock, device } = await createStage();
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  const laptop = await device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
  const result = await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(1_000);
  await laptop.request({ type: "mark", ref: 0, kind: "read", topic: "sara/default", ...result.position! });
  expect((await told(engine, result, "phone")).at(-1)).toBe("push-dropped: read on another device, 4 s before it was due");
});

test("of a push that stands for several each message says so, and under which one's name it left; after a restart as well", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  (await first.device("sara", { deviceId: "phone", token: "t" })).leave();
  await clock.settle();
  const ids = ["first", "second", "third"];
  const results: PublishResult[] = [];
  for (const id of ids) results.push(await first.engine.publish({ to: "sara", content: id, id, urgency: "low" }));
  await clock.advance(60_000);
  expect(first.provider.sent.map(({ notification: { id, waiting } }) => [id, waiting])).toEqual([["first", 3]]);
  const sent = "push-sent: ok, in one push with 2 others, under the name of first";
  for (const result of results) {
    const rule = "disconnected.away/quiet";
    expect(await told(first.engine, result, "phone")).toEqual([`routed: ${rule}`, `push-queued: ${rule}`, sent]);
  }
  await first.engine.close();
  const second = await createStage({ storage, clock });
  for (const result of results) expect(await told(second.engine, result, "phone")).toEqual([sent]);
  await second.engine.close();
});

test("what was pushed before a restart and acked after it is told from both, each once", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  (await first.device("sara", { deviceId: "phone", token: "t" })).leave();
  await clock.settle();
  const result = await first.engine.publish({ to: "sara", content: "hi" });
  await clock.advance(1_000);
  await first.engine.close();
  const second = await createStage({ storage, clock });
  await second.device("sara", { deviceId: "phone" });
  await clock.advance(1_000);
  expect(await told(second.engine, result, "phone")).toEqual(["push-sent: ok", "seen", "acked"]);
  expect(await second.engine.explain(result)).toMatchObject({
    verdict: "routed",
    delivered: 1,
    devices: [{ rule: "disconnected.away/alert" }],
  });
  await second.engine.close();
});

test("what a push waits for is told after a restart too, without the outbox's own words", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  (await first.device("sara", { deviceId: "phone", token: "t" })).leave();
  await first.device("sara", { deviceId: "laptop", idleMs: 45_000 });
  const result = await first.engine.publish({ to: "sara", content: "hi" });
  await clock.advance(10_000);
  await first.engine.close();
  const second = await createStage({ storage, clock });
  expect(await told(second.engine, result, "phone")).toEqual([SHOWN_ELSEWHERE]);
  await second.engine.close();
});

/** A row as the outbox gives it. */
function row(given: Partial<OutboxRow>): OutboxRow {
  return {
    ...{ id: "row", userId: "sara", deviceId: "phone", targetId: "place", provider: "fake", messageId: "m", urgency: "normal" },
    ...{ topic: "sara/default", position: { epoch: 1, offset: 1 }, dueAt: 1_000, expiresAt: 90_000, coalesced: false },
    ...{ rule: "disconnected.away/alert", status: "pending", attempts: 0, note: undefined, covers: [], changedAt: 1_000 },
    ...given,
  };
}

/** What is known of that message from its log alone. */
const LOGGED: Explanation = {
  ...{ id: "m", topic: "sara/default", position: { epoch: 1, offset: 1 }, from: undefined, sentAt: 0, verdict: "routed" },
  ...{ devices: [], counts: {}, delivered: 0 },
};

test("a push of a message that has expired, or of a log that was lost, is not taken for another one's of the same id", async () => {
  const clock = createManualClock();
  const storage = await memory().open({ clock, random: seededRandom(7), logger: { info() {}, warn() {}, error() {} } });
  const append = async (key: string, ttl: number): Promise<void> => {
    const expiresAt = clock.now() + ttl;
    const payload = encodePayload("hi", undefined);
    const bytes = encodeEnvelope({ id: "m", from: key, sentAt: clock.now(), expiresAt, options: undefined, payload });
    await storage.transport.publish("sara/default", bytes, { key, expiresAt });
  };
  await append("reza", 1_000);
  await append("omid", 60_000);
  const { epoch } = (await storage.history!.read("sara/default", 0, 1)).head;
  const explain = (position: Position) => {
    const outbox = { ofMessage: () => Promise.resolve([row({ position })]) } as Partial<Outbox> as Outbox;
    return explainMessage({ topic: "sara/default", position }, [], {
      ...{ history: storage.history, users: storage.users },
      outbox,
      clock,
    });
  };
  expect(await explain({ epoch, offset: 1 })).toMatchObject({ id: "m", from: "reza" });
  expect(await explain({ epoch: epoch - 1, offset: 1 })).toBeUndefined();
  await clock.advance(2_000);
  expect(await explain({ epoch, offset: 1 })).toBeUndefined();
  expect(await explain({ epoch, offset: 2 })).toMatchObject({ id: "m", from: "omid" });
});

const linesOf = (rows: OutboxRow[]) =>
  withOutbox(LOGGED, rows).devices.map(({ device, events }) => [
    device,
    ...events.map(({ at, kind, detail }) => `${at} ${kind}: ${detail}`),
  ]);

test.each<[string, Partial<OutboxRow>, string]>([
  ["is about to leave", {}, "push-queued: disconnected.away/alert"],
  ["waits for others", { coalesced: true, urgency: "low", dueAt: 61_000 }, "push-queued: disconnected.away/alert"],
  ["is on its way", { status: "sending", attempts: 1 }, "push-asked: undefined"],
  ["waits for another device", { dueAt: 6_000 }, "push-held: the person is at another device"],
  [
    "waits for its turn",
    { dueAt: 61_000, note: "not asked: many came within a minute" },
    "push-held: many came within a minute",
  ],
  [
    "was not asked for",
    { attempts: 1, note: "not asked: the node closed before it left" },
    "push-held: the node closed before it left",
  ],
  ["was put off", { attempts: 2, note: "HTTP 503" }, "push-retry: HTTP 503"],
  ["left", { status: "sent", attempts: 1, note: "HTTP 204" }, "push-sent: HTTP 204"],
  ["was not needed", { status: "dropped", note: "read on another device" }, "push-dropped: read on another device"],
  ["had nowhere to go", { status: "gone", attempts: 1, note: "HTTP 410" }, "push-gone: HTTP 410"],
  ["came too late", { status: "expired", note: "expired before it left" }, "expired: expired before it left"],
])("the outbox says of a push that it %s", (_what, given, line) => {
  expect(linesOf([row(given)])).toEqual([[deviceName("phone"), `1000 ${line}`]]);
});

test("several targets of a device are told as one device, in the order in which it happened", () => {
  const rows = [
    row({ id: "a", status: "sent", note: "ok", changedAt: 3_000 }),
    row({ id: "b", targetId: "other", provider: "other", status: "sent", note: "ok", changedAt: 2_000 }),
    row({ id: "c", deviceId: "tablet", status: "gone", note: "410" }),
  ];
  expect(linesOf(rows)).toEqual([
    [deviceName("phone"), "2000 push-sent: ok", "3000 push-sent: ok"],
    [deviceName("tablet"), "1000 push-gone: 410"],
  ]);
  const known = withOutbox(LOGGED, rows.slice(0, 1));
  expect(withOutbox(known, rows).devices[0]?.events).toHaveLength(2);
});

test("what the outbox alone knows of a push names its provider, and of one that waits until when", () => {
  const rows = [
    row({ id: "a", provider: "a", attempts: 2, note: "HTTP 503", dueAt: 9_000 }),
    row({ id: "b", provider: "b", note: "not asked: its target rests: HTTP 403", dueAt: 60_000 }),
    row({ id: "c", provider: "c", dueAt: 6_000 }),
    row({ id: "d", provider: "d", status: "sent", attempts: 1, note: "ok" }),
  ];
  expect(withOutbox(LOGGED, rows).devices[0]?.events.map(({ kind, provider, until }) => [kind, provider, until])).toEqual([
    ["push-retry", "a", 9_000],
    ["push-held", "b", 60_000],
    ["push-held", "c", 6_000],
    ["push-sent", "d", undefined],
  ]);
});

test("that a push was made is told once, whatever it waited for by then", () => {
  const known = withOutbox(LOGGED, [row({})]);
  expect(withOutbox(known, [row({ dueAt: 6_000 })])).toEqual(known);
});

test("what a push waits for besides is told, though it is known that it was made", () => {
  const known = withOutbox(LOGGED, [row({})]);
  const why = "its target rests: HTTP 403";
  expect(withOutbox(known, [row({ note: `not asked: ${why}`, changedAt: 2_000 })]).devices[0]?.events).toMatchObject([
    { kind: "push-queued" },
    { kind: "push-held", detail: why },
  ]);
});

test("a message that nodes know of no device for was routed when the outbox has pushes of it", () => {
  const known = { ...withOutbox(LOGGED, [row({})]), verdict: "no-device" as const, devices: [] };
  expect(withOutbox(known, [row({})]).verdict).toBe("routed");
  expect(withOutbox(known, []).verdict).toBe("no-device");
});

test("of a public message the devices stay bounded", () => {
  const rows = Array.from({ length: 150 }, (_, index) => row({ id: `${index}`, userId: `user ${index}`, topic: "*/room" }));
  expect(withOutbox(LOGGED, rows).devices).toHaveLength(100);
});
