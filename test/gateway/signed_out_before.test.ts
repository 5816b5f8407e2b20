import { describe, expect, test } from "vitest";
import { type Identity, memory } from "../../mod.ts";
import { FailingStore } from "../engine/failing_store.ts";
import { slowStore } from "../engine/slow_store.ts";
import { FakeProvider } from "../engine/stage.ts";
import { type Bench, createBench, type Wire } from "./wire.ts";

const target = (token: string) => ({ type: "target", ref: 90, provider: "fake", token, details: null }) as const;

async function withTarget({ clock, open }: Bench, user: string, deviceId: string): Promise<Wire> {
  const wire = await open(user, { deviceId });
  wire.send(target(`${user}'s`));
  await clock.settle();
  expect(wire.answer(90)?.type).toBe("ok");
  return wire;
}

const devices = async ({ engine }: Bench, user: string) =>
  (await engine.sessions(user)).map(({ state, targets }) => [state, targets.length]);

/** How many devices Sara has, and Omid. */
const counts = async (bench: Bench) => [(await devices(bench, "sara")).length, (await devices(bench, "omid")).length];

/** A bench whose pushes are seen. */
async function pushing(options: Parameters<typeof createBench>[0] = {}): Promise<Bench & { provider: FakeProvider }> {
  const provider = new FakeProvider();
  return { ...await createBench({ push: [provider], ...options }), provider };
}

describe("devices that hello says were signed out", () => {
  test("are, before anything else: the connection is closed, the target released, what waits is not pushed", async () => {
    const bench = await pushing();
    const { clock, engine, open, provider } = bench;
    const phone = await withTarget(bench, "sara", "phone");
    const tablet = await withTarget(bench, "sara", "tablet");
    tablet.drop();
    await clock.settle();
    await engine.publish({ to: "sara", content: "waits until the person comes back", urgency: "low" });
    await clock.advance(16_000);
    expect(engine.counters()).toMatchObject({ pushesQueued: 1, pushesDropped: 0 });
    const omid = await open("omid", { deviceId: "laptop", signedOut: ["phone", "tablet", "nobody's", "phone"] });
    expect(omid.of("welcome")).toHaveLength(1);
    expect(phone.closedWith).toBe(4103);
    expect(await engine.sessions("sara")).toEqual([]);
    expect(engine.counters()).toMatchObject({ pushesQueued: 1, pushesDropped: 1 });
    await clock.advance(60_000);
    expect([provider.sent, await devices(bench, "omid")]).toEqual([[], [["connected.live", 0]]]);
  });

  test("of every user who was signed in there, and no other device of theirs", async () => {
    const bench = await pushing();
    await withTarget(bench, "sara", "shared");
    await withTarget(bench, "omid", "shared");
    const own = await bench.open("sara", { deviceId: "sara's own" });
    expect(await counts(bench)).toEqual([2, 1]);
    await bench.open("reza", { signedOut: ["shared"] });
    expect(await counts(bench)).toEqual([1, 0]);
    expect(own.closedWith).toBeUndefined();
  });

  test("the hello's own: it begins anew, behind what it has shown, with no target and no lines", async () => {
    const bench = await pushing();
    const { clock, engine: { publish }, open } = bench;
    const before = await withTarget(bench, "sara", "phone");
    const joins = { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false } as const;
    before.send({ ...joins, line: { id: "x", number: 1, ageMs: 0, user: "sara" } });
    await publish({ to: "sara", content: "read" });
    await clock.settle();
    before.ack();
    await publish({ to: "sara", content: "unread" });
    await clock.settle();
    const again = await open("sara", { deviceId: "phone", signedOut: ["phone"] });
    expect([before.closedWith, again.contents]).toEqual([4103, ["unread"]]);
    expect(await devices(bench, "sara")).toEqual([["connected.live", 0]]);
    // The line is not known any more: its first number is acted on.
    again.send({ ...joins, topic: "*/other", ref: 2, line: { id: "x", number: 1, ageMs: 0, user: "sara" } });
    await clock.settle();
    expect(again.answer(2)?.type).toBe("ok");
  });

  test("the hello's own, where another user was signed in", async () => {
    const bench = await pushing();
    const sara = await withTarget(bench, "sara", "phone");
    const omid = await bench.open("omid", { deviceId: "phone", signedOut: ["phone"] });
    expect([sara.closedWith, omid.closedWith]).toEqual([4103, undefined]);
    expect([await devices(bench, "sara"), await devices(bench, "omid")]).toEqual([[], [["connected.live", 0]]]);
  });

  test("and a hello that waits there since before is not let in", async () => {
    const asked = Promise.withResolvers<Identity>();
    const bench = await createBench({ authenticate: ({ token }) => token === "slow" ? asked.promise : { userId: token! } });
    await bench.open("sara", { deviceId: "phone" });
    const waits = bench.wire();
    waits.hello("slow", { deviceId: "phone" });
    await bench.clock.settle();
    await bench.open("omid", { signedOut: ["phone"] });
    asked.resolve({ userId: "sara" });
    await bench.clock.settle();
    expect([waits.closedWith, await devices(bench, "sara")]).toEqual([4103, []]);
  });

  test("what one of them waits for in authorize has no effect", async () => {
    const asked = Promise.withResolvers<boolean>();
    const { clock, engine, open } = await createBench({ authorize: () => asked.promise });
    const phone = await open("sara", { deviceId: "phone" });
    phone.publish("sara/default", "late");
    await clock.settle();
    await open("omid", { signedOut: ["phone"] });
    asked.resolve(true);
    await clock.settle();
    expect(engine.counters().accepted).toBe(0);
  });
});

describe("no device is signed out", () => {
  test.each(["a/b", "", "*"])("by a hello that names %j: it is no name", async (name) => {
    const bench = await createBench();
    await bench.open("sara", { deviceId: "phone" });
    const omid = await bench.open("omid", { signedOut: ["phone", name] });
    expect(omid.end).toBe("bad-name 4102");
    expect(await devices(bench, "sara")).toEqual([["connected.live", 0]]);
  });

  test("by a hello whose token is refused", async () => {
    const bench = await createBench({ authenticate: ({ token }) => token === "bad" ? null : { userId: token! } });
    await bench.open("sara", { deviceId: "phone" });
    const bad = await bench.open("bad", { signedOut: ["phone"] });
    expect(bad.end).toBe("unauthorized 4100");
    expect(await devices(bench, "sara")).toEqual([["connected.live", 0]]);
  });

  test("by a hello whose connection is lost before it was its turn: the next one says it again", async () => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    const phone = await bench.open("sara", { deviceId: "phone" });
    delays.set("sara", 1_000);
    const lost = bench.wire();
    lost.hello("omid", { signedOut: ["phone"] });
    await bench.clock.advance(500);
    lost.drop();
    await bench.clock.advance(5_000);
    expect(phone.closedWith).toBeUndefined();
    delays.clear();
    expect(await devices(bench, "sara")).toEqual([["connected.live", 0]]);
    const again = await bench.open("omid", { signedOut: ["phone"] });
    expect([again.of("welcome").length, phone.closedWith]).toEqual([1, 4103]);
  });

  test("by a hello that is overtaken by a newer connection of its own device", async () => {
    const asked = Promise.withResolvers<Identity>();
    let times = 0;
    const bench = await createBench({ authenticate: () => times++ === 0 ? asked.promise : { userId: "sara" } });
    const old = bench.wire();
    old.hello("sara", { deviceId: "phone", signedOut: ["phone"] });
    await bench.clock.settle();
    const newer = await bench.open("sara", { deviceId: "phone", signedOut: ["phone"] });
    asked.resolve({ userId: "sara" });
    await bench.clock.settle();
    expect([old.closedWith, newer.closedWith]).toEqual([4101, undefined]);
    expect(await devices(bench, "sara")).toEqual([["connected.live", 0]]);
  });
});

describe("a hello that tells of sign-outs", () => {
  test("of its own device does not end a newer one that waits, and ends an older one", async () => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    (await bench.open("sara", { deviceId: "phone" })).drop();
    delays.set("sara", 1_000);
    const wires = [[], ["phone"], []].map((signedOut) => {
      const wire = bench.wire();
      wire.hello("sara", { deviceId: "phone", signedOut });
      return wire;
    });
    await bench.clock.advance(9_000);
    delays.clear();
    await bench.clock.advance(10_000);
    expect(wires.map(({ closedWith }) => closedWith !== undefined)).toEqual([true, true, false]);
    expect(wires[2]!.of("welcome")).toHaveLength(1);
  });

  test("is not let in when its own user is signed out meanwhile", async () => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    await bench.open("omid", { deviceId: "phone" });
    delays.set("omid", 1_000);
    const sara = bench.wire();
    sara.hello("sara", { signedOut: ["phone"] });
    await bench.clock.advance(500);
    await bench.engine.revoke("sara");
    expect(sara.closedWith).toBe(4103);
    delays.clear();
    await bench.clock.advance(5_000);
    expect([sara.of("welcome"), await bench.engine.sessions("sara")]).toEqual([[], []]);
  });

  test("has its 10 s, is closed with 4003 then, and does the rest when it is said again", async () => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    const phone = await bench.open("sara", { deviceId: "phone" });
    const tablet = await bench.open("reza", { deviceId: "tablet" });
    delays.set("sara", 6_000);
    const omid = bench.wire();
    omid.hello("omid", { signedOut: ["phone", "tablet"] });
    await bench.clock.advance(10_000);
    expect(omid.end).toBe("timeout 4003");
    await bench.clock.advance(10_000);
    expect(tablet.closedWith).toBeUndefined();
    delays.clear();
    await bench.open("omid", { signedOut: ["phone", "tablet"] });
    expect([phone.closedWith, tablet.closedWith]).toEqual([4103, 4103]);
  });

  test("while the node drains is closed with 4000, and tells it elsewhere", async () => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    const phone = await bench.open("sara", { deviceId: "phone" });
    delays.set("sara", 1_000);
    const omid = bench.wire();
    omid.hello("omid", { signedOut: ["phone"] });
    await bench.clock.advance(100);
    void bench.engine.drain();
    await bench.clock.advance(3_000);
    expect([omid.closedWith, phone.closedWith]).toEqual([4000, undefined]);
  });

  test.each(["before", "after"] as const)(
    "fails with what may pass when a call of the storage does (%s it did anything), and is as good as new when it is said again",
    async (how) => {
      let failed = 0;
      for (let at = 0; at < 40; at++) {
        const store = new FailingStore(memory());
        const bench = await pushing({ storage: store.storage });
        const { clock, engine, open, provider } = bench;
        const phone = await withTarget(bench, "sara", "phone");
        await withTarget(bench, "reza", "laptop");
        phone.drop();
        await clock.settle();
        await engine.publish({ to: "sara", content: "waits" });
        await clock.settle();
        store.arm(at, how);
        const omid = await open("omid", { deviceId: "laptop", signedOut: ["phone", "laptop"] });
        store.arm(Infinity, how);
        if (omid.of("welcome").length === 0) {
          failed++;
          expect(omid.of("error"), `call ${at}`).toMatchObject([{ retryable: true }]);
          const again = await open("omid", { deviceId: "laptop", signedOut: ["phone", "laptop"] });
          expect(again.of("welcome"), `call ${at}`).toHaveLength(1);
        }
        await engine.publish({ to: "sara", content: "not pushed" });
        await engine.publish({ to: "reza", content: "not pushed" });
        await clock.advance(60_000);
        expect([await engine.sessions("sara"), await engine.sessions("reza")], `call ${at}`).toEqual([[], []]);
        expect([provider.sent, (await devices(bench, "omid")).length], `call ${at}`).toEqual([[], 1]);
        await engine.close();
      }
      expect(failed).toBeGreaterThan(5);
    },
  );
});
