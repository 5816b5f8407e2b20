import { expect, test } from "vitest";
import { abreast, FULL, upTo } from "./audience.ts";
import type { Device } from "./stage.ts";

// A group is of one state: what each state means for those who are passed together.

test("a group in the background is pushed per message by its rule: alerts now, quiet ones gathered, in-app and ephemeral ones never", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"], { visible: false });
  const results = [
    await say("alert"),
    await say("quiet", { urgency: "low" }),
    await say("in app", { inApp: true }),
    await say("live", { ephemeral: true }),
    await say("alert again"),
  ];
  expect(pushed()).toEqual(["ada news 2", "bo news 2", "ada news 5", "bo news 5"]);
  await clock.advance(200_000);
  expect(pushed().slice(4).filter((push) => !push.endsWith("3"))).toEqual([]);
  for (const { contents } of devices) expect(contents).toEqual(["alert", "quiet", "in app", "live", "alert again"]);
  const counts = await Promise.all(results.map(async (result) => (await engine.explain(result))?.counts));
  expect(counts).toEqual([
    { "backgrounded/alert": 2 },
    { "backgrounded/quiet": 2 },
    { "backgrounded/inApp": 2 },
    undefined,
    { "backgrounded/alert": 2 },
  ]);
});

test("a suspect connection is pushed for each further message at once, and no other of its channel", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo", "cy"]);
  for (const device of devices.slice(0, 2)) device.habit = "mute";
  await say("0");
  await clock.advance(3_000);
  expect(pushed()).toEqual(["ada news 2", "bo news 2"]);
  // From the second one on the two of them are abreast.
  for (let i = 1; i < 4; i++) {
    await say(`${i}`);
    expect(pushed().slice(2 * i)).toEqual([`ada news ${i + 2}`, `bo news ${i + 2}`]);
  }
  await clock.advance(20_000);
  expect(pushed()).toHaveLength(8);
});

test("each device is counted once per message, under the rule of its state when the message came", async () => {
  const { clock, devices, engine, say } = await abreast(["ada", "bo", "cy", "di", "ed"]);
  const [ada, bo, cy, di] = devices as [Device, Device, Device, Device];
  bo.state(false);
  cy.bufferedAmount = FULL;
  di.drop();
  const result = await say("1");
  const rules = { "connected.live/alert": 3, "backgrounded/alert": 1, "disconnected.recent/alert": 1 };
  expect((await engine.explain(result))!.counts).toEqual(rules);
  // Now the slow one reads from the log.
  const next = await say("2");
  expect((await engine.explain(next))!.counts).toEqual(rules);
  cy.drained();
  await clock.settle();
  expect((await engine.explain(next))!.counts).toEqual(rules);
  expect((await engine.explain(result))!.delivered).toBe(4);
  expect(ada.contents).toEqual(["1", "2"]);
});

test("who goes to the background goes there in all channels", async () => {
  const { devices, pushed, say } = await abreast(["ada", "bo"], { channels: ["news", "sport", "weather"] });
  devices[0]!.state(false);
  for (const channel of ["sport", "weather", "news"]) await say(channel, { channel });
  expect(pushed()).toEqual(["ada sport 2", "ada weather 2", "ada news 2"]);
  for (const { contents } of devices) expect(contents).toEqual(["sport", "weather", "news"]);
});

test("a target that comes or goes changes what is pushed from the next message on, and nothing else", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"], { visible: false });
  const [ada, bo] = devices as [Device, Device];
  await say("0");
  await ada.request({ type: "target", ref: 0, provider: "fake", token: null, details: null });
  await say("1");
  await say("2");
  await ada.request({ type: "target", ref: 0, provider: "fake", token: "ada", details: null });
  await say("3");
  await clock.advance(100_000);
  expect(pushed().filter((push) => push.startsWith("ada"))).toEqual(["ada news 2", "ada news 5"]);
  expect(pushed().filter((push) => push.startsWith("bo"))).toEqual(["bo news 2", "bo news 3", "bo news 4", "bo news 5"]);
  for (const device of [ada, bo]) expect(device.contents).toEqual(upTo(4));
});

test("who goes to the background and back while messages flow gets each once, and a push for each that came meanwhile", async () => {
  const { clock, devices, pushed, say } = await abreast(["ada", "bo"]);
  const [ada] = devices as [Device, Device];
  for (let i = 0; i < 10; i++) {
    if (i % 4 === 1) ada.state(false);
    if (i % 4 === 3) ada.state(true);
    await say(`${i}`);
    await clock.advance(100);
  }
  await clock.advance(100_000);
  for (const { contents } of devices) expect(contents).toEqual(upTo(10));
  expect(pushed()).toEqual([1, 2, 5, 6, 9].map((i) => `ada news ${i + 2}`));
});

test("who comes to the foreground is live, in a group before or not, until something new is late", async () => {
  const { clock, devices, engine, pushed, say } = await abreast(["ada", "bo"], { visible: false });
  const [ada] = devices as [Device, Device];
  ada.habit = "mute";
  await say("0");
  await clock.advance(2_000);
  await say("1");
  await clock.advance(2_000);
  ada.state(true);
  await clock.advance(0);
  expect(await engine.sessions("ada")).toMatchObject([{ state: "connected.live" }]);
  ada.ack();
  await say("2");
  ada.ack();
  await clock.advance(10_000);
  expect(pushed().filter((push) => push.startsWith("ada"))).toEqual(["ada news 2", "ada news 3"]);
});
