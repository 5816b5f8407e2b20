import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { Lease } from "../../src/delivery/lease.ts";
import { Tick } from "../../src/delivery/tick.ts";
import { Flusher } from "../../src/gateway/flusher.ts";
import { createBench } from "./wire.ts";

test("a burst of 16 to 100 connections is 100 sends of one and the same Uint8Array", async () => {
  const { clock, engine, open } = await createBench();
  await Promise.all(Array.from({ length: 100 }, (_, i) => engine.subscribe(`user${i}`, { to: "*", channel: "news" })));
  const wires = await Promise.all(Array.from({ length: 100 }, (_, i) => open(`user${i}`)));
  for (const wire of wires) wire.sends.length = 0;
  const contents = Array.from({ length: 16 }, (_, i) => `news ${i}`);
  await Promise.all(contents.map((content) => engine.publish({ to: "*", channel: "news", content })));
  await clock.settle();
  expect(wires.map(({ sends }) => sends.length)).toEqual(Array(100).fill(1));
  expect(new Set(wires.flatMap(({ sends }) => sends)).size).toBe(1);
  expect(wires.every((wire) => wire.contents.join() === contents.join())).toBe(true);
});

test("the next tick's burst is another send", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  sara.sends.length = 0;
  for (const tick of ["first", "second"]) {
    await Promise.all([1, 2, 3].map((i) => engine.publish({ to: "sara", content: `${tick} ${i}` })));
    await clock.settle();
  }
  expect(sara.sends).toHaveLength(2);
  expect(sara.contents).toEqual(["first 1", "first 2", "first 3", "second 1", "second 2", "second 3"]);
});

test("what several topics and answers bring in one tick leaves in one send, each topic in its order", async () => {
  const { clock, engine, open } = await createBench();
  for (const channel of ["a", "b"]) await engine.subscribe("sara", { to: "*", channel });
  await engine.subscribe("omid", { to: "*", channel: "b" });
  const [sara, omid] = [await open("sara"), await open("omid")];
  sara.sends.length = omid.sends.length = 0;
  const order: string[] = [];
  for (let i = 0; i < 12; i++) {
    const [to, channel] = [["*", "a"], ["*", "b"], ["sara", "default"]][i % 3]!;
    order.push(`${channel} ${i}`);
    void engine.publish({ to: to!, channel: channel!, content: `${channel} ${i}` });
  }
  sara.publish("*/a", "own");
  await clock.settle();
  const came = (channel: string) => sara.contents.filter((content) => content?.startsWith(channel));
  for (const channel of ["a", "b", "default"]) {
    expect(came(channel)).toEqual(order.filter((content) => content.startsWith(channel)));
  }
  expect(came("own")).toHaveLength(1);
  expect(sara.contents).toHaveLength(13);
  expect(sara.of("ok")).toHaveLength(1);
  expect([sara.sends.length, omid.sends.length]).toEqual([1, 1]);
  expect(omid.contents).toEqual(order.filter((content) => content.startsWith("b")));
});

test("a batch beyond the cap is split, and keeps its order", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  sara.sends.length = 0;
  const contents = Array.from({ length: 18 }, (_, i) => `${i} ${"x".repeat(50_000)}`);
  await Promise.all(contents.map((content) => engine.publish({ to: "sara", content })));
  await clock.settle();
  expect(sara.contents).toEqual(contents);
  expect(sara.sends).toHaveLength(3);
  expect(Math.max(...sara.sends.map(({ length }) => length))).toBeLessThanOrEqual(256 * 1024 + 65_536);
});

test("frames written after the close go nowhere, those before it leave before it", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  const receipt = engine.publish({ to: "sara", content: "before" });
  await receipt;
  const revoked = engine.revoke("sara");
  await engine.publish({ to: "sara", content: "after" });
  await revoked;
  await engine.publish({ to: "sara", content: "much later" });
  await clock.settle();
  expect([sara.closedWith, sara.late]).toEqual([4103, 0]);
  expect(sara.contents[0]).toBe("before");
  expect(sara.contents).not.toContain("much later");
});

test("after the flush nothing is kept of what was merged", async () => {
  const clock = createManualClock();
  const flusher = new Flusher(new Tick(clock, new Lease(clock)), new Lease(clock));
  const frame = new Uint8Array([1]);
  const before = flusher.empty.with(frame);
  expect(flusher.empty.with(frame)).toBe(before);
  flusher.enlist({ flush() {} });
  await clock.settle();
  expect(flusher.empty.with(frame)).not.toBe(before);
});
