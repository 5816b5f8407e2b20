import { describe, expect, test } from "vitest";
import { type Identity, memory, PeykError, type Storage } from "../../mod.ts";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import { slowStore } from "../engine/slow_store.ts";
import { type Bench, createBench, type Wire } from "./wire.ts";

const identity = (userId: string): Identity => ({ userId });

async function signOut({ engine, clock }: Bench, how: string, wire?: Wire): Promise<void> {
  if (how === "revoke") await engine.revoke("sara");
  else {
    wire!.send({ type: "logout", ref: 900 });
    await clock.settle();
    expect(wire!.answer(900)?.type).toBe("ok");
  }
}

describe("a hello that waits while its user is signed out is not let in", () => {
  test("whose token is being looked at: the answer may be of before", async () => {
    const asked = Promise.withResolvers<Identity>();
    const bench = await createBench({ authenticate: () => asked.promise });
    const wire = bench.wire();
    wire.hello("token");
    await bench.clock.settle();
    await bench.engine.revoke("sara");
    asked.resolve(identity("sara"));
    await bench.clock.settle();
    expect([wire.of("welcome"), wire.closedWith]).toEqual([[], 4103]);
    expect(await bench.engine.sessions("sara")).toEqual([]);
  });

  test.each(["before", "behind"])("that waits for its turn %s it", async (where) => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    const phone = await bench.open("sara", { deviceId: "phone" });
    delays.set("sara", 1_000);
    const wires = Array.from({ length: 3 }, () => bench.wire());
    const hello = () => wires.forEach((wire, index) => wire.hello("sara", { deviceId: `device ${index}` }));
    if (where === "before") hello();
    await bench.clock.advance(100);
    let then: unknown[] = [];
    const revoked = bench.engine.revoke("sara").then(() =>
      then = wires.map(({ closedWith, frames }) => [closedWith, frames.length])
    );
    await bench.clock.advance(100);
    if (where === "behind") hello();
    await bench.clock.advance(where === "behind" ? 5_000 : 30_000);
    await revoked;
    delays.clear();
    await bench.clock.advance(30_000);
    expect(then).toEqual(wires.map(({ frames }) => [4103, frames.length]));
    if (where === "behind") expect(wires.flatMap((wire) => wire.of("welcome"))).toEqual([]);
    expect(phone.closedWith).toBe(4103);
    expect(await bench.engine.sessions("sara")).toEqual([]);
    expect(bench.engine.counters()).toMatchObject({ connections: 0, sessions: 0 });
  });

  test("of another user, or one that comes after, is", async () => {
    const waiting = new Map<string, PromiseWithResolvers<Identity>>();
    const bench = await createBench({
      authenticate: ({ token }) => {
        const asked = Promise.withResolvers<Identity>();
        waiting.set(token!, asked);
        return asked.promise;
      },
    });
    const omid = bench.wire();
    omid.hello("omid");
    await bench.clock.settle();
    await bench.engine.revoke("sara");
    const sara = bench.wire();
    sara.hello("sara");
    await bench.clock.settle();
    for (const [userId, { resolve }] of waiting) resolve(identity(userId));
    await bench.clock.settle();
    expect([omid, sara].map((wire) => [wire.of("welcome").length, wire.closedWith])).toEqual([[1, undefined], [1, undefined]]);
  });

  test("of another device of the user is, when one logs out", async () => {
    const waiting = new Map<string, PromiseWithResolvers<Identity>>();
    const bench = await createBench({
      authenticate: ({ token, deviceId }) => {
        if (token === "now") return identity("sara");
        const asked = Promise.withResolvers<Identity>();
        waiting.set(deviceId, asked);
        return asked.promise;
      },
    });
    const phone = await bench.open("now", { deviceId: "phone" });
    const wires = ["phone", "laptop"].map((deviceId) => {
      const wire = bench.wire();
      wire.hello("later", { deviceId });
      return wire;
    });
    await bench.clock.settle();
    await signOut(bench, "logout", phone);
    for (const { resolve } of waiting.values()) resolve(identity("sara"));
    await bench.clock.settle();
    expect(wires.map(({ closedWith }) => closedWith)).toEqual([4103, undefined]);
    expect(await bench.engine.sessions("sara")).toHaveLength(1);
  });

  test("of another user that waits for its turn, is", async () => {
    const { storage, delays } = slowStore();
    const bench = await createBench({ storage });
    delays.set("omid", 1_000);
    const omid = bench.wire();
    omid.hello("omid");
    await bench.clock.advance(100);
    await bench.engine.revoke("sara");
    await bench.clock.advance(5_000);
    delays.clear();
    expect([omid.of("welcome").length, omid.closedWith]).toEqual([1, undefined]);
  });

  test("and is when the sign-out could not be stored", async () => {
    const { storage, delays } = slowStore();
    let isAway = false;
    const bench = await createBench({
      storage: {
        async open(context) {
          const opened = await storage.open(context);
          const put = opened.users.put;
          opened.users.put = (...given) => isAway ? Promise.reject(new PeykError("unavailable", "not now")) : put(...given);
          return opened;
        },
      },
    });
    await bench.open("sara", { deviceId: "phone" });
    delays.set("sara", 100);
    isAway = true;
    const revoked = bench.engine.revoke("sara").catch(({ code }: PeykError) => code);
    const wire = bench.wire();
    wire.hello("sara", { deviceId: "laptop" });
    await bench.clock.advance(150);
    isAway = false;
    await bench.clock.advance(1_000);
    expect(await revoked).toBe("unavailable");
    expect([wire.of("welcome").length, wire.closedWith]).toEqual([1, undefined]);
  });
});

const publish: ClientFrame = {
  ...{ type: "publish", ref: 1, topic: "*/room", id: "m", options: null, payload: encodePayload("hi", undefined) },
};

describe.each(["revoke", "logout"])("what waits in authorize when the user is signed out (%s)", (how) => {
  /** Sara on her phone, who asks for something that authorize takes its time for. */
  async function asking(frame: ClientFrame) {
    const asked = Promise.withResolvers<boolean>();
    let isAsked = false;
    const bench = await createBench({
      authorize: () => {
        isAsked = true;
        return asked.promise;
      },
    });
    await bench.engine.subscribe("sara", { to: "*", channel: "room" });
    const phone = await bench.open("sara", { deviceId: "phone" });
    phone.send(frame);
    await bench.clock.settle();
    expect(isAsked).toBe(true);
    return { ...bench, bench, phone, allow: () => asked.resolve(true) };
  }

  test("is not published", async () => {
    const { allow, bench, clock, engine, phone } = await asking(publish);
    await signOut(bench, how, phone);
    allow();
    await clock.settle();
    expect(engine.counters().accepted).toBe(0);
  });

  test("nor what waits behind it for its turn", async () => {
    const { allow, bench, clock, engine, phone } = await asking(publish);
    phone.publish("*/room", "second", { ref: 2 });
    await clock.settle();
    await signOut(bench, how, phone);
    allow();
    await clock.settle();
    expect(engine.counters().accepted).toBe(0);
  });

  test("is not subscribed to", async () => {
    const { allow, bench, clock, engine, phone } = await asking({
      ...{ type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false },
    });
    await signOut(bench, how, phone);
    allow();
    await clock.settle();
    const again = await bench.open("sara", { deviceId: "phone" });
    await engine.publish({ to: "*", channel: "news", content: "hi" });
    await clock.settle();
    expect(again.of("welcome")[0]?.recovery.map(({ topic }) => topic)).not.toContain("*/news");
    expect(again.contents).toEqual([]);
  });

  test.each(["on another connection that has the session", "on one that signed in again"])(
    "is not published, either, where the connection was lost before: the sign-out comes %s",
    async (what) => {
      const { allow, bench, clock, engine, phone } = await asking(publish);
      phone.drop();
      await clock.settle();
      const newer = await bench.open("sara", { deviceId: "phone" });
      await signOut(bench, how, newer);
      const after = what.includes("again") ? await bench.open("sara", { deviceId: "phone" }) : undefined;
      allow();
      await clock.settle();
      expect(engine.counters().accepted).toBe(0);
      expect(after?.closedWith).toBeUndefined();
    },
  );

  test("of another user is published", async () => {
    const { allow, bench, clock, engine, phone } = await asking(publish);
    await engine.subscribe("omid", { to: "*", channel: "room" });
    const omid = await bench.open("omid");
    omid.publish("*/room", "omid's");
    await clock.settle();
    await signOut(bench, how, phone);
    allow();
    await clock.settle();
    expect(engine.counters().accepted).toBe(1);
    expect(omid.contents).toEqual(["omid's"]);
  });
});

test("what another device of the user asked for is done when one logs out", async () => {
  const asked = Promise.withResolvers<boolean>();
  const { clock, engine, open } = await createBench({ authorize: () => asked.promise });
  await engine.subscribe("sara", { to: "*", channel: "room" });
  const [phone, laptop] = [await open("sara", { deviceId: "phone" }), await open("sara", { deviceId: "laptop" })];
  for (const wire of [phone, laptop]) for (const ref of [1, 2]) wire.publish("*/room", `${wire === phone} ${ref}`, { ref });
  await clock.settle();
  phone.send({ type: "logout", ref: 3 });
  await clock.settle();
  asked.resolve(true);
  await clock.settle();
  expect(engine.counters().accepted).toBe(2);
  expect(laptop.contents).toEqual(["false 1", "false 2"]);
});

test("of two publishes the one that still waits is not published, though the other one has its answer", async () => {
  const asked = Promise.withResolvers<boolean>();
  const { clock, engine, open } = await createBench({ authorize: ({ message }) => message!.content === "one" || asked.promise });
  await engine.subscribe("sara", { to: "*", channel: "room" });
  const phone = await open("sara", { deviceId: "phone" });
  for (const [ref, content] of ["two", "one"].entries()) phone.publish("*/room", content, { ref: ref + 1 });
  phone.send({ type: "unsubscribe", ref: 3, topic: "*/other" });
  await clock.settle();
  expect(phone.answer(3)?.type).toBe("ok");
  phone.drop();
  await open("sara", { deviceId: "phone" });
  await engine.revoke("sara");
  asked.resolve(true);
  await clock.settle();
  expect(engine.counters().accepted).toBe(0);
});

test("a session that could not go away before the user was signed out does not take the next one with it", async () => {
  let isAway = false;
  const writes: boolean[] = [];
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const put = opened.users.put.bind(opened.users);
      opened.users.put = (...given) => {
        writes.push(given[0].sessions.some(({ leaving, node }) => leaving === true || node === null));
        return isAway ? Promise.reject(new PeykError("unavailable", "not now")) : put(...given);
      };
      return opened;
    },
  };
  const { clock, engine, open, state } = await createBench({ storage });
  const phone = await open("sara", { deviceId: "phone" });
  isAway = true;
  phone.leave();
  await clock.advance(500);
  isAway = false;
  await engine.revoke("sara");
  writes.length = 0;
  await open("sara", { deviceId: "phone" });
  await clock.advance(5_000);
  expect(await state("sara")).toBe("connected.live");
  expect(writes).not.toContain(true);
  expect(engine.counters()).toMatchObject({ connections: 1, sessions: 1 });
});

test("a target that is being registered when the user is signed out is nobody's: not the next session's, and not lost by who had it", async () => {
  const asked = Promise.withResolvers<void>();
  let isHeld = false;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const holders = opened.users.holders.bind(opened.users);
      opened.users.holders = async (what) => {
        if ("targetId" in what && isHeld) await asked.promise;
        return await holders(what);
      };
      return opened;
    },
  };
  const bench = await createBench({ storage, push: [{ name: "fake", send: () => Promise.resolve({ verdict: "sent" }) }] });
  const { clock, engine, open } = bench;
  const target = { type: "target", ref: 1, provider: "fake", token: "t", details: null } as const;
  const reza = await open("reza");
  reza.send(target);
  await clock.settle();
  isHeld = true;
  for (const token of ["t", "another"]) {
    const phone = await open("sara", { deviceId: "phone" });
    phone.send({ ...target, token });
    await clock.settle();
    await engine.revoke("sara");
  }
  await open("sara", { deviceId: "phone" });
  asked.resolve();
  await clock.settle();
  expect((await engine.sessions("sara"))[0]?.targets).toEqual([]);
  expect((await engine.sessions("reza"))[0]?.targets).toHaveLength(1);
});

test("what waits for the user's turn in the store changes nothing once the user is signed out", async () => {
  const { storage, delays } = slowStore();
  const bench = await createBench({ storage, push: [{ name: "fake", send: () => Promise.resolve({ verdict: "sent" }) }] });
  const { clock, engine } = bench;
  for (const channel of ["room", "left"]) await engine.subscribe("sara", { to: "*", channel });
  const phone = await bench.open("sara", { deviceId: "phone" });
  const reza = await bench.open("reza");
  const receipts: string[] = [];
  engine.on("receipt", ({ kind }) => receipts.push(kind));
  reza.publish("sara/default", "hi");
  await clock.settle();
  const { topic, epoch, offset } = phone.of("message")[0]!;
  delays.set("sara", 100);
  // The sign-out takes its turn first, and these wait behind it.
  const revoked = engine.revoke("sara");
  phone.send(
    { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false },
    { type: "unsubscribe", ref: 2, topic: "*/left" },
    { type: "target", ref: 3, provider: "fake", token: "t", details: null },
    { type: "mark", ref: 4, kind: "read", topic, epoch, offset },
  );
  await clock.advance(5_000);
  expect(await revoked).toBe(1);
  delays.clear();
  const again = await bench.open("sara", { deviceId: "phone" });
  expect(again.of("welcome")[0]?.recovery.map(({ topic }) => topic).toSorted()).toEqual(["*/left", "*/room", "sara/default"]);
  expect((await engine.sessions("sara"))[0]?.targets).toEqual([]);
  expect(receipts).toEqual(["accepted"]);
});
