import { expect, test } from "vitest";
import { createStage } from "./stage.ts";

const COUNT = 1_200;

test("whoever is away is pushed every message of a burst that is longer than a page of the log, once", async () => {
  const { engine, clock, provider, device } = await createStage();
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  const contents = Array.from({ length: COUNT }, (_, index) => `${index}`);
  // All in one turn: the sweep then is one run, up to the last one.
  await Promise.all(contents.map((content) => engine.publish({ to: "sara", content, id: content })));
  await clock.advance(60_000);
  expect(provider.sent.map(({ notification }) => Number(notification.id)).sort((a, b) => a - b)).toEqual(contents.map(Number));
});

test("somebody whose one device is attended elsewhere and whose other one is away: the burst is decided for the away one alone", async () => {
  const { engine, clock, provider, device } = await createStage();
  await device("sara", { deviceId: "desk", token: "desk", attended: true });
  (await device("sara", { deviceId: "phone", token: "phone" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi", id: "hi" });
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
  const devices = (await engine.explain("hi"))!.devices;
  expect(devices.map(({ state }) => state).sort()).toEqual(["connected.live", "disconnected.away"]);
});
