import { expect, test } from "vitest";
import { createBench, type Wire } from "./wire.ts";

const MiB = 1024 * 1024;
const big = (i: number): string => `${i} ${"x".repeat(60_000)}`;
const numbers = (wire: Wire): number[] => wire.contents.map((content) => Number(content!.split(" ")[0]));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test("beyond 1 MiB in the buffer entries stay in the log; drained brings them, each once and in order, and others notice nothing", async () => {
  const { clock, engine, open } = await createBench();
  for (const user of ["slow", "quick"]) await engine.subscribe(user, { to: "*", channel: "news" });
  const [slow, quick] = [await open("slow"), await open("quick")];
  slow.clogged = true;
  for (let i = 0; i < 60; i++) {
    await engine.publish({ to: "*", channel: "news", content: big(i) });
    await clock.settle();
    quick.ack();
  }
  expect(numbers(quick)).toEqual(upTo(60));
  expect(slow.bufferedAmount).toBeGreaterThan(MiB / 2);
  expect(slow.bufferedAmount).toBeLessThan(MiB);
  const got = numbers(slow).length;
  expect(numbers(slow)).toEqual(upTo(got));
  expect(engine.counters().diverted).toBeGreaterThan(0);
  for (let rounds = 0; numbers(slow).length < 60 && rounds < 10; rounds++) {
    const before = numbers(slow).length;
    slow.drained();
    slow.clogged = rounds % 2 === 0;
    await clock.settle();
    expect(numbers(slow).length).toBeGreaterThan(before);
    expect(slow.bufferedAmount).toBeLessThan(MiB + 65_536);
    slow.ack();
  }
  slow.drained();
  await engine.publish({ to: "*", channel: "news", content: big(60) });
  await clock.settle();
  expect(numbers(slow)).toEqual(upTo(61));
  expect(slow.closedWith).toBeUndefined();
});

test("beyond 2,000 unseen entries the rest stays in the log, and comes with the acks", async () => {
  const { clock, engine, open } = await createBench();
  const [sara, omid] = [await open("sara"), await open("omid")];
  for (let i = 0; i < 6_000; i++) await engine.publish({ to: "sara", content: `${i}` });
  await engine.publish({ to: "omid", content: "hi" });
  await clock.settle();
  expect(omid.contents).toEqual(["hi"]);
  expect(sara.contents).toHaveLength(2_000);
  for (let acks = 1; sara.contents.length < 6_000 && acks < 10; acks++) {
    sara.ack();
    await clock.settle();
    expect(sara.contents.length).toBeLessThanOrEqual(2_000 * (acks + 1));
  }
  expect(numbers(sara)).toEqual(upTo(6_000));
  // Back on the live feed.
  sara.ack();
  await engine.publish({ to: "sara", content: "6000" });
  await clock.settle();
  expect(numbers(sara)).toEqual(upTo(6_001));
});

test("a minute without progress closes with 4002; who makes some stays, and whoever returns gets the rest", async () => {
  const { clock, engine, open } = await createBench();
  const [stuck, slow] = [await open("stuck"), await open("slow")];
  for (let i = 0; i < 20; i++) for (const to of ["stuck", "slow"]) await engine.publish({ to, content: `${i}` });
  let seen = 0;
  for (let second = 0; second < 59; second++) {
    await clock.advance(1_000);
    stuck.send({ type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 });
    if (second % 10 === 9) slow.send({ type: "ack", seen: ++seen, cursors: [], idleMs: null, waiting: 0 });
  }
  expect([stuck.closedWith, slow.closedWith]).toEqual([undefined, undefined]);
  await clock.advance(1_000);
  expect([stuck.closedWith, slow.closedWith]).toEqual([4002, undefined]);
  await clock.advance(40_000);
  expect(slow.closedWith).toBeUndefined();
  const back = await open("stuck");
  expect(numbers(back)).toEqual(upTo(20));
});

test("a message that comes after everything late was seen gets its own time: overdue after 3 s, stalled after 60 s", async () => {
  const { clock, engine, open, state } = await createBench();
  const sara = await open("sara");
  await engine.publish({ to: "sara", content: "one" });
  await clock.advance(10_000);
  expect(await state("sara")).toBe("connected.suspect");
  sara.ack();
  expect(await state("sara")).toBe("connected.live");
  await clock.advance(10_000);
  await engine.publish({ to: "sara", content: "two" });
  await clock.advance(3_000);
  expect(await state("sara")).toBe("connected.suspect");
  for (let i = 0; i < 5; i++) {
    await clock.advance(11_000);
    sara.raw(new Uint8Array([0x91, 0x60]));
  }
  expect(sara.closedWith).toBeUndefined();
  await clock.advance(2_000);
  expect(sara.closedWith).toBe(4002);
});
