import { describe, expect, test } from "vitest";
import { createLives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

type Kind = "read" | "dismissed";

/** Marks the message of that content, so many times. */
async function mark(device: Device, kind: Kind, id: string, times = 1): Promise<void> {
  const index = device.contents.indexOf(id);
  const { topic, epoch, offset } = device.of("message")[index]!;
  for (let time = 0; time < times; time++) {
    expect(await device.request({ type: "mark", ref: 0, kind, topic, epoch, offset })).toMatchObject({ type: "ok" });
  }
}

const receipts = (device: Device): string[] =>
  device.of("receipt").filter(({ kind }) => kind !== "delivered").map(({ kind, id }) => `${kind} ${id}`);

describe.each(PLACES)("on %s", (place) => {
  test.each<Kind>(["read", "dismissed"])(
    "two hundred marks that say %s of one message are one receipt, one event and one line of its explanation",
    async (kind) => {
      const lives = await createLives({}, place);
      const told: string[] = [];
      lives.engine.on("receipt", ({ kind, id }) => kind === "read" || kind === "dismissed" ? told.push(`${kind} ${id}`) : 0);
      const reza = await lives.device("reza");
      const phone = await lives.sara("phone");
      const tablet = await lives.sara("tablet");
      await lives.say("hi", { from: "reza" });
      await mark(phone, kind, "hi", 100);
      await mark(tablet, kind, "hi", 100);
      expect(receipts(reza)).toEqual([`${kind} hi`]);
      expect(told).toEqual([`${kind} hi`]);
      expect((await lives.told("hi")).filter((line) => line === kind)).toEqual([kind]);
    },
  );

  test("a message that is read is not told as read again after a restart", async () => {
    const lives = await createLives({}, place);
    const phone = await lives.sara("phone", { habit: "sees" });
    await (await lives.device("reza")).publish("sara/default", "hi", "hi");
    await lives.clock.settle();
    await mark(phone, "read", "hi");
    await lives.restart();
    const reza = await lives.device("reza");
    await mark(await lives.sara("phone", { habit: "sees" }), "read", "hi");
    expect(receipts(reza)).toEqual([]);
  });
});

test("marks at the same time, over both devices, are one receipt", async () => {
  const lives = await createLives();
  const reza = await lives.device("reza");
  const [phone, tablet] = [await lives.sara("phone"), await lives.sara("tablet")];
  await reza.publish("sara/default", "hi", "hi");
  await lives.clock.settle();
  const { topic, epoch, offset } = phone.of("message")[0]!;
  for (let ref = 100; ref < 200; ref++) {
    for (const device of [phone, tablet]) device.send({ type: "mark", ref, kind: "read", topic, epoch, offset });
  }
  await lives.clock.settle();
  expect(receipts(reza)).toEqual(["read hi"]);
});

test("a message that is read after a later one is told to its sender, once", async () => {
  const lives = await createLives();
  const [reza, omid] = [await lives.device("reza"), await lives.device("omid")];
  const phone = await lives.sara("phone");
  await reza.publish("sara/default", "from reza", "from reza");
  await omid.publish("sara/default", "from omid", "from omid");
  await lives.clock.settle();
  await mark(phone, "read", "from omid");
  await mark(phone, "read", "from reza", 3);
  await mark(phone, "read", "from omid", 3);
  expect([receipts(reza), receipts(omid)]).toEqual([["read from reza"], ["read from omid"]]);
});

test("a notification that is dismissed though the message was dealt with at the laptop is told, once", async () => {
  const lives = await createLives();
  const reza = await lives.device("reza");
  const phone = await lives.sara("phone", { visible: false, token: "t" });
  await lives.sara("laptop", { attended: true });
  await reza.publish("sara/default", "hi", "hi");
  await lives.clock.settle();
  await mark(phone, "dismissed", "hi", 3);
  await mark(phone, "read", "hi", 3);
  expect(receipts(reza)).toEqual(["dismissed hi", "read hi"]);
});

test("in a room each member's marks of both kinds are told, once", async () => {
  const lives = await createLives();
  const told: string[] = [];
  lives.engine.on("receipt", ({ kind, userId }) => kind === "read" || kind === "dismissed" ? told.push(`${userId} ${kind}`) : 0);
  const members = ["a", "b", "c"];
  for (const member of members) await lives.engine.subscribe(member, { to: "*", channel: "room" });
  const devices = [];
  for (const member of members) devices.push(await lives.device(member));
  await lives.say("hi", { to: "*", channel: "room" });
  for (const device of devices) {
    await mark(device, "read", "hi", 5);
    await mark(device, "dismissed", "hi", 5);
  }
  expect(told).toEqual(members.flatMap((member) => [`${member} read`, `${member} dismissed`]));
});
