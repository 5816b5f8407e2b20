import { describe, expect, test } from "vitest";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

async function sayMany(lives: Lives, count: number, from = 1): Promise<void> {
  for (let index = from; index < from + count; index++) await lives.say(`${index}`);
}

async function logout(device: Device): Promise<void> {
  expect(await device.request({ type: "logout", ref: 0 })).toMatchObject({ type: "ok" });
}

describe.each(PLACES)("on %s", (place) => {
  test("whoever signs in again after a logout goes on behind fifty acked messages, and is pushed none of them", async () => {
    const lives = await createLives({}, place);
    const phone = await lives.sara("phone", { token: "phone", attended: true });
    await sayMany(lives, 50);
    expect(phone.contents).toHaveLength(50);
    await logout(phone);
    await lives.restart();
    await lives.say("next");
    const again = await lives.sara("new phone", { token: "phone", attended: true });
    await lives.clock.advance(120_000);
    expect(again.contents).toEqual(["next"]);
    expect(lives.pushed()).toEqual([]);
  });
});

test("whoever signs in again after a revoke goes on at the furthest position of all the devices", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone", { token: "phone" });
  const laptop = await lives.sara("laptop", { habit: "sees" });
  await sayMany(lives, 5);
  const { topic, epoch, offset } = laptop.of("message")[1]!;
  laptop.ack([{ topic, epoch, offset }]);
  expect(phone.contents).toHaveLength(5);
  expect(await lives.engine.revoke("sara")).toBe(2);
  await lives.say("next");
  const again = await lives.sara("phone", { token: "phone" });
  await lives.clock.advance(120_000);
  expect(again.contents).toEqual(["next"]);
  expect(lives.pushed()).toEqual([]);
});

test("an ack that reaches the engine with the logout counts, in a room too", async () => {
  const lives = await createLives();
  await lives.engine.subscribe("sara", { to: "*", channel: "room" });
  const phone = await lives.sara("phone", { habit: "sees" });
  await sayMany(lives, 2);
  await lives.say("room", { to: "*", channel: "room" });
  phone.ack(phone.cursors);
  await logout(phone);
  const again = await lives.sara("phone");
  await lives.clock.settle();
  expect(again.contents).toEqual([]);
});

test("what the last device acked in the background is shown to whoever signs in again", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone");
  await sayMany(lives, 2);
  phone.state(false);
  await sayMany(lives, 2, 3);
  await logout(phone);
  const again = await lives.sara("phone");
  await lives.clock.settle();
  expect(again.contents).toEqual(["3", "4"]);
});

test("what was acked in the background only is shown again, though another device began behind it", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone");
  await sayMany(lives, 2);
  phone.state(false);
  await sayMany(lives, 2, 3);
  const tablet = await lives.sara("tablet");
  await lives.clock.settle();
  expect(tablet.contents).toEqual([]);
  await lives.engine.revoke("sara");
  const again = await lives.sara("phone");
  await lives.clock.settle();
  expect(again.contents).toEqual(["3", "4"]);
});

test("a logout of one of two devices takes nothing from the other one, and a third one begins where that is", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone");
  const laptop = await lives.sara("laptop", { habit: "sees" });
  await sayMany(lives, 3);
  await logout(phone);
  laptop.drop();
  const back = await lives.sara("laptop");
  const tablet = await lives.sara("tablet");
  await lives.clock.settle();
  expect(back.contents).toEqual(["1", "2", "3"]);
  expect(tablet.contents).toEqual([]);
});

test("a new device is pushed nothing that was there before its target was registered, also after a second sign-in", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone", { token: "phone", habit: "sees" });
  await sayMany(lives, 2);
  await logout(phone);
  await lives.say("between");
  const again = await lives.sara("phone", { token: "phone", habit: "mute" });
  again.leave();
  await lives.clock.settle();
  await lives.say("after");
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["phone after"]);
});

test.each(["revoke", "logout", "unsubscribe"])(
  "a push that a provider was asked for when its right ended (%s) does not leave after a restart, though the device is back",
  async (how) => {
    const lives = await createLives();
    const { clock, provider } = lives;
    const subscribe = () => lives.engine.subscribe("sara", { to: "*", channel: "room" });
    await subscribe();
    const phone = await lives.sara("phone", { token: "phone" });
    phone.state(false);
    provider.verdict = () => new Promise(() => {});
    await lives.say("hi", { to: "*", channel: "room" });
    await clock.advance(1_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
    if (how === "revoke") await lives.engine.revoke("sara");
    if (how === "logout") await logout(phone);
    if (how === "unsubscribe") await lives.engine.unsubscribe("sara", { to: "*", channel: "room" });
    let isBack = false;
    const restarting = lives.restart().then(() => isBack = true);
    // The device is back before the push is due again.
    while (!isBack) await clock.advance(10);
    await restarting;
    provider.verdict = () => ({ verdict: "sent" });
    await subscribe();
    (await lives.sara("phone", { token: "phone", habit: "sees", visible: false })).leave();
    await clock.advance(120_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  },
);
