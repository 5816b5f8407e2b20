import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

const HELD = "push-held shown on another device that was not touched for a while: waits for input there";
const RELEASED = "push-released no input for 2 minutes";

/** The devices here don't count on: an answer to a ping would tell of the same idle time again, which is another input. */
const NO_PINGS = { heartbeatMs: 10_000_000 };

/** A phone that has left, and a laptop that acks a message 45 s after its last input. The push to the phone waits. */
async function acked(options: EngineOptions = {}, place?: (typeof PLACES)[number]): Promise<{ lives: Lives; laptop: Device }> {
  const lives = await createLives({ ...NO_PINGS, ...options }, place);
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { idleMs: 45_000 });
  await lives.say("hi");
  return { lives, laptop };
}

test.each([0, 29_999, 30_000])("an ack %i ms after the last input handles at once", async (idleMs) => {
  const lives = await createLives(NO_PINGS);
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.sara("laptop", { idleMs });
  await lives.say("hi");
  await lives.clock.advance(600_000);
  expect(lives.pushed()).toEqual([]);
});

test.each([120_000, 600_000, null])(
  "an ack %s ms after the last input handles nothing, and holds nothing back",
  async (idleMs) => {
    const lives = await createLives(NO_PINGS);
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.sara("laptop", { idleMs });
    await lives.say("hi");
    expect(lives.pushed()).toEqual(["phone hi"]);
  },
);

describe.each(PLACES)("when a message was acked 45 s after the last input, on %s", (place) => {
  test("its push leaves once when there is no input for two minutes, and explain() says so", async () => {
    const { lives } = await acked({}, place);
    await lives.clock.advance(74_999);
    expect(lives.pushed()).toEqual([]);
    await lives.clock.advance(1);
    expect(lives.pushed()).toEqual(["phone hi"]);
    const told = await lives.told("hi");
    expect(told).toContain(HELD);
    expect(told.filter((event) => event === RELEASED)).toHaveLength(1);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("its push waits over a restart, and leaves at the same time", async () => {
    const { lives } = await acked({}, place);
    await lives.clock.advance(20_000);
    await lives.restart();
    await lives.clock.advance(54_999);
    expect(lives.pushed()).toEqual([]);
    await lives.clock.advance(1);
    expect(lives.pushed()).toEqual(["phone hi"]);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });
});

test.each(["a state frame", "an ack"])("input in time that %s tells of drops the push that waits", async (how) => {
  const { lives, laptop } = await acked();
  await lives.clock.advance(74_000);
  if (how === "an ack") {
    laptop.idleMs = 0;
    laptop.ack();
  } else laptop.state(true, true);
  await lives.clock.advance(600_000);
  expect(lives.pushed()).toEqual([]);
  expect(await lives.told("hi")).toContain("push-dropped dealt with on another device");
});

test("input that comes after two minutes calls nothing back", async () => {
  const { lives, laptop } = await acked();
  await lives.clock.advance(75_000);
  laptop.state(true, true);
  await lives.clock.advance(600_000);
  expect(lives.pushed()).toEqual(["phone hi"]);
});

test("input that came before the ack is no input behind it", async () => {
  const { lives, laptop } = await acked();
  await lives.clock.advance(10_000);
  // The same input, told again.
  laptop.state(true, 55_000);
  await lives.clock.advance(65_000);
  expect(lives.pushed()).toEqual(["phone hi"]);
});

describe.each(["a restart", "a lost line"])("behind %s", (what) => {
  /** The laptop's next connection, 20 s later. */
  async function again(idleMs: number | null): Promise<{ lives: Lives; laptop: Device }> {
    const { lives, laptop } = await acked();
    await lives.clock.advance(20_000);
    if (what === "a restart") await lives.restart();
    else laptop.drop();
    await lives.clock.settle();
    return { lives, laptop: await lives.sara("laptop", { idleMs }) };
  }

  test("input that the hello tells of drops the push that waits", async () => {
    const { lives } = await again(0);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("input on the laptop's next connection drops the push that waits", async () => {
    for (const idleMs of [null, 65_000]) {
      const { lives, laptop } = await again(idleMs);
      await lives.clock.advance(10_000);
      laptop.state(true, true);
      await lives.clock.advance(600_000);
      expect(lives.pushed()).toEqual([]);
    }
  });

  test("the same input told again drops nothing", async () => {
    for (const idleMs of [null, 65_000]) {
      const { lives, laptop } = await again(idleMs);
      laptop.state(true, 65_000);
      await lives.clock.advance(600_000);
      expect(lives.pushed()).toEqual(["phone hi"]);
    }
  });
});

test("input at another device than the one that acked drops nothing", async () => {
  const { lives } = await acked();
  const tablet = await lives.sara("tablet", { habit: "sees" });
  tablet.state(true, true);
  await lives.clock.advance(75_000);
  expect(lives.pushed()).toEqual(["phone hi"]);
});

test("each of several devices that are pushed to is released, or spared", async () => {
  for (const input of [false, true]) {
    const lives = await createLives(NO_PINGS);
    for (const name of ["phone", "watch"]) (await lives.sara(name, { token: name })).leave();
    const laptop = await lives.sara("laptop", { idleMs: 45_000 });
    await lives.say("hi");
    await lives.clock.advance(10_000);
    if (input) laptop.state(true, true);
    await lives.clock.advance(600_000);
    expect(lives.pushed().sort()).toEqual(input ? [] : ["phone hi", "watch hi"]);
  }
});

test("what the laptop's handler failed on does not wait for input there", async () => {
  const lives = await createLives(NO_PINGS);
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { idleMs: 45_000, habit: "sees" });
  for (const content of ["1", "2", "3"]) await lives.say(content);
  const { topic, epoch, offset } = laptop.of("message")[1]!;
  laptop.send({ type: "failed", topic, epoch, offset, reason: "threw" });
  laptop.ack(laptop.cursors);
  await lives.clock.advance(5_000);
  expect(lives.pushed()).toEqual(["phone 2"]);
  await lives.clock.advance(600_000);
  expect(lives.pushed()).toEqual(["phone 2", "phone 1", "phone 3"]);
});

test("other waiting times say so in explain()", async () => {
  for (const [leftMs, words] of [[60_000, "no input for a minute"], [90_000, "no input for 90 s"]] as const) {
    const { lives } = await acked({ policy: { inputMs: 1_000, leftMs } });
    await lives.clock.advance(60_000);
    expect(await lives.told("hi")).toContain(`push-released ${words}`);
  }
});

describe("idle times that make no sense", () => {
  test("2^53 - 1 is no input that counts", async () => {
    const lives = await createLives();
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.sara("laptop", { idleMs: 2 ** 53 - 1 });
    await lives.say("hi");
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("always 0 counts as a person who never goes away, for that device alone", async () => {
    const lives = await createLives();
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.sara("laptop", { idleMs: 0 });
    (await lives.device("reza", { token: "reza" })).leave();
    await lives.clock.advance(600_000);
    await lives.say("hi");
    await lives.say("for reza", { to: "reza" });
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["reza for reza"]);
  });

  test("rising while time stands never makes the last input older, nor newer", async () => {
    const lives = await createLives();
    (await lives.sara("phone", { token: "phone" })).leave();
    const laptop = await lives.sara("laptop", { idleMs: 45_000, habit: "sees" });
    await lives.say("hi");
    for (const idleMs of [46_000, 60_000, 2 ** 53 - 1]) laptop.state(true, idleMs);
    laptop.idleMs = 10_000_000;
    laptop.ack(laptop.cursors);
    await lives.clock.advance(74_999);
    expect(lives.pushed()).toEqual([]);
    await lives.clock.advance(1);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("null after a number: there was no input, and an ack handles nothing", async () => {
    const lives = await createLives();
    (await lives.sara("phone", { token: "phone" })).leave();
    const laptop = await lives.sara("laptop", { idleMs: 0, habit: "sees" });
    await lives.say("hi");
    laptop.idleMs = null;
    laptop.ack(laptop.cursors);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });
});
