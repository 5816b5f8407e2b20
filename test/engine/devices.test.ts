import { expect, test } from "vitest";
import { createLives } from "./lives.ts";

test("of too many devices the one that was away the longest is forgotten, one without a target first", async () => {
  const lives = await createLives({ limits: { devices: 3 } });
  const forgotten = async (): Promise<number> => (await lives.engine.sessions("sara")).length;
  for (const [name, token] of [["phone", "phone"], ["old", undefined], ["tablet", "tablet"]] as const) {
    (await lives.sara(name, token === undefined ? {} : { token })).leave();
    await lives.clock.advance(1_000);
  }
  expect(await forgotten()).toBe(3);
  const fourth = await lives.sara("fourth", { token: "fourth" });
  expect(await forgotten()).toBe(3);
  await lives.say("one");
  await lives.clock.advance(10_000);
  expect(lives.pushed().toSorted()).toEqual(["phone one", "tablet one"]);
  // Next goes the phone: of those with a target it was away the longest.
  await lives.sara("fifth", { token: "fifth" });
  await lives.say("two");
  await lives.clock.advance(10_000);
  expect(lives.pushed().filter((push) => push.endsWith("two"))).toEqual(["tablet two"]);
  await lives.sara("sixth");
  const refused = await lives.sara("seventh");
  expect(refused.of("error")).toMatchObject([{ code: "too-many" }]);
  expect(refused.closedWith).toBeDefined();
  expect(fourth.closedWith).toBeUndefined();
  // A device that is known needs no room.
  fourth.drop();
  expect((await lives.sara("fourth")).of("welcome").length).toBe(1);
});

test("a device that takes a forgotten one's place goes on where that had shown everything", async () => {
  const lives = await createLives({ limits: { devices: 1 } });
  const first = await lives.sara("first");
  await lives.say("one");
  expect(first.contents).toEqual(["one"]);
  first.leave();
  await lives.clock.settle();
  await lives.say("two");
  const second = await lives.sara("second");
  await lives.clock.settle();
  expect(second.contents).toEqual(["two"]);
});

test("2,000 deviceIds of one user leave 50, and nothing of the others", async () => {
  const lives = await createLives();
  for (let index = 0; index < 2_000; index++) (await lives.sara(`device ${index}`)).leave();
  await lives.clock.settle();
  expect((await lives.engine.sessions("sara")).length).toBe(50);
  expect(lives.engine.counters().sessions).toBe(0);
});
