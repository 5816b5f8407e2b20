import { expect, test } from "vitest";
import { createLives } from "./lives.ts";
import { slowStore } from "./slow_store.ts";

test("an older hello of a session gives up at once, and other users do not wait for any of them", async () => {
  const store = slowStore();
  const lives = await createLives({ storage: store.storage });
  store.delays.set("sara", 50);
  const flood: ReturnType<typeof lives.sara>[] = [];
  for (let index = 0; index < 300; index++) flood.push(lives.sara("phone"));
  const reza = await lives.device("reza");
  await lives.clock.settle();
  expect(reza.of("welcome").length).toBe(1);
  await lives.clock.advance(200);
  const hellos = await Promise.all(flood);
  expect(hellos.slice(0, -1).every(({ closedWith }) => closedWith === 4101)).toBe(true);
  expect(hellos.at(-1)!.of("welcome").length).toBe(1);
  expect(store.puts.filter(({ record }) => record.userId === "sara").length).toBeLessThanOrEqual(2);
});

test("however many devices of one user sign in, another user's sign-in does not wait", async () => {
  const store = slowStore();
  const lives = await createLives({ storage: store.storage });
  store.delays.set("sara", 50);
  for (let index = 0; index < 1_000; index++) void lives.sara(`device ${index}`);
  const reza = await lives.device("reza");
  await lives.clock.settle();
  expect(reza.of("welcome").length).toBe(1);
});

test("of two users who sign in on one device at once the last one has it", async () => {
  for (const delay of [0, 5, 20]) {
    const store = slowStore();
    const lives = await createLives({ storage: store.storage });
    store.delays.set("sara", delay).set("reza", 20 - delay);
    const both = [lives.device("sara", { deviceId: "phone" }), lives.device("reza", { deviceId: "phone" })];
    const [sara, reza] = await Promise.all(both);
    await lives.clock.advance(1_000);
    store.delays.clear();
    expect(reza!.of("welcome").length).toBe(1);
    expect(reza!.closedWith).toBeUndefined();
    expect(sara!.closedWith).toBe(4101);
    expect(await lives.engine.sessions("sara")).toMatchObject([{ state: "disconnected.away" }]);
    expect(await lives.engine.sessions("reza")).toMatchObject([{ state: "connected.live" }]);
  }
});

test("a user whose record is busy holds up nobody's pushes", async () => {
  const store = slowStore();
  const lives = await createLives({ storage: store.storage, policy: { coalesceMs: 0 } });
  for (const userId of ["sara", "reza"]) (await lives.device(userId, { token: userId })).leave();
  await lives.clock.settle();
  store.delays.set("sara", 300);
  for (let index = 0; index < 400; index++) void lives.engine.publish({ to: "sara", content: "x", id: `${index}` });
  for (let round = 0; round < 10; round++) {
    await lives.clock.advance(100);
    await lives.say(`round ${round}`, { to: "reza" });
    expect(lives.pushed().filter((push) => push.startsWith("reza")).at(-1)).toBe(`reza round ${round}`);
  }
});
