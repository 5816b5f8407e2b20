import { describe, expect, test } from "vitest";
import { deviceName } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

/** Lets it be another second: what is sent first is told by the clock. */
async function say(lives: Lives, device: Device, topic: string, id: string): Promise<void> {
  await lives.clock.advance(1_000);
  expect(await device.publish(topic, `${topic} ${id}`, id)).toMatchObject({ type: "ok" });
  await lives.clock.settle();
}

const kinds = async (...[lives, id, which]: [Lives, string, Parameters<Lives["engine"]["explain"]>[1]?]) => {
  const explanation = await lives.engine.explain(id, which);
  return explanation?.devices.map(({ device, events }) => [device, ...events.map(({ kind }) => kind)]);
};

describe.each(PLACES)("on %s", (place) => {
  test("a message keeps its explanation when another user takes its id again, in the same topic and in others, after a restart too", async () => {
    const lives = await createLives({}, place);
    for (const user of ["sara", "reza", "omid"]) await lives.engine.subscribe(user, { to: "*", channel: "room" });
    (await lives.sara("phone", { token: "phone" })).leave();
    const reza = await lives.device("reza");
    const omid = await lives.device("omid", { token: "omid" });
    await say(lives, reza, "sara/default", "m");
    const { position } = (await lives.engine.explain("m"))!;
    for (const topic of ["sara/default", "*/room", "reza/default"]) await say(lives, omid, topic, "m");
    for (let life = 0; life < 2; life++) {
      expect(await lives.engine.explain("m")).toMatchObject({ topic: "sara/default", from: "reza", position });
      expect(await kinds(lives, "m")).toMatchObject([[
        deviceName("phone"),
        ...life === 0 ? ["routed", "push-queued"] : [],
        "push-sent",
      ]]);
      const others = { from: "omid" };
      expect(await lives.engine.explain("m", others)).toMatchObject({ topic: "sara/default", from: "omid" });
      expect(await lives.engine.explain("m", { ...others, topic: "*/room" })).toMatchObject({ topic: "*/room", from: "omid" });
      expect(await lives.engine.explain("m", { position: { ...position, offset: position.offset + 1 }, topic: "sara/default" }))
        .toMatchObject({ from: "omid" });
      expect(await lives.engine.explain("m", { from: "nobody" })).toBeUndefined();
      await lives.restart();
    }
  });

  test("a device that touches another one's message after a restart hides nothing of what the outbox has", async () => {
    const lives = await createLives({}, place);
    await lives.engine.subscribe("omid", { to: "*", channel: "room" });
    (await lives.sara("phone", { token: "phone" })).leave();
    const reza = await lives.device("reza");
    const omid = await lives.device("omid", { habit: "sees" });
    await say(lives, reza, "sara/default", "m");
    await say(lives, omid, "*/room", "m");
    await say(lives, omid, "omid/default", "m");
    await lives.restart();
    // Reads its own two again: the engine remembers these alone.
    await lives.device("omid");
    await lives.clock.settle();
    expect(await lives.engine.explain("m")).toMatchObject({ topic: "sara/default", from: "reza" });
    expect(await kinds(lives, "m")).toEqual([[deviceName("phone"), "push-sent"]]);
    // And so does a device that touches the message itself.
    await lives.sara("phone");
    await lives.clock.settle();
    expect(await kinds(lives, "m")).toEqual([[deviceName("phone"), "push-sent", "seen", "acked"]]);
    expect(await lives.engine.explain("m")).toMatchObject({ topic: "sara/default", from: "reza", delivered: 1 });
  });
});

test("what a publish answers says which message is meant", async () => {
  const lives = await createLives();
  await lives.sara("phone");
  await lives.device("reza");
  const publish = (to: string) => lives.engine.publish({ to, content: to, id: "order 42" });
  const results = [await publish("sara"), await publish("reza")];
  for (const result of results) {
    expect(await lives.engine.explain("order 42", result)).toMatchObject({ topic: result.topic, position: result.position });
  }
});

test("a message that the log has no more is older than the one that took its id", async () => {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.say("m", { ttl: 60 });
  await lives.restart();
  await lives.clock.advance(30_000);
  const reza = await lives.device("reza");
  await say(lives, reza, "reza/default", "m");
  expect((await lives.engine.explain("m"))?.sentAt).toBeDefined();
  await lives.clock.advance(40_000);
  const explanation = await lives.engine.explain("m");
  expect(explanation).toMatchObject({ topic: "sara/default", devices: [{ userId: "sara" }] });
  expect(explanation?.sentAt).toBeUndefined();
});

test("ids that stand for several messages are forgotten with the last of them", async () => {
  const lives = await createLives();
  const ids = ["a", "b"];
  for (const to of ["u1", "u2", "u3"]) for (const id of ids) await lives.engine.publish({ to, id, content: "" });
  for (let index = 0; index < 9_996; index++) await lives.engine.publish({ to: "filler", content: "", id: `f${index}` });
  // Six and these are two more than are kept.
  expect([(await lives.engine.explain("a"))?.topic, (await lives.engine.explain("b"))?.topic]).toEqual([
    "u2/default",
    "u2/default",
  ]);
  for (let index = 0; index < 4; index++) await lives.engine.publish({ to: "filler", content: "", id: `g${index}` });
  expect([await lives.engine.explain("a"), await lives.engine.explain("b")]).toEqual([undefined, undefined]);
});
