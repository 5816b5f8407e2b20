import { expect, test } from "vitest";
import { memory, type OpenStorage, type Storage } from "../../mod.ts";
import { FakeProvider } from "../engine/stage.ts";
import { createBench, type Wire } from "./wire.ts";

test("drain tells every client over which window to come back, and refuses new connections with 4000", async () => {
  const { clock, engine, open, wire } = await createBench({ policy: { drainWindowMs: 8_000 } });
  const [sara, omid] = [await open("sara"), await open("omid")];
  const halfway = wire();
  halfway.hello("halfway", { more: true });
  void engine.drain();
  expect(sara.frames.at(-1)).toEqual({ type: "drain", windowMs: 8_000 });
  expect(omid.frames.at(-1)).toEqual({ type: "drain", windowMs: 8_000 });
  // It could not come back from a node that it never reached.
  expect([halfway.frames, halfway.closedWith]).toEqual([[], 4000]);
  const late = await open("late");
  expect([late.frames, late.closedWith]).toEqual([[], 4000]);
  expect(await engine.sessions("late")).toEqual([]);
  await engine.publish({ to: "sara", content: "still served" });
  await clock.settle();
  expect(sara.contents).toEqual(["still served"]);
});

test("drain resolves as soon as everybody has left", async () => {
  const { clock, engine, open } = await createBench();
  const timers = clock.timers;
  const [sara, omid] = [await open("sara"), await open("omid")];
  let drained = false;
  const draining = engine.drain().then(() => void (drained = true));
  sara.drop();
  await clock.advance(1_000);
  expect(drained).toBe(false);
  omid.drop();
  await draining;
  await clock.advance(30_000);
  expect(clock.timers).toBe(timers);
});

test("drain resolves when the window is over, asked twice it asks the clients once, and nobody there is no wait", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  let drained = 0;
  void engine.drain().then(() => drained++);
  void engine.drain().then(() => drained++);
  await clock.advance(4_999);
  expect(drained).toBe(0);
  await clock.advance(1);
  expect(drained).toBe(2);
  expect(sara.of("drain")).toHaveLength(1);
  expect(sara.closedWith).toBeUndefined();
  await (await createBench()).engine.drain();
});

test.each(["drop", "leave"] as const)(
  "whoever goes during a drain (%s) is recent for the window and the grace: nobody is pushed for a deployment",
  async (way) => {
    const provider = new FakeProvider();
    const { clock, engine, open, state } = await createBench({ push: [provider] });
    const sara = await open("sara");
    sara.send({ type: "target", ref: 1, provider: "fake", token: "t", details: null });
    await clock.settle();
    void engine.drain();
    sara[way]();
    await clock.settle();
    expect(await state("sara")).toBe("disconnected.recent");
    await engine.publish({ to: "sara", content: "meanwhile" });
    await clock.advance(19_999);
    expect(await state("sara")).toBe("disconnected.recent");
    expect(provider.sent).toEqual([]);
    await clock.advance(1);
    expect(provider.sent).toHaveLength(1);
  },
);

test("a client that was attaching when the drain began is told of it or closed, and not left as connected", async () => {
  const outcomes = new Set<string>();
  for (let moment = 0; moment < 40; moment++) {
    const { clock, engine, state, wire } = await createBench();
    const sara = wire();
    sara.hello("sara");
    for (let i = 0; i < moment; i++) await Promise.resolve();
    void engine.drain();
    await clock.settle();
    outcomes.add(`${sara.closedWith} ${sara.of("drain").length} ${await state("sara")}`);
  }
  expect([...outcomes].sort()).toEqual(["4000 0 disconnected.recent", "4000 0 undefined", "undefined 1 connected.live"]);
});

test("close ends every connection with 4000, refuses what comes later, and keeps what was accepted", async () => {
  const storage = memory();
  let opened: OpenStorage | undefined;
  const kept: Storage = { open: async (parts) => opened ??= { ...await storage.open(parts), close: async () => {} } };
  const before = await createBench({ storage: kept });
  const wires: Wire[] = [await before.open("sara"), await before.open("omid"), before.wire()];
  await before.engine.publish({ to: "sara", content: "accepted" });
  wires[0]!.publish("omid/default", "accepted too");
  const closing = before.engine.close();
  await before.clock.settle();
  await closing;
  expect(wires.map(({ closedWith }) => closedWith)).toEqual([4000, 4000, 4000]);
  expect(wires.every(({ late }) => late === 0)).toBe(true);
  expect(before.wire().closedWith).toBe(4000);
  expect(before.clock.timers).toBe(0);
  const after = await createBench({ storage: kept });
  expect((await after.open("sara")).contents).toEqual(["accepted"]);
  expect((await after.open("omid")).contents).toEqual(["accepted too"]);
});

test("close during a drain ends the drain", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  const draining = engine.drain();
  const closing = engine.close();
  await clock.settle();
  await Promise.all([draining, closing]);
  expect(sara.closedWith).toBe(4000);
  expect(clock.timers).toBe(0);
});
