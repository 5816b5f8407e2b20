import { expect, test } from "vitest";
import { createEngine } from "../../mod.ts";
import { encodeClientFrame, encodePayload } from "../../src/protocol/codec.ts";
import { vectors } from "../protocol/vectors.ts";
import { createBench } from "./wire.ts";

const nothing = encodeClientFrame({ type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 });

test("publishes of one user are limited over all devices; the answer says when to come again", async () => {
  const { clock, engine, open } = await createBench({ limits: { publishesPerSecond: 5 } });
  const phone = await open("sara", { deviceId: "phone" });
  const laptop = await open("sara", { deviceId: "laptop" });
  const omid = await open("omid");
  for (let i = 0; i < 10; i++) (i % 2 === 0 ? phone : laptop).publish("omid/default", `sara ${i}`);
  phone.publish("omid/default", "too many", { ref: 99 });
  omid.publish("omid/default", "mine");
  await clock.settle();
  expect(phone.answer(99)).toMatchObject({ type: "error", code: "too-many", retryable: true, retryAfterMs: 200 });
  expect(engine.counters().accepted).toBe(11);
  expect(omid.contents).toHaveLength(11);
  await clock.advance(199);
  phone.publish("omid/default", "too soon", { ref: 100 });
  await clock.settle();
  expect(phone.answer(100)).toMatchObject({ code: "too-many", retryAfterMs: 1 });
  await clock.advance(1);
  laptop.publish("omid/default", "again", { ref: 101 });
  await clock.settle();
  expect(laptop.answer(101)?.type).toBe("ok");
  expect([phone.closedWith, laptop.closedWith]).toEqual([undefined, undefined]);
});

test("a user's topics are limited, one's own default among them", async () => {
  const { clock, open } = await createBench({ limits: { topics: 3 } });
  const sara = await open("sara");
  for (let ref = 1; ref <= 3; ref++) sara.send({ type: "subscribe", ref, topic: `*/c${ref}`, since: null, anew: false });
  await clock.settle();
  expect([1, 2, 3].map((ref) => sara.answer(ref)?.type)).toEqual(["ok", "ok", "error"]);
  expect(sara.error).toBe("too-many");
  sara.send({ type: "subscribe", ref: 4, topic: "*/c1", since: null, anew: false }, {
    type: "unsubscribe",
    ref: 5,
    topic: "*/c2",
  });
  await clock.settle();
  sara.send({ type: "subscribe", ref: 6, topic: "*/c3", since: null, anew: false });
  await clock.settle();
  expect([4, 5, 6].map((ref) => sara.answer(ref)?.type)).toEqual(["ok", "ok", "ok"]);
  expect(sara.of("welcome")[0]?.limits).toEqual({ frameBytes: 65_536, topics: 3 });
});

test("a message beyond the frame limit closes with 4104, one at the limit is taken", async () => {
  const { clock, engine, open } = await createBench({ limits: { frameBytes: 2_048 } });
  const sara = await open("sara");
  const omid = await open("omid");
  const empty = encodeClientFrame({
    type: "publish",
    ref: 1,
    topic: "omid/default",
    id: "m",
    options: null,
    payload: encodePayload("x".repeat(256), null),
  });
  const content = "x".repeat(2_048 - empty.length + 256);
  sara.publish("omid/default", content, { id: "m" });
  await clock.settle();
  expect(omid.contents).toEqual([content]);
  sara.publish("omid/default", `${content}x`, { id: "n" });
  await clock.settle();
  expect(sara.end).toBe("too-large 4104");
  expect(engine.maxFrameBytes).toBe(2_048);
  expect(omid.contents).toHaveLength(1);
});

test.each([1, 500])("a flood of messages of %d frames closes with 4006, and nobody else notices", async (frames) => {
  const { clock, engine, open } = await createBench();
  const [sara, omid] = [await open("sara"), await open("omid")];
  const message = Array.from({ length: frames }, () => nothing);
  const most = 10_000 / frames;
  // hello was the first frame
  for (let i = 1; i < most; i++) sara.raw(...message);
  await clock.settle();
  expect(sara.closedWith).toBeUndefined();
  sara.raw(...message);
  sara.raw(nothing);
  await clock.settle();
  expect(sara.of("error").at(-1)).toMatchObject({ ref: null, code: "too-many", retryable: true });
  expect(sara.closedWith).toBe(4006);
  await engine.publish({ to: "omid", content: "hi" });
  await clock.settle();
  expect(omid.contents).toEqual(["hi"]);
});

test("messages of nothing but ignored frames are counted too", async () => {
  const { open } = await createBench();
  const sara = await open("sara");
  for (let i = 0; i < 10_000; i++) sara.raw(new Uint8Array([0x91, 0x60]));
  expect(sara.end).toBe("too-many 4006");
});

test.each([16_000, 5_000])("frames of a type that is ignored count as others do, %i in one message as well", async (count) => {
  const { open } = await createBench();
  const sara = await open("sara");
  const ignored = new Uint8Array(2 * count).map((_, index) => index % 2 === 0 ? 0x91 : 0x60);
  for (let sent = count; sent < 10_000; sent += count) {
    sara.raw(ignored);
    expect(sara.closedWith).toBeUndefined();
  }
  sara.raw(ignored);
  expect(sara.end).toBe("too-many 4006");
});

test("a quick client that goes on for long is no flood", async () => {
  const { clock, open } = await createBench();
  const sara = await open("sara");
  for (let second = 0; second < 200; second++) {
    for (let i = 0; i < 350; i++) sara.raw(nothing);
    await clock.advance(1_000);
  }
  expect(sara.closedWith).toBeUndefined();
});

test("requests that wait for their answer are limited, the others are told to come again", async () => {
  const asked = Promise.withResolvers<boolean>();
  const { clock, open } = await createBench({ authorize: () => asked.promise, limits: { topics: 1_000 } });
  const sara = await open("sara");
  for (let ref = 1; ref <= 257; ref++) sara.send({ type: "subscribe", ref, topic: `*/c${ref}`, since: null, anew: false });
  await clock.settle();
  expect(sara.of("ok")).toEqual([]);
  expect(sara.of("error")).toMatchObject([{ ref: 257, code: "too-many", retryable: true }]);
  asked.resolve(true);
  await clock.settle();
  expect(sara.of("ok")).toHaveLength(256);
  sara.send({ type: "subscribe", ref: 258, topic: "*/c258", since: null, anew: false });
  await clock.settle();
  expect(sara.answer(258)?.type).toBe("ok");
});

test("whoever asks and asks but never reads the answers is closed with 4002 before they fill the memory", async () => {
  const { clock, open } = await createBench();
  const sara = await open("sara");
  sara.clogged = true;
  for (let beat = 0; beat < 10 && sara.closedWith === undefined; beat++) {
    for (let message = 0; message < 45; message++) {
      sara.send(
        ...Array.from(
          { length: 200 },
          (_, ref) => ({ type: "target" as const, ref, provider: "none", token: "t", details: null }),
        ),
      );
      await clock.settle();
    }
    await clock.advance(25_000);
  }
  expect(sara.closedWith).toBe(4002);
  expect(sara.bufferedAmount).toBeLessThan(2.5 * 1024 * 1024);
  expect(sara.late).toBe(0);
});

test("a reason that is more than a word does not get into the books", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  const result = await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  const { topic, epoch, offset } = sara.of("message")[0]!;
  sara.send({ type: "failed", topic, epoch, offset, reason: "secret ".repeat(1_000) });
  await clock.settle();
  expect(sara.end).toBe("bad-frame 4102");
  expect(JSON.stringify(await engine.explain(result))).not.toContain("secret");
});

test.each([{ frameBytes: 1_023 }, { topics: 0 }, { publishesPerSecond: 0.5 }])(
  "limits %j make no sense and are refused at start",
  async (limits) => {
    await expect(createEngine({ insecure: true, limits })).rejects.toMatchObject({ code: "bad-config" });
  },
);

test("the limits that the vectors name are those in force", async () => {
  const { clock, open, wire: begin } = await createBench();
  const { limits } = vectors as { limits: Record<"frameBytes" | "topics" | "cursorsPerHello" | "reasonCharacters", number> };
  const sara = await open("sara");
  const { frameBytes, topics } = limits;
  expect(sara.of("welcome")[0]?.limits).toEqual({ frameBytes, topics });
  const failed = { type: "failed", topic: "sara/default", epoch: 1, offset: 1 } as const;
  sara.send({ ...failed, reason: "x".repeat(limits.reasonCharacters) });
  expect(sara.closedWith).toBeUndefined();
  sara.send({ ...failed, reason: "x".repeat(limits.reasonCharacters + 1) });
  expect(sara.end).toBe("bad-frame 4102");
  const page = (count: number) => Array.from({ length: count }, () => ({ topic: "u/c", epoch: 1, offset: 1 }));
  for (const more of [0, 1]) {
    const wire = begin();
    wire.hello("omid", { more: true });
    for (let left = limits.cursorsPerHello; left > 0; left -= 1_000) {
      wire.send({ type: "cursors", cursors: page(1_000), more: true });
    }
    wire.send({ type: "cursors", cursors: page(more), more: false });
    await clock.settle();
    expect(wire.end).toBe(more ? "bad-frame 4102" : "undefined undefined");
  }
});
