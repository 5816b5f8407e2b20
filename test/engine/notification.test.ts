import { expect, onTestFinished, test } from "vitest";
import type { EngineOptions, Notification } from "../../mod.ts";
import { decodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import { createStage, FakeProvider } from "./stage.ts";

const whole: Notification = {
  title: "T",
  body: "B",
  icon: "https://example.org/i.png",
  image: "https://example.org/m.png",
  url: "https://example.org/",
  badge: 3,
  sound: "ding",
  collapseKey: "k",
  actions: [{ action: "reply", title: "Reply" }],
  thread: "t".repeat(256),
  category: "INVITE",
  channel: "news",
  interruptionLevel: "time-sensitive",
};

async function stageOf(options: Pick<EngineOptions, "authorize" | "push"> = {}) {
  const stage = await createStage(options);
  onTestFinished(() => stage.engine.close());
  return stage;
}

test("a notification goes to its provider as a whole, with what was meant for that provider alone", async () => {
  const other = Object.assign(new FakeProvider(), { name: "other" });
  const provider = new FakeProvider();
  const { clock, device, engine } = await stageOf({ push: [provider, other] });
  for (const name of ["fake", "other"]) {
    const phone = await device("sara", { deviceId: `with ${name}` });
    await phone.request({ type: "target", ref: 0, provider: name, token: name, details: null });
    phone.leave();
  }
  await clock.settle();
  const native = { fake: { priority: "high", nested: { list: [1, "two", null] } }, elsewhere: { x: 1 } };
  await engine.publish({ to: "sara", content: "hi", notification: { ...whole, native } });
  await clock.settle();
  expect(provider.sent[0]?.notification).toMatchObject({ alert: whole, native: native.fake });
  expect(provider.sent[0]?.notification.alert).toStrictEqual(whole);
  expect(other.sent[0]?.notification.alert).toStrictEqual(whole);
  expect(other.sent[0]?.notification).not.toHaveProperty("native");
});

test("an app that is there gets it too, without what is not known", async () => {
  const { clock, device, engine } = await stageOf();
  const phone = await device("sara");
  const strange = { ...whole, icon: null, title: undefined, actions: [{ action: "a", title: "A", icon: "x" }] };
  await engine.publish({ to: "sara", notification: strange as unknown as Notification });
  await clock.settle();
  const [message] = phone.of("message");
  const { icon: _icon, title: _title, ...rest } = whole;
  expect(decodeEnvelope(message!.envelope).options?.notification).toStrictEqual({
    ...rest,
    actions: [{ action: "a", title: "A" }],
  });
});

const WRONG: readonly (readonly [field: string, notification: unknown])[] = [
  ["notification", "hi"],
  ["notification", []],
  ["notification", 5],
  ["notification.title", { title: 1 }],
  ["notification.body", { body: {} }],
  ["notification.icon", { icon: true }],
  ["notification.image", { image: [] }],
  ["notification.url", { url: 5 }],
  ["notification.badge", { badge: -1 }],
  ["notification.badge", { badge: 1.5 }],
  ["notification.badge", { badge: "1" }],
  ["notification.sound", { sound: false }],
  ["notification.collapseKey", { collapseKey: 1 }],
  ["notification.actions", { actions: {} }],
  ["notification.actions", { actions: ["x"] }],
  ["notification.actions", { actions: [null] }],
  ["notification.actions", { actions: [{ action: 1, title: "t" }] }],
  ["notification.actions", { actions: [{ action: "a" }] }],
  ["notification.actions", { actions: Array.from({ length: 17 }, () => ({ action: "a", title: "A" })) }],
  ["notification.thread", { thread: "t".repeat(257) }],
  ["notification.category", { category: 1 }],
  ["notification.channel", { channel: "c".repeat(257) }],
  ["notification.interruptionLevel", { interruptionLevel: "loud" }],
  ["notification.interruptionLevel", { interruptionLevel: 1 }],
  ["notification.native", { native: "x" }],
  ["notification.native", { native: [] }],
  ["notification.native", { native: { fcm: "x" } }],
  ["notification.native", { native: { fcm: [] } }],
  ["notification.native", { native: { "No Provider": {} } }],
];

test.each(WRONG)("the server is told that %s is wrong in %j", async (field, notification) => {
  const { engine } = await stageOf();
  const publish = engine.publish({ to: "sara", notification: notification as Notification });
  await expect(publish).rejects.toMatchObject({ code: "bad-message", hint: expect.stringMatching(`^${field}: `) });
  expect(engine.counters().accepted).toBe(0);
});

test("a client whose notification is wrong is answered, where the server lets it have one, and stays connected", async () => {
  const { device } = await stageOf({ authorize: () => true });
  const phone = await device("sara");
  for (const [field, notification] of WRONG.slice(3)) {
    const options = { notification: notification as Notification };
    const answer = await phone.request({
      type: "publish",
      ref: 0,
      topic: "sara/default",
      id: "m",
      options,
      payload: encodePayload("x", 1),
    });
    expect(answer).toMatchObject({ type: "error", code: "bad-message", hint: expect.stringMatching(`^${field}: `) });
  }
  expect(phone.closedWith).toBeUndefined();
});

test("more native than 4,096 bytes is too much, for all providers together", async () => {
  const { engine } = await stageOf();
  const native = (size: number) => ({ fcm: { x: "x".repeat(size) }, apns: { x: "x".repeat(size) } });
  await engine.publish({ to: "sara", notification: { native: native(2_000) } });
  await expect(engine.publish({ to: "sara", notification: { native: native(2_048) } })).rejects.toMatchObject({
    code: "too-large",
  });
});

test("a client can't set native, as it can't set anything of a notification", async () => {
  const { device } = await stageOf();
  const phone = await device("sara");
  for (const notification of [{ native: { fake: { a: 1 } } }, { thread: "t" }, {}]) {
    const frame = {
      type: "publish",
      ref: 0,
      topic: "sara/default",
      id: "m",
      options: { notification },
      payload: encodePayload("x", 1),
    } as const;
    expect(await phone.request(frame)).toMatchObject({ type: "error", code: "forbidden" });
  }
});
