import { expect, test } from "vitest";
import { memory, PeykError, type Storage, type Transport } from "../../mod.ts";
import { createStage } from "./stage.ts";

test("after unsubscribe returns nothing of the topic is written or pushed", async () => {
  const { engine, clock, device, provider } = await createStage();
  await engine.subscribe("sara", { to: "*", channel: "news" });
  const phone = await device("sara", { deviceId: "phone" });
  const tablet = await device("sara", { deviceId: "tablet", token: "t", habit: "mute" });
  await engine.publish({ to: "*", channel: "news", content: "before" });
  await engine.unsubscribe("sara", { to: "*", channel: "news" });
  const written = tablet.frames.length;
  await engine.publish({ to: "*", channel: "news", content: "after" });
  await clock.advance(600_000);
  expect(phone.contents).toEqual(["before"]);
  expect(tablet.frames.slice(written).map(({ type }) => type)).not.toContain("message");
  expect(phone.of("unsubscribed").map(({ topic }) => topic)).toEqual(["*/news"]);
  expect(provider.sent).toEqual([]);
});

test("after revoke returns no frame is written, no request begins, and the sockets are closed for good", async () => {
  const { engine, clock, device, provider } = await createStage();
  const phone = await device("sara", { deviceId: "phone", token: "t", habit: "mute" });
  (await device("sara", { deviceId: "tablet", token: "u" })).drop();
  await engine.publish({ to: "sara", content: "held" });
  expect(await engine.revoke("sara")).toBe(2);
  expect(phone.closedWith).toBe(4103);
  const written = phone.frames.length;
  await engine.publish({ to: "sara", content: "after" });
  await clock.advance(600_000);
  expect(phone.frames).toHaveLength(written);
  expect(provider.sent).toEqual([]);
  expect(await engine.sessions("sara")).toEqual([]);
});

test("a push under retry is not sent again after revoke", async () => {
  const { engine, clock, device, provider } = await createStage();
  provider.verdict = () => ({ verdict: "retry", afterMs: 1_000, reason: "busy" });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(1_500);
  const asked = provider.sent.length;
  expect(asked).toBeGreaterThan(0);
  await engine.revoke("sara");
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(asked);
});

test("logout answers, then releases the target and closes the connection", async () => {
  const { engine, clock, device, provider } = await createStage();
  const phone = await device("sara", { token: "t" });
  expect(await phone.request({ type: "logout", ref: 0 })).toMatchObject({ type: "ok" });
  expect(phone.closedWith).toBe(4103);
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(600_000);
  expect(provider.sent).toEqual([]);
  expect(await engine.sessions("sara")).toEqual([]);
});

test("registering a push target moves it: the former session is not pushed through it any more", async () => {
  const { engine, clock, device, provider } = await createStage();
  (await device("reza", { token: "shared" })).leave();
  await clock.settle();
  (await device("sara", { token: "shared" })).leave();
  await clock.settle();
  await engine.publish({ to: "reza", content: "for reza" });
  await engine.publish({ to: "sara", content: "for sara" });
  await clock.advance(60_000);
  expect(provider.sent.map(({ notification }) => notification.userId)).toEqual(["sara"]);
  expect((await engine.sessions("reza"))[0]?.targets).toEqual([]);
});

test("another user on the same device suspends the former user's session and targets there", async () => {
  const { engine, clock, device, provider } = await createStage();
  const former = await device("reza", { deviceId: "family tablet", token: "t" });
  const later = await device("sara", { deviceId: "family tablet" });
  expect(former.closedWith).toBe(4101);
  await engine.publish({ to: "reza", content: "private" });
  await clock.advance(60_000);
  expect(former.contents).toEqual([]);
  expect(later.contents).toEqual([]);
  expect(provider.sent).toEqual([]);
  expect((await engine.sessions("reza"))[0]).toMatchObject({ state: "disconnected.away", targets: [] });
});

test("a target that the provider calls gone is disabled with reason and time, and not asked again", async () => {
  const { engine, clock, device, provider } = await createStage();
  provider.verdict = () => ({ verdict: "gone", reason: "unregistered" });
  (await device("sara", { token: "secret-token" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "one" });
  await clock.settle();
  await engine.publish({ to: "sara", content: "two" });
  await clock.advance(60_000);
  expect(provider.sent).toHaveLength(1);
  const [session] = await engine.sessions("sara");
  expect(session?.targets[0]?.disabled).toMatchObject({ reason: "unregistered" });
  expect(JSON.stringify(session)).not.toContain("secret-token");
});

test("subscriptions belong to the user: all devices, and they begin with what comes", async () => {
  const { engine, clock, device } = await createStage();
  await engine.publish({ to: "*", channel: "news", content: "old" });
  const phone = await device("sara", { deviceId: "phone" });
  const laptop = await device("sara", { deviceId: "laptop" });
  expect(await phone.request({ type: "subscribe", ref: 0, topic: "*/news", since: null, anew: false })).toMatchObject({
    type: "ok",
  });
  expect(laptop.of("subscribed").map(({ topic }) => topic)).toEqual(["*/news"]);
  await engine.publish({ to: "*", channel: "news", content: "new" });
  await clock.settle();
  const tablet = await device("sara", { deviceId: "tablet" });
  await engine.publish({ to: "*", channel: "news", content: "newer" });
  await clock.settle();
  expect(phone.contents).toEqual(["new", "newer"]);
  expect(laptop.contents).toEqual(["new", "newer"]);
  expect(tablet.contents).toEqual(["newer"]);
});

test("a subscription with since reads the past; to subscribe again changes nothing, with anew it begins anew and says so", async () => {
  const { engine, clock, device, provider } = await createStage();
  for (const content of ["one", "two", "three"]) await engine.publish({ to: "*", channel: "news", content });
  const phone = await device("sara", { token: "t" });
  await phone.request({ type: "subscribe", ref: 0, topic: "*/news", since: { epoch: 0, offset: 0 }, anew: false });
  await clock.settle();
  expect(phone.contents).toEqual(["one", "two", "three"]);
  await phone.request({ type: "subscribe", ref: 0, topic: "*/news", since: null, anew: false });
  expect(await engine.subscribe("sara", { to: "*", channel: "news" })).toMatchObject({ offset: 0 });
  await engine.publish({ to: "*", channel: "news", content: "four" });
  await clock.settle();
  expect(phone.contents).toEqual(["one", "two", "three", "four"]);
  expect(phone.of("subscribed")).toEqual([]);
  phone.habit = "sees";
  await engine.publish({ to: "*", channel: "news", content: "five" });
  await clock.settle();
  expect(await engine.subscribe("sara", { to: "*", channel: "news", anew: true })).toMatchObject({ offset: 5 });
  await clock.settle();
  expect(phone.of("subscribed")).toMatchObject([{ topic: "*/news", offset: 5, recovered: false }]);
  expect(provider.sent).toEqual([]);
});

test("a subscription from the past is there to be read, not to be pushed", async () => {
  const { engine, clock, device, provider } = await createStage();
  for (const content of ["one", "two"]) await engine.publish({ to: "*", channel: "news", content });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  await engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 } });
  await engine.publish({ to: "*", channel: "news", content: "three" });
  await clock.advance(60_000);
  expect(provider.sent.map(({ notification }) => notification.position.offset)).toEqual([3]);
  const back = await device("sara");
  await clock.settle();
  expect(back.contents).toEqual(["one", "two", "three"]);
});

test("pushes that wait are dropped by name when the topic is left or the user is signed out", async () => {
  const { engine, clock, device, provider, notes } = await createStage();
  provider.verdict = () => ({ verdict: "retry", afterMs: 60_000, reason: "busy" });
  await engine.subscribe("sara", { to: "*", channel: "news" });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  await engine.publish({ to: "*", channel: "news", content: "hi" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  await engine.unsubscribe("sara", { to: "*", channel: "news" });
  await engine.revoke("sara");
  const dropped = notes.filter(({ kind }) => kind === "push-dropped").map(({ topic, detail }) => `${topic} ${detail}`);
  expect(dropped).toEqual(["*/news unsubscribed", "sara/default signed out"]);
});

test("a server's publish to a user without devices waits; a client's is refused", async () => {
  const { engine, clock, device } = await createStage();
  const result = await engine.publish({ to: "newcomer", content: "welcome" });
  expect((await engine.explain(result))?.verdict).toBe("no-device");
  const sara = await device("sara");
  expect(await sara.publish("nobody/default", "hi")).toMatchObject({ type: "error", code: "no-recipient", retryable: false });
  const newcomer = await device("newcomer");
  await clock.settle();
  expect(newcomer.contents).toEqual(["welcome"]);
  expect(await sara.publish("newcomer/default", "hi")).toMatchObject({ type: "ok" });
});

test("a subscription is answered before its first entry is written", async () => {
  const { engine, clock, device } = await createStage();
  for (const content of ["one", "two"]) await engine.publish({ to: "*", channel: "news", content });
  const phone = await device("sara");
  phone.send({ type: "subscribe", ref: 9, topic: "*/news", since: { epoch: 0, offset: 0 }, anew: false });
  await clock.settle();
  expect(phone.frames.slice(1).map(({ type }) => type)).toEqual(["ok", "message", "message"]);
});

test("an ack of a subscription that was begun anew meanwhile is no breach of order", async () => {
  const { engine, clock, device } = await createStage();
  await engine.subscribe("sara", { to: "*", channel: "news" });
  const phone = await device("sara", { habit: "sees" });
  for (const content of ["one", "two"]) await engine.publish({ to: "*", channel: "news", content });
  await clock.settle();
  await engine.subscribe("sara", { to: "*", channel: "news", since: { epoch: 0, offset: 0 }, anew: true });
  phone.ack(phone.cursors);
  await clock.settle();
  expect(phone.closedWith).toBeUndefined();
  expect(phone.contents).toEqual(["one", "two", "one", "two"]);
});

test("a return that fails half-way leaves the device away, so that it is pushed", async () => {
  let failing = false;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { transport } = opened;
      const broken: Transport = {
        durable: false,
        publish: (...given) => transport.publish(...given),
        signal: (...given) => transport.signal(...given),
        subscribe: (...given) =>
          failing ? Promise.reject(new PeykError("unavailable", "not now", { retryable: true })) : transport.subscribe(...given),
      };
      return { ...opened, transport: broken };
    },
  };
  const { engine, clock, device, provider } = await createStage({ storage });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  failing = true;
  expect((await device("sara")).closedWith).toBe(4005);
  failing = false;
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(60_000);
  expect(provider.tokens).toEqual(["t"]);
});
