import { describe, expect, test } from "vitest";
import { createLives, type Lives } from "./lives.ts";
import type { Device } from "./stage.ts";

interface Place {
  topic: string;
  epoch: number;
  offset: number;
}

/** A phone that has left and waits for three pushes, and a laptop that has not acked them. */
async function waiting(): Promise<{ lives: Lives; laptop: Device; places: Place[] }> {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
  for (const content of ["1", "2", "3"]) await lives.say(content);
  return { lives, laptop, places: laptop.of("message").map(({ topic, epoch, offset }) => ({ topic, epoch, offset })) };
}

function mark(device: Device, kind: "read" | "dismissed", place: Place): ReturnType<Device["request"]> {
  return device.request({ type: "mark", ref: 0, kind, ...place });
}

describe.each(["read", "dismissed"] as const)("a mark '%s'", (kind) => {
  test.each<[string, (place: Place) => Place]>([
    ["of another epoch", (place) => ({ ...place, epoch: place.epoch + 1 })],
    ["of epoch 0", (place) => ({ ...place, epoch: 0 })],
    ["of offset 0", (place) => ({ ...place, offset: 0 })],
    ["beyond the head", (place) => ({ ...place, offset: place.offset + 1 })],
    ["far beyond the head", (place) => ({ ...place, offset: 2 ** 53 - 1 })],
    ["in somebody else's topic", (place) => ({ ...place, topic: "reza/default" })],
    ["in a topic that is not subscribed to", (place) => ({ ...place, topic: "*/news" })],
  ])("%s is refused and changes nothing", async (_, change) => {
    const { lives, laptop, places } = await waiting();
    const answer = await mark(laptop, kind, change(places[2]!));
    expect(answer).toMatchObject({ type: "error", code: expect.stringMatching(/^(bad-message|not-subscribed)$/) });
    expect(laptop.closedWith).toBeUndefined();
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["phone 1", "phone 2", "phone 3"]);
  });

  test("of an expired entry is taken, as far as the head", async () => {
    const { lives, laptop } = await waiting();
    await lives.say("short", { ttl: 60, urgency: "low" });
    await lives.say("long", { urgency: "low" });
    const { topic, epoch, offset } = laptop.of("message")[3]!;
    await lives.clock.advance(55_000);
    await lives.say("last", { urgency: "low" });
    const before = lives.pushed().length;
    // Its row has the same time as that of the other: nothing of either has left.
    await lives.clock.advance(4_000);
    expect(await mark(laptop, kind, { topic, epoch, offset })).toMatchObject({ type: "ok" });
    await lives.clock.advance(2_000);
    expect(await mark(laptop, kind, { topic, epoch, offset })).toMatchObject({ type: "ok" });
    expect(await mark(laptop, kind, { topic, epoch, offset: offset + 3 })).toMatchObject({ type: "error" });
    await lives.clock.advance(600_000);
    expect(lives.provider.sent.slice(before).map(({ notification: { waiting } }) => waiting)).toEqual([2]);
  });

  test("of an expired entry of which nothing is known any more is taken, of this life of the log only", async () => {
    const lives = await createLives();
    await lives.say("short", { ttl: 60 });
    await lives.say("long");
    await lives.clock.advance(61_000);
    await lives.restart();
    const laptop = await lives.sara("laptop");
    await lives.clock.settle();
    const { topic, epoch, offset } = laptop.of("message")[0]!;
    const expired = { topic, epoch, offset: offset - 1 };
    expect(await mark(laptop, kind, expired)).toMatchObject({ type: "ok" });
    expect(await mark(laptop, kind, { ...expired, epoch: epoch + 1 })).toMatchObject({ type: "error" });
  });

  test("said twice is stored once", async () => {
    const { lives, laptop, places } = await waiting();
    for (let times = 0; times < 2; times++) expect(await mark(laptop, kind, places[1]!)).toMatchObject({ type: "ok" });
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(kind === "read" ? ["phone 3"] : ["phone 1", "phone 3"]);
  });
});

test("'read' reaches back over everything before it, 'dismissed' over nothing", async () => {
  const { lives, laptop, places } = await waiting();
  await mark(laptop, "dismissed", places[0]!);
  await mark(laptop, "read", places[1]!);
  await mark(laptop, "read", places[0]!);
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toEqual(["phone 3"]);
});

test("a mark of a kind that is not known is answered with unsupported: it changes nothing, and the connection lives", async () => {
  const { lives, laptop, places } = await waiting();
  expect(await laptop.request({ type: "mark", ref: 0, kind: "liked", ...places[2]! })).toMatchObject({
    type: "error",
    code: "unsupported",
    retryable: false,
  });
  expect(laptop.closedWith).toBeUndefined();
  await lives.clock.advance(60_000);
  expect(lives.pushed()).toEqual(["phone 1", "phone 2", "phone 3"]);
});
