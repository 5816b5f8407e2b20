import { expect, test } from "vitest";
import { createStage } from "./stage.ts";

const COUNT = 1_200;

test("a burst that is longer than a page of the log: the first ones with their own words, all others as part of few", async () => {
  const { engine, clock, provider, device } = await createStage({ policy: { coalesceMs: 0 } });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  const contents = Array.from({ length: COUNT }, (_, index) => `${index}`);
  provider.verdict = () => ({ verdict: "retry", afterMs: 5_000, reason: "busy" });
  // All in one turn: the sweep then is one run, up to the last one.
  await Promise.all(contents.map((content) => engine.publish({ to: "sara", content, id: content })));
  await clock.settle();
  const asked = provider.sent.length;
  provider.verdict = () => ({ verdict: "sent" });
  await clock.advance(60_000);
  const sent = provider.sent.slice(asked).map(({ notification: { id, waiting } }) => ({ id, waiting }));
  expect(sent.slice(0, -1)).toEqual(contents.slice(0, 20).map((id) => ({ id, waiting: 1 })));
  // Counted up to a hundred.
  expect(sent.at(-1)).toEqual({ id: `${COUNT - 1}`, waiting: 101 });
});

test("somebody whose one device is attended elsewhere and whose other one is away: the burst is decided for the away one alone", async () => {
  const { engine, clock, explain, provider, device } = await createStage();
  await device("sara", { deviceId: "desk", token: "desk", attended: true });
  (await device("sara", { deviceId: "phone", token: "phone" })).leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi", id: "hi" });
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
  const devices = (await explain("hi"))!.devices;
  expect(devices.map(({ state }) => state).sort()).toEqual(["connected.live", "disconnected.away"]);
});
