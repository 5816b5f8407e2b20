import { expect, test } from "vitest";
import { deviceName, type SubscriptionChange } from "../../mod.ts";
import { createStage, surviving } from "./stage.ts";

const room = { to: "*", channel: "room" };

async function listening(options: Parameters<typeof createStage>[0] = {}) {
  const stage = await createStage(options);
  const told: SubscriptionChange[] = [];
  stage.engine.on("subscription", (change) => told.push(change));
  return { ...stage, told };
}

test("subscriptions() lists what a user is subscribed to and where it begins, by topic", async () => {
  const { engine, device } = await createStage();
  expect(await engine.subscriptions("sara")).toEqual([]);
  await engine.publish({ ...room, content: "before" });
  const { position } = await engine.publish({ ...room, content: "before" });
  await device("sara");
  await engine.subscribe("sara", room);
  expect(await engine.subscriptions("sara")).toEqual([
    { topic: "*/room", ...room, begins: position },
    { topic: "sara/default", to: "sara", channel: "default", begins: { epoch: 0, offset: 0 } },
  ]);
  await engine.unsubscribe("sara", room);
  expect((await engine.subscriptions("sara")).map(({ topic }) => topic)).toEqual(["sara/default"]);
  await expect(engine.subscriptions("a/b")).rejects.toMatchObject({ code: "bad-name" });
});

test("who is subscribed and who is not any more is told once it is so, with where it begins and who asked", async () => {
  const { engine, clock, device, told } = await listening();
  const phone = await device("sara", { deviceId: "phone" });
  const name = deviceName("phone");
  const { position } = await engine.publish({ ...room, content: "one" });
  expect(await engine.subscribe("sara", room)).toEqual(position);
  await phone.request({ type: "unsubscribe", ref: 0, topic: "*/room" });
  await phone.request({ type: "subscribe", ref: 0, topic: "*/room", since: { epoch: 0, offset: 0 }, anew: false });
  await engine.unsubscribe("sara", room);
  const at = clock.now();
  const about = { userId: "sara", topic: "*/room", at };
  expect(told).toEqual([
    { kind: "subscribed", ...about, begins: position, device: undefined },
    { kind: "unsubscribed", ...about, begins: undefined, device: name },
    { kind: "subscribed", ...about, begins: { epoch: position!.epoch, offset: 0 }, device: name },
    { kind: "unsubscribed", ...about, begins: undefined, device: undefined },
  ]);
});

test("what changes nothing is not told; what begins anew is", async () => {
  const { engine, device, told } = await listening();
  const phone = await device("sara");
  await engine.unsubscribe("sara", room);
  await engine.subscribe("sara", room);
  await engine.subscribe("sara", room);
  await phone.request({ type: "subscribe", ref: 0, topic: "*/room", since: null, anew: false });
  await engine.publish({ ...room, content: "one" });
  await engine.subscribe("sara", { ...room, anew: true });
  expect(told.map(({ kind, begins }) => [kind, begins?.offset])).toEqual([["subscribed", 0], ["subscribed", 1]]);
});

test("a listener is told before the call resolves, sees it stored, and is not waited for", async () => {
  const { engine } = await createStage();
  const order: string[] = [];
  const seen: Promise<unknown>[] = [];
  engine.on("subscription", ({ userId, kind }) => {
    order.push(kind);
    seen.push(engine.subscriptions(userId).then((all) => all.map(({ topic }) => topic)));
    return new Promise(() => {});
  });
  await engine.subscribe("sara", room);
  order.push("resolved");
  await engine.unsubscribe("sara", room);
  order.push("resolved");
  expect(order).toEqual(["subscribed", "resolved", "unsubscribed", "resolved"]);
  expect((await Promise.all(seen))[0]).toEqual(["*/room"]);
});

test("what is refused is not told", async () => {
  const { engine, device, told } = await listening({ limits: { topics: 1 } });
  const phone = await device("sara");
  await expect(engine.subscribe("sara", room)).rejects.toMatchObject({ code: "too-many" });
  await expect(engine.subscribe("sara", { to: "reza" })).rejects.toMatchObject({ code: "forbidden" });
  await expect(engine.unsubscribe("sara", { to: "sara" })).rejects.toMatchObject({ code: "forbidden" });
  await phone.request({ type: "subscribe", ref: 0, topic: "reza/default", since: null, anew: false });
  expect(told).toEqual([]);
});

test("after a restart the list is what it was, and nothing is told again", async () => {
  const storage = surviving();
  const first = await createStage({ storage });
  await first.engine.subscribe("sara", room);
  const before = await first.engine.subscriptions("sara");
  await first.engine.close();
  const { engine, device, told } = await listening({ storage });
  await device("sara");
  expect((await engine.subscriptions("sara")).filter(({ to }) => to === "*")).toEqual(before);
  expect(told).toEqual([]);
});
