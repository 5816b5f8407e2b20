import { expect, test } from "vitest";
import type { PushResult } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";

const OFF: PushResult = { verdict: "retry", afterMs: 30_000, reason: "503" };

/** A phone that has left; the push of a message to it waits. */
async function waiting(urgency: "normal" | "low", place?: (typeof PLACES)[number]): Promise<Lives> {
  const lives = await createLives({}, place);
  lives.provider.verdict = (token) => token === "old" ? OFF : { verdict: "sent" };
  (await lives.sara("phone", { token: "old" })).leave();
  await lives.clock.settle();
  await lives.say("hi", { urgency });
  return lives;
}

test.each(PLACES)("a push that waits goes to the token that replaced the old one from the background, on %s", async (place) => {
  const lives = await waiting("normal", place);
  (await lives.sara("phone", { visible: false, token: "new" })).leave();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["old hi", "new hi"]);
});

test("a merged push that waits goes to the new token, with all that it stands for", async () => {
  const lives = await waiting("low");
  await lives.say("ho", { urgency: "low" });
  (await lives.sara("phone", { visible: false, token: "new" })).leave();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["new hi"]);
  expect(lives.provider.sent[0]?.notification.waiting).toBe(2);
});

test("a push that waits goes to the new token after a restart", async () => {
  const lives = await waiting("normal");
  (await lives.sara("phone", { visible: false, token: "new" })).leave();
  await lives.restart();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["old hi", "new hi"]);
});

test("the same token registered again changes nothing about a push that waits", async () => {
  const lives = await waiting("normal");
  (await lives.sara("phone", { visible: false, token: "old" })).leave();
  lives.provider.verdict = () => ({ verdict: "sent" });
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["old hi", "old hi"]);
});

test("a push that waits is dropped with its token when that is removed or moves to another user", async () => {
  for (const how of ["removed", "moved"]) {
    const lives = await waiting("normal");
    if (how === "moved") await lives.device("reza", { token: "old" });
    else {
      const phone = await lives.sara("phone", { visible: false });
      await phone.request({ type: "target", ref: 0, provider: "fake", token: null, details: null });
    }
    lives.provider.verdict = () => ({ verdict: "sent" });
    await lives.clock.advance(120_000);
    expect(lives.pushed()).toEqual(["old hi"]);
  }
});

test("a push that waited for a token that was removed does not go to one that is registered after that", async () => {
  const lives = await waiting("normal");
  const phone = await lives.sara("phone", { visible: false, habit: "mute" });
  for (const token of [null, "new"]) await phone.request({ type: "target", ref: 0, provider: "fake", token, details: null });
  phone.leave();
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["old hi"]);
});

test("a push that is under way as its token is removed does not go to one that is registered after that", async () => {
  const lives = await createLives();
  const { promise, resolve } = Promise.withResolvers<PushResult>();
  lives.provider.verdict = (_, attempt) => attempt === 1 ? promise : { verdict: "sent" };
  const phone = await lives.sara("phone", { token: "old", visible: false, habit: "mute" });
  await lives.say("hi");
  for (const token of [null, "new"]) await phone.request({ type: "target", ref: 0, provider: "fake", token, details: null });
  resolve(OFF);
  await lives.clock.advance(40_000);
  expect(lives.pushed()).toEqual(["old hi"]);
  await lives.say("ho");
  expect(lives.pushed()).toEqual(["old hi", "new ho"]);
});

test("a verdict 'gone' for a token that was replaced meanwhile does not disable the new one, which gets the push", async () => {
  const lives = await createLives();
  const { promise, resolve } = Promise.withResolvers<PushResult>();
  lives.provider.verdict = (token) => token === "old" ? promise : { verdict: "sent" };
  (await lives.sara("phone", { token: "old" })).leave();
  await lives.clock.settle();
  await lives.say("hi");
  (await lives.sara("phone", { visible: false, token: "new" })).leave();
  await lives.clock.settle();
  resolve({ verdict: "gone", reason: "unregistered" });
  await lives.clock.advance(10_000);
  expect(lives.pushed()).toEqual(["old hi", "new hi"]);
  expect((await lives.engine.sessions("sara"))[0]?.targets).toMatchObject([{ disabled: undefined }]);
  await lives.say("ho");
  expect(lives.pushed()).toEqual(["old hi", "new hi", "new ho"]);
});

test("a target gets nothing from before its registration, whatever the app is doing as it registers", async () => {
  for (const how of ["in front", "muted", "background", "away"]) {
    const lives = await createLives();
    const phone = await lives.sara("phone", { habit: how === "muted" ? "mute" : "sees", visible: how !== "background" });
    if (how === "away") phone.leave();
    await lives.clock.settle();
    await lives.say("before");
    await lives.say("before, low", { urgency: "low" });
    const target = { type: "target", ref: 0, provider: "fake", token: "new", details: null } as const;
    const device = how === "away" ? await lives.sara("phone", { visible: false, habit: "sees" }) : phone;
    expect(await device.request(target)).toMatchObject({ type: "ok" });
    device.leave();
    await lives.clock.settle();
    await lives.say("after");
    await lives.clock.advance(120_000);
    expect(lives.pushed(), how).toEqual(["new after"]);
  }
});

test("a target that replaces a disabled one gets nothing from before either", async () => {
  const lives = await createLives();
  lives.provider.verdict = (token) => token === "old" ? { verdict: "gone", reason: "unregistered" } : { verdict: "sent" };
  (await lives.sara("phone", { token: "old" })).leave();
  await lives.clock.settle();
  await lives.say("one");
  await lives.say("two");
  (await lives.sara("phone", { visible: false, token: "new", habit: "mute" })).leave();
  await lives.clock.settle();
  await lives.say("three");
  await lives.clock.advance(120_000);
  expect(lives.pushed()).toEqual(["old one", "new three"]);
});
