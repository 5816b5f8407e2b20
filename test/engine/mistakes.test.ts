import { expect, onTestFinished, test } from "vitest";
import { createEngine, type Engine } from "../../mod.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import { createBench } from "../gateway/wire.ts";

async function opened(options: object = {}): Promise<Engine> {
  const engine = await createEngine({ insecure: true, ...options });
  onTestFinished(() => engine.close());
  return engine;
}

test.each<[string, unknown, string]>([
  ["an object as content", { to: "sara", content: { a: 1 } }, "data"],
  ["a number as content", { to: "sara", content: 5 }, "data"],
  ["a list as content", { to: "sara", content: ["hi"] }, "data"],
  ["a text in an object as content", { to: "sara", content: new String("hi") }, "data"],
  ["a misspelt field", { to: "sara", contents: "hi" }, '"content"'],
  ["a misspelt option", { to: "sara", content: "hi", usAsAlert: true }, '"useAsAlert"'],
  ["a field of a received message", { to: "sara", content: "hi", sentAt: 5 }, "Its fields"],
  ["a field of another library", { to: "sara", body: "hi" }, "Its fields"],
  ["a misspelt field of the notification", { to: "sara", notification: { titel: "hi" } }, '"title"'],
  ["a misspelt sender", { to: "sara", content: "hi", form: "omid" }, '"from"'],
  ["nothing", undefined, "Its fields"],
  ["null", null, "Its fields"],
  ["a text", "hi", "Its fields"],
])("publish refuses %s with bad-message, and a hint", async (_, message, hint) => {
  const engine = await opened();
  await expect(engine.publish(message as never)).rejects.toMatchObject({
    code: "bad-message",
    retryable: false,
    hint: expect.stringContaining(hint),
  });
  expect(engine.counters().accepted).toBe(0);
});

test("no content, null and fields that are undefined are as before", async () => {
  const engine = await opened();
  const nothing = { to: "sara", content: null, from: undefined, ttl: undefined, colour: undefined };
  await engine.publish(nothing as never);
  expect(engine.counters().accepted).toBe(1);
});

test.each<[string, unknown, string]>([
  ["a misspelt field", { to: "*", chanel: "news" }, '"channel"'],
  ["a topic", { topic: "*/news" }, "Its fields"],
  ["no options", undefined, "Its fields"],
  ["a text", "*/news", "Its fields"],
])("subscribe and unsubscribe refuse %s with bad-message", async (_, options, hint) => {
  const engine = await opened();
  const refusal = { code: "bad-message", hint: expect.stringContaining(hint) };
  await expect(engine.subscribe("sara", options as never)).rejects.toMatchObject(refusal);
  await expect(engine.unsubscribe("sara", options as never)).rejects.toMatchObject(refusal);
});

test.each([5, "start", null, {}, { epoch: 1 }, { offset: 1 }, { epoch: 1, offset: -1 }, { epoch: 1.5, offset: 0 }, {
  epoch: "1",
  offset: 1,
}])(
  "subscribe refuses a since %j that is no position, and unsubscribe any",
  async (since) => {
    const engine = await opened();
    await expect(engine.subscribe("sara", { to: "*", channel: "news", since: since as never })).rejects.toMatchObject({
      code: "bad-message",
      hint: expect.stringContaining("{ epoch, offset }"),
    });
    expect(await engine.subscriptions("sara")).toEqual([]);
    await expect(engine.unsubscribe("sara", { to: "*", since: { epoch: 0, offset: 0 } } as never)).rejects.toMatchObject({
      code: "bad-message",
    });
  },
);

test.each<[string, unknown, string]>([
  ["no options", undefined, "authenticate"],
  ["a misspelt option", { insecure: true, autorize: () => true }, '"authorize"'],
  ["an option of another library", { insecure: true, port: 8080 }, "Its fields"],
  ["a misspelt waiting time", { insecure: true, policy: { graceMS: 5, grace: 5 } }, '"graceMs"'],
  ["a waiting time that there is not", { insecure: true, policy: { patience: 5 } }, "ackTimeoutMs"],
  ["a number as policy", { insecure: true, policy: 5 }, "graceMs"],
  ["a misspelt limit", { insecure: true, limits: { topic: 5 } }, '"topics"'],
  ["a list as limits", { insecure: true, limits: [5] }, "frameBytes"],
  ["a text as handledBy", { insecure: true, handledBy: "mark" }, "mark"],
  ["an identity for authenticate", { authenticate: { userId: "sara" } }, "authenticate"],
  ["true for authorize", { insecure: true, authorize: true }, "authorize"],
  ["a storage that was not made", { insecure: true, storage: () => 1 }, "memory()"],
  ["a path as storage", { insecure: true, storage: "peyk.db" }, "sqlite(path)"],
  ["a promise for a storage", { insecure: true, storage: Promise.resolve({}) }, "sqlite(path)"],
  ["a push provider that is in no list", { insecure: true, push: { name: "fake", send: () => 1 } }, "push: ["],
  ["a push provider's name", { insecure: true, push: ["webhook"] }, "push: ["],
  ["a function as logger", { insecure: true, logger: () => 1 }, "console"],
  ["Date as clock", { insecure: true, clock: Date }, "Leave it out"],
  ["a function as random", { insecure: true, random: Math.random }, "Leave it out"],
])("createEngine refuses %s with bad-config, and a hint", async (_, options, hint) => {
  await expect(createEngine(options as never)).rejects.toMatchObject({
    code: "bad-config",
    retryable: false,
    hint: expect.stringContaining(hint),
  });
});

test("an event that never comes, and a listener that is none, are refused", async () => {
  const engine = await opened();
  expect(() => engine.on("reciept" as never, () => {})).toThrow(
    expect.objectContaining({ code: "bad-config", hint: expect.stringContaining('"receipt"') }),
  );
  expect(() => engine.on("toString" as never, () => {})).toThrow(expect.objectContaining({ code: "bad-config" }));
  expect(() => engine.on("receipt", undefined as never)).toThrow(expect.objectContaining({ code: "bad-config" }));
});

test("console will do as a logger", async () => {
  await opened({ logger: console });
});

test.each<[string, (message: object) => unknown]>([
  ["content that is no text", (message) => ({ ...message, content: { a: 1 } })],
  ["a misspelt field", (message) => ({ ...message, chanel: "x" })],
  ["a list", () => ["hi"]],
])("a message that authorize answers with %s is not published, and the log says so", async (_, instead) => {
  const { clock, engine, errors, open } = await createBench({ authorize: ({ message }) => instead(message!) as never });
  const sara = await open("sara");
  sara.send({ type: "publish", ref: 1, topic: "sara/default", id: "m", options: null, payload: encodePayload("hi", undefined) });
  await clock.settle();
  expect(sara.answer(1)).toMatchObject({ type: "error", code: "bad-message" });
  expect(errors).toEqual(["authorize() answered what can't be published"]);
  expect(engine.counters().accepted).toBe(0);
});

test("a client's notification may have fields that are not known yet: it may be newer than the engine", async () => {
  const { clock, engine, open } = await createBench({ authorize: ({ message }) => message! });
  const sara = await open("sara");
  const options = { notification: { title: "hi", color: "red" } };
  sara.send({ type: "publish", ref: 1, topic: "sara/default", id: "m", options, payload: encodePayload("hi", undefined) });
  await clock.settle();
  expect(sara.answer(1)?.type).toBe("ok");
  expect(engine.counters().accepted).toBe(1);
});
