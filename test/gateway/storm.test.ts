import { expect, test } from "vitest";
import { memory, type Storage } from "../../mod.ts";
import { createBench } from "./wire.ts";

test("when all clients come at once, so many of them are served at a time, and none for whom nobody waits any more", async () => {
  const held: (() => void)[] = [];
  const asked: unknown[] = [];
  let isSlow = true;
  const storage: Storage = {
    async open(parts) {
      const opened = await memory().open(parts);
      const { users } = opened;
      const holders = users.holders.bind(users);
      users.holders = async (what) => {
        asked.push(Object.values(what)[0]);
        if (isSlow) await new Promise<void>((go) => held.push(go));
        return await holders(what);
      };
      return opened;
    },
  };
  const { clock, engine, wire } = await createBench({ storage });
  const wires = Array.from({ length: 300 }, (_, index) => {
    const each = wire();
    each.hello(`user ${index}`, { deviceId: `device ${index}` });
    return each;
  });
  await clock.settle();
  expect(held.length).toBe(256);
  // Ten of those who wait give up.
  for (const each of wires.slice(280, 290)) each.drop();
  for (const go of held.splice(0, 20)) go();
  await clock.settle();
  expect(engine.counters().attached).toBe(20);
  expect(held.length).toBe(256);
  // In the order in which they came.
  expect(asked.slice(256)).toEqual(Array.from({ length: 20 }, (_, index) => `device ${256 + index}`));
  isSlow = false;
  for (const go of held.splice(0)) go();
  await clock.settle();
  expect(wires.filter((each) => each.of("welcome").length === 1).length).toBe(290);
  expect(asked.length, "not for those who gave up").toBe(290);
  expect(engine.counters()).toMatchObject({ attached: 290, connections: 290, sessions: 290 });
});
