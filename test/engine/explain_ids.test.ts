import { describe, expect, test } from "vitest";
import { deviceName, type MessageRef, type Note, type ReceiptEvent } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import { createStage, type Device } from "./stage.ts";

/** Publishes as a client does. @returns what names the message */
async function say(lives: Lives, device: Device, topic: string, id: string): Promise<MessageRef> {
  await lives.clock.advance(1_000);
  const answer = await device.publish(topic, `${topic} ${id}`, id);
  const { epoch, offset } = (answer as { value?: unknown }).value as { epoch: number; offset: number };
  await lives.clock.settle();
  return { topic, position: { epoch, offset } };
}

const kinds = async (lives: Lives, message: MessageRef) => {
  const explanation = await lives.engine.explain(message);
  return explanation?.devices.map(({ device, events }) => [device, ...events.map(({ kind }) => kind)]);
};

describe.each(PLACES)("on %s", (place) => {
  test("messages of one id, in one topic and in several, have an explanation each, after a restart too", async () => {
    const lives = await createLives({}, place);
    for (const user of ["sara", "reza", "omid"]) await lives.engine.subscribe(user, { to: "*", channel: "room" });
    (await lives.sara("phone", { token: "phone" })).leave();
    const reza = await lives.device("reza", { token: "reza" });
    const omid = await lives.device("omid", { token: "omid" });
    const from = new Map([
      [await say(lives, reza, "sara/default", "m"), "reza"],
      [await say(lives, omid, "sara/default", "m"), "omid"],
      [await say(lives, omid, "*/room", "m"), "omid"],
    ]);
    const messages = [...from.keys()];
    for (let life = 0; life < 2; life++) {
      for (const message of messages) {
        expect(await lives.engine.explain(message)).toMatchObject({ id: "m", ...message, from: from.get(message) });
      }
      const pushed = [deviceName("phone"), ...life === 0 ? ["routed", "push-queued"] : [], "push-sent"];
      for (const message of messages.slice(0, 2)) expect(await kinds(lives, message)).toEqual([pushed]);
      // Of a public one the exceptions are told, and those who read it are counted.
      expect((await kinds(lives, messages[2]!))?.flat()).toContain("push-sent");
      await lives.restart();
    }
  });

  test("a device that touches another message of the same id after a restart hides nothing of what the outbox has", async () => {
    const lives = await createLives({}, place);
    await lives.engine.subscribe("omid", { to: "*", channel: "room" });
    (await lives.sara("phone", { token: "phone" })).leave();
    const reza = await lives.device("reza");
    const omid = await lives.device("omid", { habit: "sees" });
    const message = await say(lives, reza, "sara/default", "m");
    await say(lives, omid, "*/room", "m");
    await say(lives, omid, "omid/default", "m");
    await lives.restart();
    // Reads its own two again: the engine remembers these alone.
    await lives.device("omid");
    await lives.clock.settle();
    expect(await lives.engine.explain(message)).toMatchObject({ topic: "sara/default", from: "reza", delivered: 0 });
    expect(await kinds(lives, message)).toEqual([[deviceName("phone"), "push-sent"]]);
    // And so does a device that touches the message itself.
    await lives.sara("phone");
    await lives.clock.settle();
    expect(await kinds(lives, message)).toEqual([[deviceName("phone"), "push-sent", "seen", "acked"]]);
    expect(await lives.engine.explain(message)).toMatchObject({ topic: "sara/default", from: "reza", delivered: 1 });
  });

  test("what only the outbox remembers is told for as long as the log has the message: it says whose the push is", async () => {
    const lives = await createLives({}, place);
    (await lives.sara("phone", { token: "phone" })).leave();
    const message = await lives.engine.publish({ to: "sara", content: "hi", from: "reza", ttl: 60 });
    const sentAt = lives.clock.now();
    await lives.clock.settle();
    await lives.restart();
    expect(await lives.engine.explain(message)).toMatchObject({ id: message.id, from: "reza", sentAt, verdict: "routed" });
    await lives.clock.advance(60_001);
    expect(await lives.engine.explain(message)).toBeUndefined();
  });

  test("what the log has and neither a node nor the outbox remembers has no explanation", async () => {
    const lives = await createLives({}, place);
    const message = await lives.engine.publish({ to: "sara", content: "hi" });
    expect(await lives.engine.explain(message)).toBeDefined();
    await lives.restart();
    expect(await lives.engine.explain(message)).toBeUndefined();
  });

  test.each<[string, (message: MessageRef) => MessageRef]>([
    ["a later one", ({ topic, position }) => ({ topic, position: { ...position!, offset: position!.offset + 1 } })],
    ["one behind all", ({ topic, position }) => ({ topic, position: { ...position!, offset: Number.MAX_SAFE_INTEGER } })],
    ["one of another log", ({ topic, position }) => ({ topic, position: { ...position!, epoch: position!.epoch + 1 } })],
    ["one of another topic", ({ position }) => ({ topic: "reza/default", position })],
    ["one of a topic that there is not", ({ position }) => ({ topic: "*/nowhere", position })],
  ])("%s has no explanation, before a restart and after it", async (_, change) => {
    const lives = await createLives({}, place);
    (await lives.sara("phone", { token: "phone" })).leave();
    const message = await lives.engine.publish({ to: "sara", content: "hi" });
    await lives.clock.settle();
    for (let life = 0; life < 2; life++) {
      expect(await lives.engine.explain(message)).toBeDefined();
      expect(await lives.engine.explain(change(message))).toBeUndefined();
      await lives.restart();
    }
  });
});

test("a publish's result, a receipt and a note name the message", async () => {
  const { clock, device, engine } = await createStage();
  const names: (ReceiptEvent | Note)[] = [];
  engine.on("receipt", (receipt) => names.push(receipt));
  engine.on("note", (note) => names.push(note));
  const phone = await device("sara");
  const result = await engine.publish({ to: "sara", content: "hi", id: "order 42" });
  await engine.publish({ to: "reza", content: "hi", id: "order 42" });
  await clock.settle();
  const { topic, epoch, offset } = phone.of("message")[0]!;
  const mine = names.filter((name) => name.topic === result.topic);
  expect(mine.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["accepted", "routed", "delivered", "acked"]));
  for (const name of [result, { topic, position: { epoch, offset } }, ...mine]) {
    expect(await engine.explain(name)).toMatchObject({ id: "order 42", topic: "sara/default", delivered: 1 });
  }
});

test("an ephemeral message is in no log, and has no explanation", async () => {
  const { device, engine } = await createStage();
  await device("sara");
  const result = await engine.publish({ to: "sara", content: "typing", ephemeral: true });
  expect(result.position).toBeUndefined();
  expect(await engine.explain(result)).toBeUndefined();
});

const position = { epoch: 1, offset: 1 };
test.each<[string, unknown]>([
  ["an id", "order 42"],
  ["nothing", undefined],
  ["null", null],
  ["a topic alone that is none", { topic: "sara" }],
  ["no topic", { position }],
  ["a topic that is no text", { topic: 7, position }],
  ["a topic of three parts", { topic: "sara/a/b", position }],
  ["a topic without a channel", { topic: "sara/", position }],
  ["a position that is null", { topic: "sara/default", position: null }],
  ["an offset as a position", { topic: "sara/default", position: 1 }],
  ["no epoch", { topic: "sara/default", position: { offset: 1 } }],
  ["the beginning of a log", { topic: "sara/default", position: { epoch: 1, offset: 0 } }],
  ["no offset", { topic: "sara/default", position: { epoch: 1 } }],
  ...[-1, 0.5, NaN, Infinity, 2 ** 53, "1", 1n, null].flatMap((bad): [string, unknown][] => [
    [`an offset of ${typeof bad} ${bad}`, { topic: "sara/default", position: { epoch: 1, offset: bad } }],
    [`an epoch of ${typeof bad} ${bad}`, { topic: "sara/default", position: { epoch: bad, offset: 1 } }],
  ]),
])("what is no name of a message is refused: %s", async (_, message) => {
  const { engine } = await createStage();
  await engine.publish({ to: "sara", content: "hi", id: "order 42" });
  await expect(engine.explain(message as MessageRef)).rejects.toMatchObject({ code: "bad-message", retryable: false });
});
