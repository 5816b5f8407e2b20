import { expect, test } from "vitest";
import type { ReceiptEvent } from "../../mod.ts";
import { createStage, type Device } from "./stage.ts";

test("a private message's receipts go to the server as events and to the publisher's devices as frames", async () => {
  const { engine, clock, device } = await createStage();
  const events: ReceiptEvent[] = [];
  engine.on("receipt", (event) => events.push(event));
  const reza = await device("reza");
  const sara = await device("sara");
  await reza.publish("sara/default", "hi", "m1");
  await clock.settle();
  const { epoch, offset } = sara.of("message")[0]!;
  await sara.request({ type: "mark", ref: 0, kind: "read", topic: "sara/default", epoch, offset });
  expect(events.map(({ kind }) => kind)).toEqual(["accepted", "delivered", "read"]);
  expect(events[1]).toMatchObject({ id: "m1", topic: "sara/default", from: "reza", userId: "sara", count: 1 });
  expect(reza.of("receipt").map(({ kind, id }) => `${kind} ${id}`)).toEqual(["delivered m1", "read m1"]);
});

test("a public message's deliveries are told as counts", async () => {
  const { engine, clock, device } = await createStage();
  const events: ReceiptEvent[] = [];
  engine.on("receipt", (event) => events.push(event));
  for (const user of ["a", "b", "c"]) {
    await engine.subscribe(user, { to: "*", channel: "news" });
    await device(user);
  }
  const result = await engine.publish({ to: "*", channel: "news", content: "all" });
  await clock.advance(1_000);
  expect(events.map(({ kind, count, userId }) => ({ kind, count, userId }))).toEqual([
    { kind: "accepted", count: 1, userId: undefined },
    { kind: "delivered", count: 3, userId: undefined },
  ]);
  expect(await engine.explain(result)).toMatchObject({
    delivered: 3,
    counts: { "connected.live/alert/no-target": 3 },
    devices: [],
  });
});

test("of a burst in a public topic each message is counted for the devices whose handlers are done with it", async () => {
  const { engine, clock, device } = await createStage();
  const devices = [];
  for (const user of ["a", "b", "c"]) {
    await engine.subscribe(user, { to: "*", channel: "news" });
    devices.push(await device(user, { habit: "sees" }));
  }
  const publish = (content: string) => engine.publish({ to: "*", channel: "news", content });
  const results = await Promise.all(["1", "2", "3", "4"].map(publish));
  await clock.settle();
  const [a, b, c] = devices as [Device, Device, Device];
  const cursors = a.of("message").map(({ topic, epoch, offset }) => ({ topic, epoch, offset }));
  const delivered = async () => await Promise.all(results.map(async (result) => (await engine.explain(result))!.delivered));
  a.ack([cursors[0]!]);
  expect(await delivered()).toEqual([1, 0, 0, 0]);
  a.ack([cursors[3]!]);
  b.ack([cursors[2]!]);
  // One of them is passed: the handler gave up on it.
  c.send({ type: "failed", ...cursors[1]!, reason: "threw" });
  c.ack([cursors[3]!]);
  expect(await delivered()).toEqual([3, 2, 3, 2]);
  expect(engine.counters()).toMatchObject({ acked: 10, failed: 1 });
});

test("what was counted of a public message is known after everybody has left and its topic is closed", async () => {
  const { engine, clock, device } = await createStage();
  await engine.subscribe("sara", { to: "*", channel: "news" });
  const phone = await device("sara");
  const result = await engine.publish({ to: "*", channel: "news", content: "all" });
  await clock.settle();
  await engine.unsubscribe("sara", { to: "*", channel: "news" });
  phone.leave();
  expect((await engine.explain(result))?.delivered).toBe(1);
});

test("a handler that gives up is reported as failed, the cursor passes the entry, and nothing is pushed", async () => {
  const { engine, clock, device, provider, story } = await createStage();
  const events: ReceiptEvent[] = [];
  engine.on("receipt", (event) => events.push(event));
  const phone = await device("sara", { token: "t", habit: "sees" });
  const result = await engine.publish({ to: "sara", content: "poison" });
  await clock.settle();
  const { topic, epoch, offset } = phone.of("message")[0]!;
  phone.send({ type: "failed", topic, epoch, offset, reason: "threw" }, {
    type: "ack",
    seen: 1,
    cursors: [{ topic, epoch, offset }],
    idleMs: null,
    waiting: 0,
  });
  await clock.advance(600_000);
  expect(events.map(({ kind }) => kind)).toEqual(["accepted", "failed"]);
  expect(await story(result.id)).toEqual(["routed", "seen", "failed"]);
  expect(provider.sent).toEqual([]);
  expect(engine.counters()).toMatchObject({ failed: 1, acked: 0 });
});

test("a read on one device drops the pushes that wait for the others", async () => {
  const { engine, clock, device, provider } = await createStage();
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  const laptop = await device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
  const result = await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  const { topic, epoch, offset } = laptop.of("message")[0]!;
  await laptop.request({ type: "mark", ref: 0, kind: "read", topic, epoch, offset });
  await clock.advance(600_000);
  expect(provider.sent).toEqual([]);
  expect((await engine.explain(result))?.devices.flatMap(({ events }) => events.map(({ kind }) => kind))).toContain(
    "push-dropped",
  );
});

test("explain tells of each device what was decided by which rule and what came of it", async () => {
  const { engine, clock, device } = await createStage();
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  await clock.settle();
  await device("sara", { deviceId: "laptop" });
  const result = await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(1_000);
  const explanation = await engine.explain(result);
  const byRule = Object.fromEntries(explanation!.devices.map((device) => [device.rule, device.events.map(({ kind }) => kind)]));
  expect(byRule).toEqual({
    "connected.live/alert/no-target": ["routed", "seen", "acked"],
    "disconnected.away/alert": ["routed", "push-queued", "push-sent"],
  });
  expect(await engine.explain({ ...result, topic: "reza/default" })).toBeUndefined();
});
