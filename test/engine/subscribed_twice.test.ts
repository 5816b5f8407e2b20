import { describe, expect, test } from "vitest";
import type { Position, PushResult } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import type { Device } from "./stage.ts";

const NEWS = { to: "*", channel: "news" };
const BEGINNING = { epoch: 0, offset: 0 };

function subscribe(device: Device, since: Position | null = null, anew = false): ReturnType<Device["request"]> {
  return device.request({ type: "subscribe", ref: 0, topic: "*/news", since, anew });
}

function recovered(device: Device): boolean | undefined {
  return device.of("welcome")[0]!.recovery.find(({ topic }) => topic === "*/news")?.recovered;
}

/** Two messages are in the log before sara subscribes; her phone is away, and three come while her laptop reads. */
async function reading(): Promise<{ lives: Lives; laptop: Device; start: Position }> {
  const lives = await createLives();
  for (const content of ["a", "b"]) await lives.say(content, NEWS);
  const start = await lives.engine.subscribe("sara", NEWS);
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { habit: "sees" });
  for (const content of ["1", "2", "3"]) await lives.say(content, { ...NEWS, urgency: "low" });
  return { lives, laptop, start };
}

describe("a second subscribe", () => {
  test.each([["without since", null], ["since the beginning", BEGINNING]] as const)(
    "%s changes nothing, answers the stored start, and takes no message from a device that was away",
    async (_, since) => {
      const { lives, laptop, start } = await reading();
      expect(await subscribe(laptop, since)).toMatchObject({ type: "ok", value: { ...start, recovered: true } });
      expect(await lives.engine.subscribe("sara", since === null ? NEWS : { ...NEWS, since })).toEqual(start);
      await lives.clock.advance(120_000);
      expect(lives.provider.sent.map(({ notification: { waiting } }) => waiting)).toEqual([3]);
      const phone = await lives.sara("phone");
      await lives.clock.settle();
      expect(phone.contents).toEqual(["1", "2", "3"]);
      expect(recovered(phone)).toBe(true);
      expect(laptop.contents).toEqual(["1", "2", "3"]);
    },
  );

  test("after a restart changes nothing either", async () => {
    const { lives, start } = await reading();
    await lives.restart();
    expect(await lives.engine.subscribe("sara", NEWS)).toEqual(start);
    const phone = await lives.sara("phone");
    await lives.clock.settle();
    expect(phone.contents).toEqual(["1", "2", "3"]);
  });
});

describe("a subscribe anew", () => {
  test("begins with what comes from now on, says that it recovered nothing, and drops the pushes that wait", async () => {
    const { lives, laptop, start } = await reading();
    const begun = { epoch: start.epoch, offset: start.offset + 3 };
    expect(await subscribe(laptop, null, true)).toMatchObject({ type: "ok", value: { ...begun, recovered: false } });
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual([]);
    await lives.say("4", NEWS);
    expect(lives.pushed()).toEqual(["phone 4"]);
  });

  test("tells devices that were away at their next hello, once", async () => {
    const { lives, laptop } = await reading();
    await subscribe(laptop, null, true);
    const phone = await lives.sara("phone");
    await lives.clock.settle();
    expect(recovered(phone)).toBe(false);
    expect(phone.contents).toEqual([]);
    phone.leave();
    await lives.clock.settle();
    expect(recovered(await lives.sara("phone"))).toBe(true);
  });

  test("tells them also after a restart", async () => {
    const { lives } = await reading();
    await lives.engine.subscribe("sara", { ...NEWS, anew: true });
    await lives.restart();
    expect(recovered(await lives.sara("phone"))).toBe(false);
  });

  test("tells another device that is connected at once", async () => {
    const { lives, laptop } = await reading();
    const tablet = await lives.sara("tablet", { habit: "sees" });
    await subscribe(laptop, BEGINNING, true);
    await lives.clock.settle();
    expect(tablet.of("subscribed")).toMatchObject([{ topic: "*/news", offset: 0, recovered: false }]);
    expect(tablet.contents.slice(-5)).toEqual(["a", "b", "1", "2", "3"]);
    expect(laptop.contents.slice(-5)).toEqual(["a", "b", "1", "2", "3"]);
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("forgets what was read: what comes again counts as new for marks, and what comes next is pushed", async () => {
    const { lives, laptop, start } = await reading();
    await laptop.request({ type: "mark", ref: 0, kind: "read", ...laptop.cursors[0]! });
    await subscribe(laptop, start, true);
    await lives.say("4", NEWS);
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual(["phone 4"]);
    const phone = await lives.sara("phone");
    await lives.clock.settle();
    expect(phone.contents).toEqual(["1", "2", "3", "4"]);
  });

  test("stops a push that is under way from leaving again, and so does leaving and joining", async () => {
    for (const how of ["anew", "leave and join"]) {
      const lives = await createLives();
      await lives.engine.subscribe("sara", NEWS);
      (await lives.sara("phone", { token: "phone" })).leave();
      await lives.clock.settle();
      const { promise, resolve } = Promise.withResolvers<PushResult>();
      lives.provider.verdict = () => promise;
      await lives.say("1", NEWS);
      if (how === "leave and join") await lives.engine.unsubscribe("sara", NEWS);
      await lives.engine.subscribe("sara", { ...NEWS, since: BEGINNING, anew: how === "anew" });
      lives.provider.verdict = () => ({ verdict: "sent" });
      resolve({ verdict: "retry", afterMs: 5_000, reason: "off" });
      await lives.clock.advance(60_000);
      expect(lives.pushed(), how).toEqual(["phone 1"]);
    }
  });

  test("of a topic that is not subscribed to is a first subscribe", async () => {
    const lives = await createLives();
    const phone = await lives.sara("phone");
    expect(await subscribe(phone, null, true)).toMatchObject({ type: "ok", value: { recovered: true } });
  });
});
