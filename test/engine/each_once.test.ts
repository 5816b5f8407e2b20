import { describe, expect, test } from "vitest";
import type { ReceiptEvent } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

/** What the server hears of handlers: kind and message, in order. */
function heard(lives: Lives): string[] {
  const events: string[] = [];
  lives.engine.on("receipt", ({ kind, id }: ReceiptEvent) => {
    if (kind === "delivered" || kind === "failed") events.push(`${kind} ${id}`);
  });
  return events;
}

const cursorOf = (device: Device, index: number) => {
  const { topic, epoch, offset } = device.of("message").at(index)!;
  return { topic, epoch, offset };
};

function fail(device: Device, ...indexes: number[]): void {
  for (const index of indexes) device.send({ type: "failed", ...cursorOf(device, index), reason: "threw" });
}

describe.each(PLACES)("on %s", (place) => {
  test("one ack of 4,000 private messages is 4,000 deliveries, each told once", async () => {
    const lives = await createLives({ limits: { publishesPerSecond: 1_000_000 } }, place);
    const events = heard(lives);
    const phone = await lives.sara("phone", { habit: "sees" });
    const ids = Array.from({ length: 4_000 }, (_, index) => `m${index}`);
    for (let from = 0; from < ids.length; from += 500) {
      await Promise.all(ids.slice(from, from + 500).map((id) => lives.engine.publish({ to: "sara", content: id, id })));
      await lives.clock.settle();
    }
    expect(phone.contents).toHaveLength(4_000);
    phone.ack([cursorOf(phone, -1)]);
    await lives.clock.settle();
    expect(events).toHaveLength(4_000);
    expect(new Set(events)).toEqual(new Set(ids.map((id) => `delivered ${id}`)));
    expect(lives.engine.counters().acked).toBe(4_000);
  });
});

test("what comes while the log is read for the names of an ack changes nothing in them", async () => {
  const lives = await createLives();
  const events = heard(lives);
  const phone = await lives.sara("phone", { habit: "sees" });
  const tablet = await lives.sara("tablet", { habit: "sees" });
  for (let index = 0; index < 1_500; index++) await lives.engine.publish({ to: "sara", content: "", id: `m${index}` });
  await lives.clock.settle();
  phone.ack([cursorOf(phone, -1)]);
  // These take the places of those that were named from memory.
  await Promise.all(
    Array.from({ length: 1_200 }, (_, index) => lives.engine.publish({ to: "sara", content: "", id: `n${index}` })),
  );
  await lives.clock.settle();
  expect(events).toHaveLength(1_500);
  expect(new Set(events).size).toBe(1_500);
  tablet.ack([cursorOf(tablet, -1)]);
  await lives.clock.settle();
  expect(lives.engine.counters().acked).toBe(4_200);
});

test.each([2, 9, 200])("%i messages failed before one ack are each failed once, and none is delivered", async (count) => {
  const lives = await createLives();
  const events = heard(lives);
  const phone = await lives.sara("phone", { habit: "sees" });
  const ids = Array.from({ length: count + 1 }, (_, index) => `m${index}`);
  for (const id of ids) await lives.say(id);
  const failed = ids.slice(0, count);
  fail(phone, ...failed.keys());
  phone.ack([cursorOf(phone, -1)]);
  await lives.clock.settle();
  expect(events).toEqual([...failed.map((id) => `failed ${id}`), `delivered m${count}`]);
  expect(lives.engine.counters()).toMatchObject({ failed: count, acked: 1 });
});

test("the same in a room, where deliveries are only counted", async () => {
  const lives = await createLives();
  await lives.engine.subscribe("sara", { to: "*", channel: "room" });
  const phone = await lives.sara("phone", { habit: "sees" });
  for (let index = 0; index < 12; index++) await lives.say(`m${index}`, { to: "*", channel: "room" });
  fail(phone, ...Array.from({ length: 11 }).keys());
  phone.ack([cursorOf(phone, -1)]);
  expect(lives.engine.counters()).toMatchObject({ failed: 11, acked: 1 });
  expect((await lives.explain("m3"))?.delivered).toBe(0);
  expect((await lives.explain("m11"))?.delivered).toBe(1);
});

test("a failure is still one when an earlier message is acked first", async () => {
  const lives = await createLives();
  const events = heard(lives);
  const phone = await lives.sara("phone", { habit: "sees" });
  for (let index = 0; index < 12; index++) await lives.say(`m${index}`);
  fail(phone, ...Array.from({ length: 10 }, (_, index) => index + 1));
  phone.ack([cursorOf(phone, 0)]);
  phone.ack([cursorOf(phone, 11)]);
  await lives.clock.settle();
  expect(events.filter((event) => event.startsWith("delivered"))).toEqual(["delivered m0", "delivered m11"]);
});

test("a failure that is reported again, also on another connection, is one", async () => {
  const lives = await createLives();
  const events = heard(lives);
  const phone = await lives.sara("phone", { habit: "sees" });
  await lives.say("one");
  await lives.say("two");
  fail(phone, 0, 0, 1);
  fail(phone, 0);
  phone.drop();
  await lives.clock.settle();
  const again = await lives.sara("phone", { habit: "sees" });
  await lives.clock.settle();
  fail(again, 0, 1);
  again.ack([cursorOf(again, 1)]);
  await lives.clock.settle();
  fail(again, 0, 1);
  await lives.clock.settle();
  expect(events).toEqual(["failed one", "failed two"]);
  expect(lives.engine.counters()).toMatchObject({ failed: 2, acked: 0 });
});

test("failures without end and without an ack end the connection, not the memory", async () => {
  const lives = await createLives();
  const phone = await lives.sara("phone", { habit: "sees" });
  const { topic, epoch } = await lives.say("first").then(() => cursorOf(phone, 0));
  for (let index = 1; index <= 4_000; index++) {
    await lives.engine.publish({ to: "sara", content: "", id: `m${index}` });
    if (index % 500 === 0) await lives.clock.settle();
  }
  const failed = (offset: number): void => phone.send({ type: "failed", topic, epoch, offset, reason: "threw" });
  for (let offset = 1; offset <= 4_000; offset++) failed(offset);
  failed(4_000);
  expect(phone.closedWith).toBeUndefined();
  failed(4_001);
  expect(phone.closedWith).toBe(4006);
});

describe("a message that expires while its device is recent", () => {
  const kinds = async (lives: Lives, id: string): Promise<string[]> => (await lives.told(id)).map((line) => line.split(" ")[0]!);

  test.each([undefined, "t"])("is told as expired once the device is away (its push target: %s)", async (token) => {
    const lives = await createLives();
    (await lives.sara("phone", token === undefined ? {} : { token })).drop();
    await lives.say("short", { ttl: 5 });
    await lives.say("long");
    await lives.clock.advance(14_000);
    expect(await kinds(lives, "short")).toEqual(["routed"]);
    await lives.clock.advance(60_000);
    expect(await kinds(lives, "short")).toEqual(["routed", "expired"]);
    expect(await kinds(lives, "long")).not.toContain("expired");
    await lives.sara("phone");
    await lives.clock.settle();
    expect(await kinds(lives, "short")).toEqual(["routed", "expired"]);
    expect(lives.engine.counters().expired).toBe(1);
    expect(lives.pushed()).toEqual(token === undefined ? [] : ["t long"]);
  });

  test.each(["alone", "with another device that has them"])("is told when the device is back in time, %s", async (how) => {
    const lives = await createLives();
    if (how !== "alone") await lives.sara("laptop");
    (await lives.sara("phone")).drop();
    await lives.say("first", { ttl: 5 });
    await lives.say("between");
    await lives.say("last", { ttl: 5 });
    await lives.clock.advance(10_000);
    const phone = await lives.sara("phone");
    await lives.clock.settle();
    expect(phone.contents).toEqual(["between"]);
    const ofPhone = async (id: string) => (await kinds(lives, id)).filter((kind) => kind === "expired");
    for (const id of ["first", "last"]) expect(await ofPhone(id)).toEqual(["expired"]);
    expect(lives.engine.counters().expired).toBe(2);
    await lives.clock.advance(60_000);
    for (const id of ["first", "last"]) expect(await ofPhone(id)).toEqual(["expired"]);
  });

  test("is told by its push alone where that was decided before", async () => {
    const lives = await createLives();
    await lives.sara("laptop");
    (await lives.sara("phone", { token: "t" })).leave();
    await lives.say("short", { ttl: 5 });
    await lives.clock.advance(8_000);
    await lives.sara("phone");
    await lives.clock.settle();
    expect(await kinds(lives, "short")).toContain("push-sent");
    expect(await kinds(lives, "short")).not.toContain("expired");
  });

  test("is told once per device", async () => {
    const lives = await createLives();
    const [phone, tablet] = [await lives.sara("phone"), await lives.sara("tablet")];
    await lives.sara("laptop");
    phone.drop();
    tablet.drop();
    await lives.say("short", { ttl: 5 });
    await lives.clock.advance(8_000);
    await lives.sara("phone");
    await lives.clock.advance(30_000);
    await lives.sara("tablet");
    await lives.clock.settle();
    expect((await kinds(lives, "short")).filter((kind) => kind === "expired")).toHaveLength(2);
    expect(await kinds(lives, "short")).toContain("acked");
  });
});
