import { describe, expect, test } from "vitest";
import type { PushResult } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

/** A phone that has lost its line, and a laptop that acks nothing by itself. */
async function lost(): Promise<{ lives: Lives; laptop: Device }> {
  const lives = await createLives();
  const phone = await lives.sara("phone", { token: "phone" });
  const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
  phone.drop();
  return { lives, laptop };
}

/** A phone that has left, and a laptop that acks nothing by itself. */
async function away(): Promise<{ lives: Lives; laptop: Device }> {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
  return { lives, laptop };
}

describe("a phone that lost its line is not pushed when the grace ends", () => {
  test("for what an attended laptop acked a second after it came", async () => {
    const { lives, laptop } = await lost();
    await lives.say("hi");
    await lives.clock.advance(1_000);
    laptop.ack(laptop.cursors);
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual([]);
  });

  test.each(["read", "dismissed"] as const)("for what was marked as %s a second after it came", async (kind) => {
    const { lives, laptop } = await lost();
    await lives.say("hi");
    await lives.clock.advance(1_000);
    const { topic, epoch, offset } = laptop.of("message")[0]!;
    await laptop.request({ type: "mark", ref: 0, kind, topic, epoch, offset });
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("for what came in its last five seconds and was acked before or just behind its end", async () => {
    const { lives, laptop } = await lost();
    await lives.clock.advance(12_000);
    await lives.say("before");
    await lives.clock.advance(2_000);
    laptop.ack(laptop.cursors);
    await lives.say("behind");
    await lives.clock.advance(2_000);
    laptop.ack(laptop.cursors);
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("for what the laptop acked right before it lost its line too", async () => {
    const { lives, laptop } = await lost();
    await lives.say("hi");
    laptop.ack(laptop.cursors);
    laptop.drop();
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual([]);
  });

  test("and it is pushed what nobody acked", async () => {
    const { lives, laptop } = await lost();
    await lives.say("acked");
    laptop.ack(laptop.cursors);
    await lives.say("not acked");
    await lives.clock.advance(60_000);
    expect(lives.pushed()).toEqual(["phone not acked"]);
  });
});

describe("a push of low urgency", () => {
  test("does not leave when an attended laptop acks ten seconds later", async () => {
    const { lives, laptop } = await away();
    await lives.say("hi", { urgency: "low" });
    await lives.clock.advance(10_000);
    laptop.idleMs = 5_000;
    laptop.ack(laptop.cursors);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual([]);
    expect(await lives.told("hi")).toContain("push-dropped dealt with on another device, 50 s before it was due");
  });

  test("stands only for those that the laptop did not ack", async () => {
    const { lives, laptop } = await away();
    for (const content of ["1", "2", "3"]) await lives.say(content, { urgency: "low" });
    const { topic, epoch, offset } = laptop.of("message")[0]!;
    laptop.ack([{ topic, epoch, offset }]);
    await lives.clock.advance(600_000);
    expect(lives.pushed()).toEqual(["phone 2"]);
    expect(lives.provider.sent[0]?.notification.waiting).toBe(2);
  });
});

describe.each(PLACES)("while the push service is away for ten minutes, on %s", (place) => {
  test("what an attended laptop acked meanwhile is not pushed when it is back", async () => {
    const lives = await createLives({}, place);
    let verdict: PushResult = { verdict: "retry", reason: "down" };
    lives.provider.verdict = () => verdict;
    (await lives.sara("phone", { token: "phone" })).leave();
    for (const content of ["1", "2", "3", "4", "5"]) await lives.say(content);
    await lives.clock.advance(60_000);
    expect(lives.provider.sent.length).toBeGreaterThan(5);
    await lives.sara("laptop", { attended: true });
    await lives.clock.settle();
    const asked = lives.provider.sent.length;
    await lives.clock.advance(540_000);
    verdict = { verdict: "sent" };
    await lives.clock.advance(600_000);
    expect(lives.provider.sent).toHaveLength(asked);
  });
});

describe("a push that waits while its phone is woken in the background", () => {
  test.each(
    [
      ["the provider has put it off", "normal"],
      ["it is of low urgency", "low"],
    ] as const,
  )("leaves though the phone has acked the message: %s", async (_, urgency) => {
    const lives = await createLives();
    lives.provider.verdict = (_, attempt) =>
      attempt === 1 && urgency === "normal" ? { verdict: "retry", afterMs: 30_000, reason: "503" } : { verdict: "sent" };
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.clock.settle();
    await lives.say("hi", { urgency });
    const woken = await lives.sara("phone", { visible: false });
    await lives.clock.advance(1_000);
    expect(woken.contents).toEqual(["hi"]);
    woken.leave();
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual(urgency === "low" ? ["phone hi"] : ["phone hi", "phone hi"]);
  });

  test("leaves though a tablet has acked the message in the background", async () => {
    const { lives } = await away();
    await lives.sara("tablet", { visible: false, attended: true });
    await lives.say("hi", { urgency: "low" });
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual(["phone hi"]);
  });

  test("does not leave once the app is in front, where the message was acked before", async () => {
    const lives = await createLives();
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.clock.settle();
    await lives.say("hi", { urgency: "low" });
    const woken = await lives.sara("phone", { visible: false });
    await lives.clock.settle();
    woken.state(true);
    await lives.clock.settle();
    woken.leave();
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual([]);
  });
});

test("a message that a phone acked in the background is pushed there over a restart", async () => {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  await lives.say("hi", { urgency: "low" });
  (await lives.sara("phone", { visible: false })).leave();
  await lives.restart();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["phone hi"]);
});
