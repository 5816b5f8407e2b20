import { describe, expect, test } from "vitest";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

const FIVE = ["1", "2", "3", "4", "5"];

/** A phone in the background and a laptop in front; the engine is closed and started again, then five messages come. */
async function restarted(lives: Lives): Promise<void> {
  await lives.sara("phone", { token: "phone", visible: false });
  await lives.sara("laptop", { attended: true });
  await lives.restart();
  for (const content of FIVE) await lives.say(content);
}

async function back(lives: Lives, options: Parameters<Lives["sara"]>[1]): Promise<Device> {
  await lives.clock.advance(500);
  return await lives.sara("laptop", options);
}

describe.each(PLACES)("on %s", (place) => {
  test("five messages after a restart, acked at an attended laptop that returns after 0.5 s, are not pushed to a phone that does not return", async () => {
    const lives = await createLives({}, place);
    await restarted(lives);
    const laptop = await back(lives, { attended: true });
    await lives.clock.settle();
    expect(laptop.contents).toEqual(FIVE);
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("a mark that comes after a restart stops a push that was decided before it", async () => {
    const lives = await createLives({}, place);
    (await lives.sara("phone", { token: "phone" })).leave();
    const before = await lives.sara("laptop", { attended: true, habit: "sees" });
    await lives.say("read");
    await lives.say("dismissed");
    await lives.say("neither");
    const [read, dismissed] = before.of("message");
    await lives.restart();
    const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
    await lives.clock.advance(2_000);
    for (const [kind, { topic, epoch, offset }] of [["dismissed", dismissed!], ["read", read!]] as const) {
      expect(await laptop.request({ type: "mark", ref: 0, kind, topic, epoch, offset })).toMatchObject({ type: "ok" });
    }
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["phone neither"]);
  });
});

test("after a restart only what the laptop acked is not pushed", async () => {
  const lives = await createLives();
  await restarted(lives);
  const laptop = await back(lives, { attended: true, habit: "sees" });
  await lives.clock.settle();
  const { topic, epoch, offset } = laptop.of("message")[2]!;
  laptop.ack([{ topic, epoch, offset }]);
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toEqual(["phone 4", "phone 5"]);
});

test("after a restart acks count also when the laptop loses its line right behind them", async () => {
  const lives = await createLives();
  await restarted(lives);
  const laptop = await back(lives, { attended: true });
  await lives.clock.settle();
  laptop.drop();
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toEqual([]);
});

test("after a restart acks of a laptop without input, or in the background, hold back nothing", async () => {
  for (const place of [{ visible: true }, { visible: false, attended: true }]) {
    const lives = await createLives();
    await restarted(lives);
    await back(lives, place);
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(FIVE.map((content) => `phone ${content}`));
  }
});

test("after a restart the laptop's marks hold back what they mean, though it acks without input", async () => {
  const lives = await createLives();
  await restarted(lives);
  const laptop = await back(lives, {});
  await lives.clock.settle();
  const [, , third, , fifth] = laptop.of("message");
  const mark = async (kind: "read" | "dismissed", { topic, epoch, offset }: typeof third & object) =>
    await laptop.request({ type: "mark", ref: 0, kind, topic, epoch, offset });
  await mark("read", third!);
  await mark("dismissed", fifth!);
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toEqual(["phone 4"]);
});

test("what was acked at an attended device before a restart is not pushed after it", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone", { token: "phone" });
  const laptop = await lives.sara("laptop", { attended: true });
  phone.drop();
  await lives.say("acked");
  await lives.clock.settle();
  expect(laptop.contents).toEqual(["acked"]);
  await lives.restart();
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toEqual([]);
});

test("a merged push that waits over a restart stands only for what was not marked meanwhile", async () => {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  const before = await lives.sara("laptop", { habit: "sees" });
  for (const content of ["a", "b", "c"]) await lives.say(content, { urgency: "low" });
  const [, { topic, epoch, offset }] = before.of("message") as [unknown, { topic: string; epoch: number; offset: number }];
  await lives.clock.advance(30_000);
  await lives.restart();
  const laptop = await lives.sara("laptop", { habit: "sees" });
  await laptop.request({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset });
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["phone a"]);
  expect(lives.provider.sent[0]?.notification.waiting).toBe(2);
});
