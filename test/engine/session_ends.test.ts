import { expect, test } from "vitest";
import type { Engine } from "../../mod.ts";
import { createStage, type DeviceOptions } from "./stage.ts";

/** The states that a user's devices are said to be in, as they follow. */
function told(engine: Engine, name: string): string[] {
  const states: string[] = [];
  engine.on("session", ({ userId, state }) => userId === name ? states.push(state) : 0);
  return states;
}

test.each<[string, DeviceOptions, string]>([
  ["in front", {}, "connected.live"],
  ["in the background", { visible: false }, "backgrounded"],
])("whose device another user takes is told to be away, who was %s", async (_, options, state) => {
  const { clock, device, engine } = await createStage();
  const states = told(engine, "reza");
  await device("reza", { ...options, deviceId: "tablet", token: "t" });
  await device("sara", { deviceId: "tablet" });
  expect(states).toEqual([state, "disconnected.away"]);
  await clock.advance(60_000);
  expect(states).toEqual([state, "disconnected.away"]);
  expect((await engine.sessions("reza"))[0]?.state).toBe("disconnected.away");
});

test("so is one whose socket was lost just before, once", async () => {
  const { clock, device, engine } = await createStage();
  const states = told(engine, "reza");
  (await device("reza", { deviceId: "tablet" })).drop();
  await clock.settle();
  await device("sara", { deviceId: "tablet" });
  await clock.advance(60_000);
  expect(states).toEqual(["connected.live", "disconnected.recent", "disconnected.away"]);
});

test("a listener that looks finds the session as it was told", async () => {
  const { device, engine } = await createStage();
  const found: unknown[] = [];
  engine.on("session", ({ state, userId }) => {
    if (userId === "reza" && state === "disconnected.away") found.push(engine.counters().sessions);
  });
  await device("reza", { deviceId: "tablet" });
  await device("sara", { deviceId: "tablet" });
  expect(found).toEqual([0]);
});

test("whose newer connection takes the session is not told to be away", async () => {
  const { device, engine } = await createStage();
  const states = told(engine, "reza");
  await device("reza");
  await device("reza");
  expect(states).toEqual(["connected.live"]);
});

test("whoever is signed out is told so", async () => {
  const { device, engine } = await createStage();
  const states = told(engine, "reza");
  await device("reza");
  await engine.revoke("reza");
  expect(states).toEqual(["connected.live", "signedOut"]);
});
