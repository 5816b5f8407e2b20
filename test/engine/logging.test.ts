import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { memory, PeykError, type Storage } from "../../mod.ts";
import { CalmLogger } from "../../src/calm_logger.ts";
import { createStage } from "./stage.ts";

type Line = [message: string, fields?: Record<string, unknown>];

function listening(): { lines: Line[]; logger: Record<"info" | "warn" | "error", (...line: Line) => void> } {
  const lines: Line[] = [];
  const log = (...line: Line): void => void lines.push(line);
  return { lines, logger: { info: log, warn: log, error: log } };
}

test("what all sessions complain of at once is said at once, and then once more with how often", async () => {
  const { lines, logger } = listening();
  const error = new PeykError("unavailable", "away");
  let isAway = false;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { users } = opened;
      const put = users.put.bind(users);
      users.put = (...given) => isAway ? Promise.reject(error) : put(...given);
      return opened;
    },
  };
  const { engine, clock, device } = await createStage({ storage, logger });
  const devices = [];
  for (let index = 0; index < 20; index++) devices.push(await device(`user ${index}`));
  isAway = true;
  for (const device of devices) device.drop();
  const complaint = "a session could not go away, it is tried again";
  await clock.advance(15_000);
  expect(lines.filter(([message]) => message === complaint)).toEqual([[complaint, { error }]]);
  await clock.advance(999);
  expect(lines.filter(([message]) => message === complaint)).toHaveLength(1);
  isAway = false;
  await clock.advance(1);
  expect(lines.filter(([message]) => message === complaint).slice(1)).toEqual([[complaint, { error, repeated: 19 }]]);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("what differs in level, in words or in fields is said each time, and again after a second", async () => {
  const { lines, logger } = listening();
  const clock = createManualClock();
  const calm = new CalmLogger(logger, clock, logger);
  calm.warn("a");
  calm.error("a");
  calm.warn("b");
  calm.warn("b", { stream: "one", error: 1 });
  calm.warn("b", { stream: "two" });
  calm.info("b", { stream: "two" });
  calm.warn("b", { error: new Error("one") });
  calm.warn("b", { error: new Error("two") });
  expect(lines).toHaveLength(8);
  calm.warn("a");
  calm.warn("b", { stream: "two" });
  expect(lines).toHaveLength(8);
  await clock.advance(1_000);
  expect(lines.slice(8)).toEqual([["a", { repeated: 1 }], ["b", { stream: "two", repeated: 1 }]]);
  calm.warn("a");
  expect(lines.slice(10)).toEqual([["a"]]);
});

test("what was counted is told at the end", () => {
  const { lines, logger } = listening();
  const clock = createManualClock();
  const calm = new CalmLogger(logger, clock, logger);
  for (const id of [1, 2, 3]) calm.error("broken", { error: Object.assign(new Error("no"), { id }) });
  calm.close();
  expect(lines).toMatchObject([["broken", { error: { id: 1 } }], ["broken", { error: { id: 3 }, repeated: 2 }]]);
  expect(clock.timers).toBe(0);
});
