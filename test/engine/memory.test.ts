import { afterEach, describe, expect, test } from "vitest";
import { createLives, type Lives, PLACES } from "./lives.ts";
import { createStage, type Device, type Stage } from "./stage.ts";

const stages: Stage[] = [];

afterEach(async () => {
  for (const { engine } of stages.splice(0)) await engine.close();
});

function bytesOf({ engine }: Pick<Lives, "engine">): ReturnType<Lives["engine"]["counters"]>["bytes"] {
  return engine.counters().bytes;
}

describe.each(PLACES)("on %s", (place) => {
  test("of what a user's devices have acked nothing is remembered for receipts, whatever was sent", async () => {
    const lives = await createLives({}, place);
    await lives.sara("phone");
    await lives.sara("laptop");
    const told: string[] = [];
    lives.engine.on("receipt", ({ kind, id }) => kind === "delivered" && told.push(id));
    for (let sent = 0; sent < 60; sent++) await lives.say(`m${sent}`, { data: "x".repeat(20_000) });
    expect(told).toHaveLength(120);
    expect(bytesOf(lives).receipts).toBe(0);
  });

  test("what one device has not acked is remembered by name, until it acks or leaves", async () => {
    const lives = await createLives({}, place);
    const phone = await lives.sara("phone", { habit: "sees" });
    await lives.sara("laptop");
    for (let sent = 0; sent < 10; sent++) await lives.say(`m${sent}`, { data: "x".repeat(20_000) });
    const { receipts } = bytesOf(lives);
    expect(receipts).toBeGreaterThan(0);
    expect(receipts).toBeLessThan(10 * 400);
    phone.ack(phone.cursors.map((cursor) => ({ ...cursor, offset: 9 })));
    await lives.clock.settle();
    expect(bytesOf(lives).receipts).toBe(receipts / 10);
    phone.leave();
    await lives.clock.settle();
    expect(bytesOf(lives).receipts).toBe(0);
  });

  test("what the storage remembers of users is counted, and is within its bound", async () => {
    const lives = await createLives({}, place);
    expect(bytesOf(lives).storage).toBe(0);
    for (const name of Array.from({ length: 50 }, (_, index) => `user ${index}`)) {
      (await lives.device(name, { token: name })).leave();
      await lives.clock.settle();
      await lives.engine.sessions(name);
    }
    const { storage } = bytesOf(lives);
    if (place === "memory") expect(storage).toBe(0);
    else expect([storage > 50 * 700, storage < 50 * 4_000]).toEqual([true, true]);
  });

  test("who acks late is named too, each entry once, though others' acks let the log's names go", async () => {
    const lives = await createLives({}, place);
    const phone = await lives.sara("phone", { habit: "sees" });
    const delivered: string[] = [];
    lives.engine.on("receipt", ({ kind, id }) => kind === "delivered" && delivered.push(id));
    // More than are remembered: the first ones are named from the log.
    for (let sent = 0; sent < 1_100; sent++) await lives.engine.publish({ to: "sara", content: "hi", id: `m${sent}` });
    await lives.clock.settle();
    expect(delivered).toEqual([]);
    phone.ack(phone.cursors.map((cursor) => ({ ...cursor, offset: 900 })));
    await lives.clock.settle();
    expect(delivered.toSorted()).toEqual(Array.from({ length: 900 }, (_, sent) => `m${sent}`).toSorted());
  });
});

describe("in a room", () => {
  async function room(): Promise<{ stage: Stage; devices: Device[] }> {
    const stage = await createStage();
    stages.push(stage);
    const devices: Device[] = [];
    for (const user of ["a", "b", "c"]) {
      await stage.engine.subscribe(user, { to: "*", channel: "room" });
      devices.push(await stage.device(user, { habit: "sees" }));
    }
    return { stage, devices };
  }

  test("an entry's deliveries are counted also when all have acked it and it is not remembered any more", async () => {
    const { stage, devices } = await room();
    const { engine, clock, explain } = stage;
    for (const id of ["1", "2", "3"]) await engine.publish({ to: "*", channel: "room", content: "hi", id });
    await clock.settle();
    for (const [index, device] of devices.entries()) {
      device.ack(device.cursors.map((cursor) => ({ ...cursor, offset: 1 + index })));
    }
    await clock.settle();
    const delivered = async (): Promise<(number | undefined)[]> => {
      return await Promise.all(["1", "2", "3"].map(async (id) => (await explain(id))?.delivered));
    };
    expect(await delivered()).toEqual([3, 2, 1]);
    for (const device of devices) device.ack(device.cursors);
    await clock.settle();
    expect(bytesOf(stage).receipts).toBe(0);
    expect(await delivered()).toEqual([3, 3, 3]);
    expect(engine.counters().acked).toBe(9);
  });
});
