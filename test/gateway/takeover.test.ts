import { expect, test } from "vitest";
import type { Identity } from "../../mod.ts";
import { createBench } from "./wire.ts";

test("the newest connection of a session wins: the old one is closed with 4101 and hears no more", async () => {
  const { clock, engine, open } = await createBench();
  const old = await open("sara");
  const states: string[] = [];
  engine.on("session", ({ state }) => states.push(state));
  const fresh = await open("sara");
  expect(old.closedWith).toBe(4101);
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(30_000);
  expect(fresh.contents).toEqual(["hi"]);
  expect(old.contents).toEqual([]);
  expect(old.late).toBe(0);
  expect(engine.counters()).toMatchObject({ connections: 1, sessions: 1 });
  // Suspect, since nobody acked. Never recent: the session was never without a connection.
  expect(states).toEqual(["connected.suspect"]);
});

test("the end of the old socket does not touch the session", async () => {
  for (const way of ["leave", "drop"] as const) {
    const { clock, open, state } = await createBench();
    const old = await open("sara");
    await open("sara");
    old[way]();
    await clock.settle();
    expect(await state("sara")).toBe("connected.live");
  }
});

test("frames that arrive late on the old connection change nothing", async () => {
  const { clock, engine, errors, open, state } = await createBench();
  const old = await open("sara");
  await engine.publish({ to: "sara", content: "one" });
  await clock.settle();
  const fresh = await open("sara");
  old.ack();
  old.send({ type: "state", visible: false, idleMs: null });
  old.publish("sara/default", "late");
  old.send({ type: "logout", ref: 2 });
  old.raw(new Uint8Array([0xc1]));
  await clock.settle();
  expect(await state("sara")).toBe("connected.live");
  expect(fresh.contents).toEqual(["one"]);
  expect(engine.counters()).toMatchObject({ accepted: 1, acked: 0, connections: 1 });
  expect([old.late, old.closedWith]).toEqual([0, 4101]);
  expect(errors).toEqual([]);
});

test.each([
  ["in a line has no effect, for it is said again", { id: "a line", number: 1, ageMs: 0, user: "sara" }, []],
  ["outside of lines takes effect", undefined, ["slow"]],
])("an answer that is late for the old connection goes nowhere; what was asked for %s", async (_, line, contents) => {
  const asked = Promise.withResolvers<boolean>();
  const { clock, engine, open } = await createBench({ authorize: () => asked.promise });
  const old = await open("sara");
  old.publish("sara/default", "slow", { line });
  const fresh = await open("sara");
  asked.resolve(true);
  await clock.settle();
  expect(engine.counters().accepted).toBe(contents.length);
  expect(fresh.contents).toEqual(contents);
  expect(fresh.of("ok")).toEqual([]);
  expect(old.answer(1)).toBeUndefined();
});

test("an older connection that is authenticated later does not take the session from the newer one", async () => {
  const slow = Promise.withResolvers<Identity>();
  let first = true;
  const { clock, engine, open, state } = await createBench({
    authenticate() {
      if (!first) return { userId: "sara" };
      first = false;
      return slow.promise;
    },
  });
  const old = await open("sara");
  const fresh = await open("sara");
  slow.resolve({ userId: "sara" });
  await clock.settle();
  expect([old.closedWith, fresh.closedWith]).toEqual([4101, undefined]);
  expect(old.frames).toEqual([]);
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(fresh.contents).toEqual(["hi"]);
  expect(await state("sara")).toBe("connected.live");
});

test("of twenty connections that come at once one is left, the last, and it gets what all were owed", async () => {
  const { clock, engine, wire } = await createBench();
  await engine.publish({ to: "sara", content: "hi" });
  const wires = Array.from({ length: 20 }, () => wire());
  for (const connection of wires) connection.hello("sara");
  await clock.settle();
  expect(wires.map(({ closedWith }) => closedWith)).toEqual([...Array(19).fill(4101), undefined]);
  expect(wires.at(-1)?.contents).toEqual(["hi"]);
  expect(wires.every(({ late }) => late === 0)).toBe(true);
  expect(engine.counters()).toMatchObject({ connections: 1, sessions: 1 });
});

test("another device of the user, and another user's device of the same kind, are left alone", async () => {
  const { open } = await createBench();
  const wires = [
    await open("sara", { deviceId: "phone" }),
    await open("sara", { deviceId: "laptop" }),
    await open("omid", { deviceId: "tablet" }),
  ];
  expect(wires.map(({ closedWith }) => closedWith)).toEqual([undefined, undefined, undefined]);
});
