import { describe, expect, test } from "vitest";
import { createEngine } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import { type Device, surviving } from "./stage.ts";

/** A phone that has left, and a laptop that a person is at, which acks nothing by itself. */
async function away(options = {}): Promise<{ lives: Lives; laptop: Device }> {
  const lives = await createLives(options);
  for (const channel of ["alarms", "chat"]) await lives.engine.subscribe("sara", { to: "sara", channel });
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
  return { lives, laptop };
}

/** Acks these entries alone, whatever was before them, as the messages with these contents. */
function ack(device: Device, content: string): void {
  const { topic, epoch, offset } = device.of("message")[device.contents.indexOf(content)]!;
  device.ack([{ topic, epoch, offset }]);
}

function fail(device: Device, content: string): void {
  const { topic, epoch, offset } = device.of("message")[device.contents.indexOf(content)]!;
  device.send({ type: "failed", topic, epoch, offset, reason: "threw" });
}

describe('a channel with handledBy: "mark"', () => {
  const handledBy = { alarms: "mark" } as const;
  const ALARM = { channel: "alarms" };

  test("is pushed though an attended laptop acks at once; other channels are not", async () => {
    const { lives, laptop } = await away({ handledBy });
    await lives.say("alarm", ALARM);
    await lives.say("chat", { channel: "chat" });
    laptop.ack(laptop.cursors);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone alarm"]);
  });

  test("is not pushed when it is marked in time, by a laptop where nobody touched anything", async () => {
    for (const kind of ["read", "dismissed"] as const) {
      const { lives, laptop } = await away({ handledBy });
      await lives.say("alarm", ALARM);
      laptop.state(true, null);
      const { topic, epoch, offset } = laptop.of("message")[0]!;
      await laptop.request({ type: "mark", ref: 0, kind, topic, epoch, offset });
      await lives.clock.advance(600_000);
      expect(lives.pushed()).toEqual([]);
    }
  });

  test("is not pushed to the device itself that shows it", async () => {
    const lives = await createLives({ handledBy });
    await lives.engine.subscribe("sara", { to: "sara", channel: "alarms" });
    const phone = await lives.sara("phone", { token: "phone", attended: true });
    await lives.say("alarm", ALARM);
    phone.leave();
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("does not wait for input at an idle laptop", async () => {
    const { lives, laptop } = await away({ handledBy });
    laptop.state(true, 45_000);
    await lives.say("alarm", ALARM);
    laptop.ack(laptop.cursors);
    await lives.clock.advance(5_000);
    expect(lives.pushed()).toEqual(["phone alarm"]);
  });
});

describe("what a handler fails on at an attended laptop", () => {
  test("is pushed to the phone; the entries around it are handled", async () => {
    const { lives, laptop } = await away();
    for (const content of ["1", "2", "3"]) await lives.say(content);
    fail(laptop, "2");
    ack(laptop, "3");
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone 2"]);
  });

  test("is pushed also when it is acked first and reported later, one by one, or over a restart", async () => {
    for (const how of ["one by one", "restart"]) {
      const { lives, laptop } = await away();
      for (const content of ["1", "2", "3", "4"]) await lives.say(content, { urgency: "low" });
      ack(laptop, "1");
      fail(laptop, "2");
      ack(laptop, "2");
      ack(laptop, "3");
      fail(laptop, "4");
      ack(laptop, "4");
      if (how === "restart") await lives.restart();
      await lives.clock.advance(600_000);
      expect(lives.pushed(), how).toEqual(["phone 2"]);
      expect(lives.provider.sent[0]?.notification.waiting).toBe(2);
    }
  });

  test("is not pushed to the laptop itself, where it was shown", async () => {
    const lives = await createLives();
    const laptop = await lives.sara("laptop", { token: "laptop", attended: true, habit: "sees" });
    await lives.say("hi");
    fail(laptop, "hi");
    ack(laptop, "hi");
    laptop.leave();
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("more than are remembered: nothing before the lowest counts as handled any more", async () => {
    const { lives, laptop } = await away({ policy: { coalesceMs: 0 } });
    const contents = Array.from({ length: 11 }, (_, index) => `${index}`);
    for (const content of contents) await lives.say(content);
    for (const content of contents.slice(1, 10)) fail(laptop, content);
    ack(laptop, "10");
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(contents.slice(0, 10).map((content) => `phone ${content}`));
  });
});

describe("ranges of what was handled", () => {
  test("nine, over a restart: what was marked once is not pushed, though the lowest is forgotten", async () => {
    const { lives, laptop } = await away();
    const contents = Array.from({ length: 18 }, (_, index) => `${index}`);
    for (const content of contents) await lives.say(content, { urgency: "low" });
    for (let index = 0; index < 18; index += 2) {
      const { topic, epoch, offset } = laptop.of("message")[index]!;
      await laptop.request({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset });
    }
    await lives.restart();
    await lives.clock.advance(600_000);
    // The first one's row was dropped before it was forgotten: none of those marked.
    expect(lives.provider.sent.map(({ notification: { waiting } }) => waiting)).toEqual([9]);
  });

  test("nine, while the phone is awaited: when it is decided about, the lowest is pushed too", async () => {
    const lives = await createLives({ policy: { coalesceMs: 0 } });
    const phone = await lives.sara("phone", { token: "phone" });
    const laptop = await lives.sara("laptop", { habit: "sees" });
    phone.drop();
    const contents = Array.from({ length: 18 }, (_, index) => `${index}`);
    for (const content of contents) await lives.say(content);
    for (let index = 0; index < 18; index += 2) {
      const { topic, epoch, offset } = laptop.of("message")[index]!;
      await laptop.request({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset });
    }
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["0", "1", "3", "5", "7", "9", "11", "13", "15", "17"].map((content) => `phone ${content}`));
  });

  test("a laptop whose reading began later says nothing of what was before", async () => {
    const lives = await createLives();
    const phone = await lives.sara("phone", { token: "phone" });
    phone.drop();
    for (const content of ["1", "2"]) await lives.say(content);
    // It begins where the furthest device is, which has acked more than the phone.
    const tablet = await lives.sara("tablet");
    await lives.clock.settle();
    expect(tablet.contents).toEqual(["1", "2"]);
    const laptop = await lives.sara("laptop", { attended: true });
    await lives.say("3");
    expect(laptop.contents).toEqual(["3"]);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone 1", "phone 2"]);
  });

  test("of another life of the log they say nothing", async () => {
    // A log without a past under a record that has one.
    const old = surviving();
    const fresh = surviving();
    let life = 0;
    const lives = await createLives({
      storage: {
        async open(context) {
          const { users, outbox } = await old.open(context);
          const { transport, history, work, close } = await (life++ === 0 ? old : fresh).open({
            ...context,
            random: { id: () => "x", fraction: () => life / 10 },
          });
          return { users, outbox, transport, close, ...history && { history }, ...work && { work } };
        },
      },
    });
    (await lives.sara("phone", { token: "phone" })).leave();
    const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
    for (const content of ["1", "2", "3"]) await lives.say(content);
    const { topic, epoch, offset } = laptop.of("message")[2]!;
    await laptop.request({ type: "mark", ref: 0, kind: "read", topic, epoch, offset });
    await lives.restart();
    for (const content of ["other 1", "other 2"]) await lives.say(content);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone other 1", "phone other 2"]);
  });
});

test("with a dismissed notification all that a merged push stood for is dismissed", async () => {
  const lives = await createLives();
  for (const name of ["phone", "watch"]) (await lives.sara(name, { token: name })).leave();
  await lives.clock.settle();
  lives.provider.verdict = (token) =>
    token === "watch" ? { verdict: "retry", afterMs: 60_000, reason: "off" } : { verdict: "sent" };
  for (const content of ["1", "2", "3"]) await lives.say(content, { urgency: "low" });
  await lives.clock.advance(60_000);
  expect(lives.pushed().sort()).toEqual(["phone 1", "watch 1"]);
  await lives.say("4", { urgency: "low" });
  const phone = await lives.sara("phone", { visible: false, habit: "sees" });
  await lives.clock.settle();
  const { topic, epoch, offset } = phone.of("message")[0]!;
  await phone.request({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset });
  phone.leave();
  lives.provider.verdict = () => ({ verdict: "sent" });
  await lives.clock.advance(600_000);
  expect(lives.pushed().slice(2).sort()).toEqual(["phone 4", "watch 4"]);
  expect(lives.provider.sent.slice(2).map(({ notification: { waiting } }) => waiting)).toEqual([1, 1]);
});

test.each([[{ alarms: "ack or mark" }, "bad-config"], [{ "a/b": "mark" }, "bad-name"]])(
  "handledBy %o is refused with %s",
  async (handledBy, code) => {
    await expect(createEngine({ insecure: true, handledBy: handledBy as never })).rejects.toMatchObject({ code });
  },
);
