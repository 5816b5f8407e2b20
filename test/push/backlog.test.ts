import { describe, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { Emitter } from "../../src/delivery/events.ts";
import { Lease } from "../../src/delivery/lease.ts";
import { Alarms } from "../../src/push/alarms.ts";
import { Backlog } from "../../src/push/backlog.ts";
import { RestingServices, type Service } from "../../src/push/resting_services.ts";
import { seededRandom } from "../engine/stage.ts";

const SERVICE: Service = { provider: "fake", lane: "" };
const NO = { verdict: "retry", reason: "no", scope: "service" } as const;
const yes = (): boolean => true;

/** A service that rests for ten minutes, with so many targets that wait for it. */
function resting(count: number) {
  const clock = createManualClock();
  const lease = new Lease(clock);
  const services = new RestingServices(
    clock,
    seededRandom(1),
    new Alarms(clock, new Emitter(() => {}), { info() {}, warn() {}, error() {} }),
  );
  const backlog = new Backlog(services, lease, clock);
  services.ask(SERVICE, "first")!({ ...NO, afterMs: 600_000 });
  const add = (name: string) => backlog.add(SERVICE, { provider: "fake", targetId: name, userId: name }) - clock.now();
  for (let n = 0; n < count; n++) add(`${n}`);
  return {
    ...{ clock, lease, services, backlog, add },
    /** The rest is over, and the service takes the probe. */
    async heal(): Promise<void> {
      await clock.advance(600_000);
      services.ask(SERVICE, "probe")!({ verdict: "sent" });
    },
    /** How many leave in each of the seconds that come, looked for every so many milliseconds. */
    async perSecond(seconds: number, everyMs = 100): Promise<number[]> {
      const counts: number[] = [];
      for (let second = 0; second < seconds; second++) {
        let count = 0;
        for (let ms = 0; ms < 1_000; ms += everyMs) {
          const turns = backlog.turns("fake", 10_000, yes);
          for (const targetId of turns.keys()) backlog.done(targetId);
          count += turns.size;
          await clock.advance(everyMs);
        }
        counts.push(count);
      }
      return counts;
    },
  };
}

describe("what has waited for a service", () => {
  test("leaves at a rate that grows from 100 to 1,000 a second within a minute, in the order in which it came", async () => {
    const { backlog, heal, perSecond } = resting(50_000);
    await heal();
    expect([...backlog.turns("fake", 10_000, yes).keys()]).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    const counts = await perSecond(75);
    expect(counts[0]).toBeGreaterThan(80);
    expect(counts[0]).toBeLessThan(120);
    expect(counts[30]).toBeGreaterThan(500);
    expect(counts[30]).toBeLessThan(600);
    for (const count of counts.slice(60, 70)) expect(Math.abs(count - 1_000)).toBeLessThan(10);
  });

  test("leaves at a rate that the nodes share", async () => {
    const { heal, lease, perSecond } = resting(50_000);
    lease.nodes = 4;
    await heal();
    const counts = await perSecond(70);
    expect(counts[0]).toBeGreaterThan(20);
    expect(counts[0]).toBeLessThan(30);
    expect(counts[65]).toBeGreaterThan(240);
    expect(counts[65]).toBeLessThan(260);
  });

  test("does not leave faster where it is looked for more often, nor is made up for what was not looked for", async () => {
    const { clock, heal, perSecond } = resting(50_000);
    await heal();
    expect((await perSecond(1, 5))[0]).toBeLessThan(120);
    await clock.advance(20_000);
    expect((await perSecond(1))[0]).toBeLessThan(500);
  });

  test("leaves a quarter of what its service may have under way to others, but for one at a time", async () => {
    const { backlog, clock, heal, services } = resting(50_000);
    await heal();
    for (let n = 0; n < 285; n++) services.ask(SERVICE, "new");
    expect(backlog.turns("fake", 10_000, yes).size).toBe(3);
    await clock.advance(100);
    for (let n = 0; n < 98; n++) services.ask(SERVICE, "late");
    expect(backlog.turns("fake", 10_000, yes).size).toBe(1);
    await clock.advance(100);
    services.ask(SERVICE, "late");
    expect(backlog.turns("fake", 10_000, yes).size).toBe(0);
  });

  test("begins slowly again after another rest", async () => {
    const { heal, perSecond, services } = resting(50_000);
    await heal();
    await perSecond(60);
    services.ask(SERVICE, "first")!({ ...NO, afterMs: 600_000 });
    expect(await perSecond(1)).toEqual([0]);
    await heal();
    expect((await perSecond(1))[0]).toBeLessThan(120);
  });

  test("leaves no more than is asked for, and what may not leave is passed over and keeps its place in the round", async () => {
    const { backlog, clock, heal } = resting(6);
    await heal();
    expect([...backlog.turns("fake", 2, (userId) => userId !== "1").keys()]).toEqual(["0", "2"]);
    await clock.advance(100);
    expect([...backlog.turns("fake", 10, yes).keys()]).toEqual(["3", "4", "5", "0", "1", "2"]);
    await clock.advance(100);
    expect([...backlog.turns("another", 10, yes).keys()]).toEqual([]);
  });
});

describe("while a service rests", () => {
  test("one target at a time has its turn, once it is time for a probe", async () => {
    const { backlog, clock, services } = resting(10);
    expect([...backlog.turns("fake", 10, yes).keys()]).toEqual([]);
    expect(backlog.nextTurnAt("fake")! - clock.now()).toBe(600_000);
    await clock.advance(600_000);
    expect([...backlog.turns("fake", 10, yes).keys()]).toEqual(["0"]);
    expect([...backlog.turns("fake", 10, yes).keys()]).toEqual([]);
    const heard = services.ask(SERVICE, "0")!;
    await clock.advance(30_000);
    expect([...backlog.turns("fake", 10, yes).keys()]).toEqual([]);
    heard(NO);
    await clock.advance(600_000);
    expect([...backlog.turns("fake", 10, yes).keys()]).toEqual(["1"]);
  });

  test("what comes is put off for as long as it has rested, 5 s at least and ten minutes at most", async () => {
    const { add, clock } = resting(1);
    expect(add("a")).toBe(5_000);
    await clock.advance(100_000);
    expect(add("b")).toBe(100_000);
    await clock.advance(1_000_000);
    expect(add("a")).toBe(600_000);
  });
});

test("no more targets are remembered than 50,000, and nothing once none waits", () => {
  const { add, backlog } = resting(50_000);
  expect(add("one more")).toBe(5_000);
  expect(backlog.serviceOf("one more")).toBeUndefined();
  for (let n = 0; n < 50_000; n++) backlog.done(`${n}`);
  expect(backlog.nextTurnAt("fake")).toBeUndefined();
  add("one more");
  expect(backlog.serviceOf("one more")).toEqual(SERVICE);
});

test("a target that is tried anew has its turn at once, though its former service rests", () => {
  const { backlog } = resting(3);
  backlog.tryAnew({ provider: "fake", targetId: "1", userId: "1" });
  expect([...backlog.turns("fake", 10, yes).keys()]).toEqual(["1"]);
});
