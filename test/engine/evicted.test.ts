import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { EngineOptions, Storage } from "../../mod.ts";
import { createStage, type Stage, surviving } from "./stage.ts";

const DAY_MS = 24 * 3600_000;

/** A stage whose time can leap forward by days: to let them pass would renew the lease four million times. */
async function createYears(
  options: EngineOptions = {},
): Promise<Stage & { restart(): Promise<Stage>; days(count: number): Promise<void> }> {
  let passed = 0;
  const base = createManualClock();
  const clock = { ...base, elapsed: () => base.elapsed() + passed * DAY_MS };
  const storage: Storage = surviving();
  const start = (): Promise<Stage> => createStage({ ...options, storage, clock });
  const stage = await start();
  return {
    ...stage,
    async restart() {
      await stage.engine.close();
      return await start();
    },
    /** Goes on so many days later, and lets an hour pass there: users are looked through once in that time. */
    async days(count) {
      passed += count;
      // Timers that leapt with it are late, and wait a little.
      await base.advance(3601_000);
    },
  };
}

test("somebody who was subscribed to a room before the first sign-in is remembered for as long as anybody else", async () => {
  const { days, device, engine } = await createYears();
  await engine.subscribe("sara", { to: "*", channel: "room" });
  await days(1);
  await days(88);
  expect(engine.counters().usersEvicted).toBe(0);
  await engine.publish({ to: "*", channel: "room", content: "hi" });
  const phone = await device("sara");
  await days(0);
  expect(phone.contents).toEqual(["hi"]);
});

test("somebody who was subscribed to a room and never came is forgotten 90 days after that", async () => {
  const { days, engine } = await createYears();
  await engine.subscribe("sara", { to: "*", channel: "room" });
  await days(91);
  expect(engine.counters().usersEvicted).toBe(1);
});

test.each<[string, (stage: Stage) => Promise<void>]>([
  ["closes the app", () => Promise.resolve()],
  ["is signed out", async ({ engine }) => void await engine.revoke("sara")],
  ["finds another user on the device", async ({ device }) => void await device("reza", { deviceId: "phone" })],
])("whoever %s after 90 days on one connection is not forgotten with that", async (_, leave) => {
  const stage = await createYears();
  const { days, device, engine } = stage;
  const phone = await device("sara", { deviceId: "phone", token: "t" });
  await engine.subscribe("sara", { to: "*", channel: "room" });
  await days(91);
  await leave(stage);
  phone.leave();
  await days(1);
  await days(88);
  expect(engine.counters().usersEvicted).toBe(0);
  await engine.publish({ to: "*", channel: "room", content: "hi" });
  const again = await device("sara", { deviceId: "phone" });
  await days(0);
  expect(again.contents).toEqual(["hi"]);
});

test("an engine that is restarted after 90 days remembers whoever was connected from the end of the grace on", async () => {
  const { days, device, restart } = await createYears();
  await device("sara", { deviceId: "phone", token: "t" });
  await days(91);
  const next = await restart();
  await days(1);
  await days(88);
  expect(next.engine.counters().usersEvicted).toBe(0);
  expect(await next.engine.sessions("sara")).toMatchObject([{ state: "disconnected.away", targets: [{ provider: "fake" }] }]);
  await days(2);
  expect(next.engine.counters().usersEvicted).toBe(1);
});
