import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../mod.ts";
import { envelopeDevice, envelopeHead } from "../../src/protocol/codec.ts";
import { createLives, type Lives } from "./lives.ts";

const ROOM = { to: "*", channel: "room" };

/** Sara's phone and tablet, and reza's phone, all with a token; all of them are in a room. */
async function together(options: EngineOptions = {}): Promise<Lives> {
  const lives = await createLives(options);
  for (const user of ["sara", "reza"]) await lives.engine.subscribe(user, ROOM);
  await lives.engine.subscribe("sara", { to: "sara", channel: "links" });
  (await lives.sara("tablet", { token: "tablet" })).leave();
  (await lives.device("reza", { token: "reza" })).leave();
  await lives.clock.settle();
  return lives;
}

/** Sara's phone publishes and goes away before its message can come back to it; what is pushed in the next minutes. */
async function published(lives: Lives, topic: string): Promise<string[]> {
  const phone = await lives.sara("phone", { token: "phone", habit: "mute" });
  expect(await phone.publish(topic, "hi", "m")).toMatchObject({ type: "ok" });
  phone.leave();
  await lives.clock.advance(120_000);
  return lives.pushed().sort();
}

test("one's own message in a room is pushed to the others in it, to none of one's own devices", async () => {
  expect(await published(await together(), "*/room")).toEqual(["reza m"]);
});

test("one's own message in a room is not pushed to oneself from a device in the background, suspect, or recent", async () => {
  for (const how of ["background", "mute", "drop"]) {
    const lives = await together();
    const phone = await lives.sara("phone", { token: "phone", habit: "mute" });
    if (how === "background") phone.state(false);
    await phone.publish("*/room", "hi", "m");
    if (how === "drop") phone.drop();
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual(["reza m"]);
  }
});

test("what the server publishes in a room on a user's behalf is that user's own message", async () => {
  const lives = await together();
  await lives.say("m", { ...ROOM, from: "sara" });
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["reza m"]);
});

test("one's own message in a room is still that after a restart", async () => {
  const lives = await together();
  const phone = await lives.sara("phone", { token: "phone", habit: "mute" });
  await phone.publish("*/room", "hi", "m");
  phone.drop();
  await lives.restart();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["reza m"]);
});

test("a link to one's own phone is pushed there, not to the tablet that it was sent from", async () => {
  const lives = await together();
  (await lives.sara("phone", { token: "phone" })).leave();
  const tablet = await lives.sara("tablet", { habit: "mute" });
  await tablet.publish("sara/default", "hi", "m");
  tablet.leave();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["phone m"]);
});

test("what the server sends to a user on her own behalf is pushed to all her devices", async () => {
  const lives = await together();
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  await lives.say("m", { from: "sara" });
  await lives.clock.advance(120_000);
  expect(lives.pushed().sort()).toEqual(["phone m", "tablet m"]);
});

describe("when authorize changes the message", () => {
  test("the sending device is still left out of one's own private topic", async () => {
    const lives = await together({ authorize: ({ message }) => message === undefined ? true : { ...message, data: "checked" } });
    expect(await published(lives, "sara/default")).toEqual(["tablet m"]);
  });

  test("into another private topic of one's own, the sending device is left out there", async () => {
    const lives = await together({
      authorize: ({ message }) => message === undefined ? true : { ...message, channel: "links" },
    });
    expect(await published(lives, "sara/default")).toEqual(["tablet m"]);
  });

  test("from a room into one's own private topic, the sending device is left out there", async () => {
    const lives = await together({
      authorize: ({ message }) => message === undefined ? true : { ...message, to: "sara", channel: "default" },
    });
    expect(await published(lives, "*/room")).toEqual(["tablet m"]);
  });

  test("from one's own private topic into somebody else's, that user hears nothing of the device", async () => {
    const lives = await together({
      authorize: ({ message }) => message === undefined ? true : { ...message, to: "reza", channel: "default" },
    });
    const reza = await lives.device("reza");
    const phone = await lives.sara("phone");
    await phone.publish("sara/default", "hi", "m");
    await lives.clock.settle();
    expect(reza.of("message").map(({ envelope }) => [envelopeHead(envelope).id, envelopeDevice(envelope)])).toEqual([[
      "m",
      undefined,
    ]]);
  });
});
