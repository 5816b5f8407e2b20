import { expect, test } from "vitest";
import { memory, PeykError, type Storage } from "../../mod.ts";
import { createStage } from "./stage.ts";

test("nothing is pushed for a message that was seen in time", async () => {
  const { engine, clock, provider, device, story } = await createStage();
  await device("sara", { token: "t" });
  const { id } = await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
  expect(await story(id)).toEqual(["routed", "seen", "acked"]);
});

test("a message that is not seen within ackTimeoutMs is pushed once, though the socket is open", async () => {
  const { engine, clock, provider, device, story } = await createStage();
  const phone = await device("sara", { token: "t", habit: "mute" });
  const { id } = await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(2_999);
  expect(provider.sent).toEqual([]);
  await clock.advance(1);
  expect(provider.sent.map(({ notification }) => notification.id)).toEqual([id]);
  expect((await engine.sessions("sara"))[0]?.state).toBe("connected.suspect");
  expect(await story(id)).toEqual(["routed", "push-queued", "push-sent"]);
  // Whatever becomes of the session, what was pushed is not pushed again.
  phone.drop();
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(1);
  expect(await story(id)).toEqual(["routed", "push-queued", "push-sent"]);
});

test("a suspect session is pushed at once, and is trusted again when everything overdue was seen", async () => {
  const { engine, clock, provider, device } = await createStage();
  const phone = await device("sara", { token: "t", habit: "mute" });
  await engine.publish({ to: "sara", content: "one" });
  await clock.advance(3_000);
  await engine.publish({ to: "sara", content: "two" });
  await clock.settle();
  expect(provider.sent).toHaveLength(2);
  phone.ack();
  phone.habit = "acks";
  await clock.settle();
  expect((await engine.sessions("sara"))[0]?.state).toBe("connected.live");
  await engine.publish({ to: "sara", content: "three" });
  await clock.advance(60_000);
  expect(provider.sent).toHaveLength(2);
});

test("in the background a message is delivered and pushed at once, and its ack does not call the push back", async () => {
  const { engine, clock, provider, device } = await createStage();
  const phone = await device("sara", { token: "t", visible: false });
  const { id } = await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(phone.contents).toEqual(["hi"]);
  expect(provider.sent.map(({ notification }) => notification.id)).toEqual([id]);
});

test("an ack from the background does not call back a push that the provider has put off", async () => {
  const { engine, clock, provider, device } = await createStage();
  provider.verdict = (_, attempt) => attempt === 1 ? { verdict: "retry", afterMs: 1_000, reason: "busy" } : { verdict: "sent" };
  const phone = await device("sara", { token: "t", visible: false, habit: "sees" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  phone.ack(phone.cursors);
  await clock.advance(1_000);
  expect(provider.sent).toHaveLength(2);
});

test("a push that the provider has put off is dropped when the person opens the app and the message is acked", async () => {
  const { engine, clock, provider, device, notes } = await createStage();
  provider.verdict = () => ({ verdict: "retry", afterMs: 60_000, reason: "busy" });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  await device("sara");
  await clock.settle();
  expect(notes.at(-1)).toMatchObject({ kind: "push-dropped", detail: "shown on this device" });
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(1);
});

test("a lost socket holds the push for graceMs, a return within it needs none", async () => {
  const { engine, clock, provider, device } = await createStage();
  const phone = await device("sara", { token: "t" });
  phone.drop();
  await engine.publish({ to: "sara", content: "in the tunnel" });
  await clock.advance(14_000);
  const back = await device("sara");
  await clock.advance(60_000);
  expect(back.contents).toEqual(["in the tunnel"]);
  expect(provider.sent).toEqual([]);
});

test("whoever does not return within graceMs is pushed once", async () => {
  const { engine, clock, provider, device, story } = await createStage();
  const phone = await device("sara", { token: "t" });
  phone.drop();
  const { id } = await engine.publish({ to: "sara", content: "in the tunnel" });
  await clock.advance(14_999);
  expect(provider.sent).toEqual([]);
  await clock.advance(1);
  expect(provider.sent.map(({ notification }) => notification.id)).toEqual([id]);
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(1);
  expect(await story(id)).toEqual(["routed", "routed", "push-queued", "push-sent"]);
});

test("after a clean close a message is pushed at once", async () => {
  const { engine, clock, provider, device } = await createStage();
  const phone = await device("sara", { token: "t" });
  phone.leave();
  await clock.settle();
  const { id } = await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(provider.sent.map(({ notification }) => notification.id)).toEqual([id]);
});

test("a push is held while another device is attended, and dropped when that one acks", async () => {
  const { engine, clock, provider, device, notes } = await createStage();
  const phone = await device("sara", { deviceId: "phone", token: "t" });
  phone.leave();
  const laptop = await device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(4_000);
  expect(provider.sent).toEqual([]);
  laptop.ack(laptop.cursors);
  await clock.settle();
  expect(notes.map(({ kind, detail }) => `${kind} ${detail}`)).toContain(
    "push-dropped dealt with on another device, 1 s before it was due",
  );
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
});

test("a push that was held leaves when the attended device does not ack within activeElsewhereMs of the publish", async () => {
  const { engine, clock, provider, device } = await createStage();
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  await device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(4_999);
  expect(provider.sent).toEqual([]);
  await clock.advance(1);
  expect(provider.tokens).toEqual(["t"]);
});

test("low urgency is not pushed while connected, and coalesced into one push when away", async () => {
  const { engine, clock, provider, device } = await createStage();
  const phone = await device("sara", { token: "t", habit: "mute" });
  await engine.publish({ to: "sara", content: "one", urgency: "low" });
  await clock.advance(10_000);
  expect(provider.sent).toEqual([]);
  phone.leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "two", urgency: "very-low" });
  await clock.advance(59_999);
  expect(provider.sent).toEqual([]);
  await clock.advance(1);
  expect(provider.sent.map(({ notification }) => notification.waiting)).toEqual([2]);
  await clock.advance(600_000);
  expect(provider.sent).toHaveLength(1);
});

test("inApp is logged and never pushed, an ephemeral message reaches only who is connected", async () => {
  const { engine, clock, provider, device } = await createStage();
  const phone = await device("sara", { token: "t" });
  const live = await engine.publish({ to: "sara", content: "typing", ephemeral: true });
  await clock.settle();
  expect(live.position).toBeUndefined();
  expect(phone.contents).toEqual(["typing"]);
  phone.leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "in app", inApp: true });
  await engine.publish({ to: "sara", content: "gone", ephemeral: true });
  await clock.advance(600_000);
  expect(provider.sent).toEqual([]);
  const back = await device("sara");
  await clock.settle();
  expect(back.contents).toEqual(["in app"]);
});

test("a connection stays suspect until everything overdue was seen", async () => {
  const { engine, clock, device } = await createStage();
  const phone = await device("sara", { habit: "mute" });
  await engine.publish({ to: "sara", content: "one" });
  await engine.publish({ to: "sara", content: "two" });
  await clock.advance(3_000);
  phone.ack([], 1);
  expect((await engine.sessions("sara"))[0]?.state).toBe("connected.suspect");
  phone.ack([], 2);
  expect((await engine.sessions("sara"))[0]?.state).toBe("connected.live");
});

test("what was seen once is not pushed when it comes again on another connection", async () => {
  const { engine, clock, device, provider } = await createStage();
  const before = await device("sara", { token: "t", habit: "sees" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  before.drop();
  const after = await device("sara", { habit: "mute" });
  await clock.advance(10_000);
  expect(after.contents).toEqual(["hi"]);
  expect(provider.sent).toEqual([]);
});

test("a push composed of a message says what it was asked to say, and no more", async () => {
  const { engine, clock, device, provider } = await createStage();
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "a secret" });
  await engine.publish({ to: "sara", content: "Dinner?", useAsAlert: true, notification: { title: "Reza" } });
  await engine.publish({ to: "sara", content: "sync", silent: true, urgency: "high", ttl: 60 });
  await clock.settle();
  const said = provider.sent.map(({ notification: { alert, silent, urgency, ttl } }) => ({ alert, silent, urgency, ttl }));
  expect(said).toEqual([
    { alert: {}, silent: false, urgency: "normal", ttl: 30 * 24 * 3600 },
    { alert: { title: "Reza", body: "Dinner?" }, silent: false, urgency: "normal", ttl: 30 * 24 * 3600 },
    { alert: undefined, silent: true, urgency: "high", ttl: 60 },
  ]);
});

test("a push that is held beyond the message's life expires", async () => {
  const { engine, clock, device, provider, notes } = await createStage();
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  await device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
  await engine.publish({ to: "sara", content: "hi", ttl: 2 });
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
  expect(notes.at(-1)).toMatchObject({ kind: "expired", detail: "expired before it left" });
});

test("a phone in the background does not call back its own held push by acking, and neither does another one", async () => {
  const { engine, clock, provider, device } = await createStage();
  await device("sara", { deviceId: "phone", token: "t", visible: false });
  await device("sara", { deviceId: "tablet", visible: false });
  const laptop = await device("sara", { deviceId: "laptop", attended: true, habit: "sees" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  laptop.leave();
  await clock.advance(5_000);
  expect(provider.tokens).toEqual(["t"]);
});

test("nothing is queued when the attended device acks before the push is written down", async () => {
  const { engine, clock, provider, device, notes } = await createStage();
  await device("sara", { deviceId: "phone", token: "t", visible: false });
  await device("sara", { deviceId: "laptop", attended: true });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(notes.at(-1)).toMatchObject({ kind: "push-spared", detail: "dealt with on another device" });
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
});

test("a push that waits to be written is decided about again when its session goes away first", async () => {
  let refused = 0;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { users } = opened;
      const put = users.put.bind(users);
      users.put = async (record, parts, rows) => {
        if (rows !== undefined && rows.length > 0 && refused++ === 0) {
          throw new PeykError("unavailable", "not now", { retryable: true });
        }
        return await put(record, parts, rows);
      };
      return opened;
    },
  };
  const { engine, clock, provider, device } = await createStage({ storage });
  const phone = await device("sara", { token: "sara", habit: "mute" });
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(3_000);
  expect({ refused, sent: provider.sent }).toEqual({ refused: 1, sent: [] });
  phone.leave();
  await clock.settle();
  expect(provider.tokens).toEqual(["sara"]);
  await clock.advance(20_000);
  expect(provider.tokens).toEqual(["sara"]);
});
