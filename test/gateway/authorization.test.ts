import { expect, test } from "vitest";
import type { Action, MessageOptions } from "../../mod.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import { type Bench, createBench, type Wire } from "./wire.ts";

/** Sends a request, and gives the answer's code, or "ok". */
async function ask(clock: Bench["clock"], wire: Wire, frame: Parameters<Wire["send"]>[0]): Promise<string> {
  const answers = wire.of("ok").length + wire.of("error").length;
  wire.send(frame);
  await clock.settle();
  expect(wire.of("ok").length + wire.of("error").length).toBe(answers + 1);
  // A message of one's own may come behind the answer.
  return wire.frames.findLast(({ type }) => type === "ok" || type === "error")!.type === "ok" ? "ok" : wire.error!;
}

let ids = 0;
const publish = (topic: string, options: MessageOptions | null = null, content = "hi") =>
  ({ type: "publish", ref: 1, topic, id: `m${ids++}`, options, payload: encodePayload(content, undefined) }) as const;

test.each<MessageOptions>([{ notification: { title: "Your bank" } }, { silent: true }, { useAsAlert: true }, {
  urgency: "high",
}])(
  "a client may not set %j by default",
  async (options) => {
    const { clock, engine, open } = await createBench();
    const sara = await open("sara");
    const omid = await open("omid");
    expect(await ask(clock, sara, publish("omid/default", options))).toBe("forbidden");
    expect(omid.contents).toEqual([]);
    expect(engine.counters().accepted).toBe(0);
    expect(sara.closedWith).toBeUndefined();
  },
);

test("what can't phish is a client's to set", async () => {
  const { clock, open } = await createBench();
  const sara = await open("sara");
  for (
    const options of [{ urgency: "low" }, { ttl: 60 }, { inApp: true }, { ephemeral: true }, {
      silent: false,
      useAsAlert: false,
    }] as const
  ) {
    expect(await ask(clock, sara, publish("sara/default", options))).toBe("ok");
  }
});

test("a public publish needs the subscription, a private one somebody who ever signed in", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  expect(await ask(clock, sara, publish("*/news"))).toBe("not-subscribed");
  expect(await ask(clock, sara, { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false })).toBe("ok");
  expect(await ask(clock, sara, publish("*/news"))).toBe("ok");
  expect(await ask(clock, sara, { type: "unsubscribe", ref: 1, topic: "*/news" })).toBe("ok");
  expect(await ask(clock, sara, publish("*/news"))).toBe("not-subscribed");
  expect(await ask(clock, sara, publish("omid/default"))).toBe("no-recipient");
  await engine.publish({ to: "omid", content: "welcome" });
  expect(await ask(clock, sara, publish("omid/default"))).toBe("no-recipient");
  (await open("omid")).leave();
  await clock.settle();
  expect(await ask(clock, sara, publish("omid/default"))).toBe("ok");
});

test("somebody else's private topic can't be subscribed to, not even when authorize says yes", async () => {
  for (const options of [{}, { authorize: () => true }]) {
    const { clock, engine, open } = await createBench(options);
    const sara = await open("sara");
    await open("omid");
    expect(
      await ask(clock, sara, { type: "subscribe", ref: 1, topic: "omid/default", since: { epoch: 0, offset: 0 }, anew: false }),
    ).toBe(
      "forbidden",
    );
    await engine.publish({ to: "omid", content: "secret" });
    await clock.settle();
    expect(sara.contents).toEqual([]);
  }
});

test.each(["no slash", "sara/", "/default", "sara/a/b", "*/", "*/*", "sara/\n"])("a topic %j is a bad name", async (topic) => {
  const { clock, open } = await createBench();
  const sara = await open("sara");
  expect(await ask(clock, sara, publish(topic))).toBe("bad-name");
  expect(await ask(clock, sara, { type: "subscribe", ref: 1, topic, since: null, anew: false })).toBe("bad-name");
  expect(await ask(clock, sara, { ...publish("sara/default"), id: topic === "no slash" ? "" : topic.replace("no", "/") })).toBe(
    "bad-name",
  );
  expect(sara.closedWith).toBeUndefined();
});

test("authorize sees who wants what, and what the default rules say", async () => {
  const seen: Action[] = [];
  const { clock, open } = await createBench({ authorize: (action) => seen.push(action) > 0 });
  const sara = await open("sara");
  await ask(clock, sara, { ...publish("sara/default", { urgency: "high" }), payload: encodePayload("hi", { n: 1 }), id: "m" });
  await ask(clock, sara, publish("*/news"));
  await ask(clock, sara, { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false });
  const message = { to: "sara", channel: "default", id: "m", content: "hi", data: { n: 1 }, urgency: "high" };
  expect(seen).toMatchObject([
    { userId: "sara", action: "publish", topic: "sara/default", message, allowed: false },
    { userId: "sara", action: "publish", topic: "*/news", allowed: false },
    { userId: "sara", action: "subscribe", topic: "*/news", message: undefined, allowed: true },
  ]);
});

test("authorize decides otherwise in both directions", async () => {
  let verdict = true;
  const { clock, engine, open } = await createBench({ authorize: () => verdict });
  const sara = await open("sara");
  expect(await ask(clock, sara, publish("sara/default", { urgency: "high" }))).toBe("ok");
  expect(await ask(clock, sara, publish("*/announcements"))).toBe("ok");
  verdict = false;
  expect(await ask(clock, sara, publish("sara/default"))).toBe("forbidden");
  expect(await ask(clock, sara, { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false })).toBe("forbidden");
  expect(engine.counters().accepted).toBe(2);
  expect(sara.contents).toEqual(["hi"]);
});

test.each([undefined, null, 0, 1, "yes"])("authorize answering %j is a no", async (verdict) => {
  const { clock, engine, open } = await createBench({ authorize: () => verdict as unknown as boolean });
  const sara = await open("sara");
  expect(await ask(clock, sara, publish("sara/default"))).toBe("forbidden");
  expect(await ask(clock, sara, { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false })).toBe("forbidden");
  expect(engine.counters().accepted).toBe(0);
});

test("authorize may change the message, but neither its id nor its sender", async () => {
  const { clock, engine, open } = await createBench({
    authorize: ({ message }) => ({
      ...message!,
      channel: "checked",
      content: message!.content!.replace("damn", "d***"),
      id: "other",
    }),
  });
  await engine.subscribe("sara", { to: "sara", channel: "checked" });
  const receipts: unknown[] = [];
  engine.on("receipt", ({ kind, id, from, topic }) => kind === "accepted" && receipts.push([id, from, topic]));
  const sara = await open("sara");
  sara.publish("sara/default", "damn", { id: "mine" });
  await clock.settle();
  expect(sara.contents).toEqual(["d***"]);
  expect(sara.answer(1)).toMatchObject({ type: "ok", value: { id: "mine", topic: "sara/checked" } });
  expect(receipts).toEqual([["mine", "sara", "sara/checked"]]);
});

test("a changed message that can't be sent is an error answer", async () => {
  const { clock, open } = await createBench({ authorize: ({ message }) => ({ ...message!, content: "x".repeat(70_000) }) });
  const sara = await open("sara");
  expect(await ask(clock, sara, publish("sara/default"))).toBe("too-large");
});

test("a client's publishes keep their order, however long the first one waits for authorize", async () => {
  const slow = Promise.withResolvers<boolean>();
  const { clock, open } = await createBench({ authorize: ({ message }) => message?.content === "one" ? slow.promise : true });
  const sara = await open("sara");
  const omid = await open("omid");
  sara.publish("omid/default", "one", { ref: 1 });
  sara.publish("omid/default", "two", { ref: 2 });
  sara.publish("omid/default", "three", { ref: 3 });
  omid.publish("omid/default", "somebody else's");
  await clock.settle();
  expect(omid.contents).toEqual(["somebody else's"]);
  slow.resolve(true);
  await clock.settle();
  expect(omid.contents).toEqual(["somebody else's", "one", "two", "three"]);
  expect(sara.of("ok").map(({ ref }) => ref)).toEqual([1, 2, 3]);
});

test("a publish that has to look for its recipient is not overtaken by a later one", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  (await open("omid")).leave();
  await clock.settle();
  sara.publish("omid/default", "one");
  // From here on omid is known to be here: no looking for him.
  await open("omid", { deviceId: "laptop" });
  const order: string[] = [];
  engine.on("receipt", ({ kind, id }) => kind === "accepted" && order.push(id));
  for (const content of ["two", "three", "four"]) {
    (await open("omid", { deviceId: content })).leave();
    sara.publish("omid/default", content);
  }
  await clock.settle();
  expect(order).toEqual(["two", "three", "four"]);
});

test("an authorize that throws is an error answer, and the connection lives", async () => {
  let broken = true;
  const { clock, errors, open } = await createBench({
    authorize: () => {
      if (broken) throw new Error("the database is down");
      return true;
    },
  });
  const sara = await open("sara");
  expect(await ask(clock, sara, publish("sara/default"))).toBe("internal");
  expect(await ask(clock, sara, { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false })).toBe("internal");
  expect(sara.of("error").every(({ ref, retryable }) => ref === 1 && retryable)).toBe(true);
  expect(JSON.stringify(sara.frames)).not.toContain("database");
  await clock.advance(1_000);
  expect(errors).toHaveLength(2);
  broken = false;
  expect(await ask(clock, sara, publish("sara/default"))).toBe("ok");
});

test("an ephemeral publish is answered without a position", async () => {
  const { clock, open } = await createBench();
  const sara = await open("sara");
  sara.publish("sara/default", "typing", { options: { ephemeral: true } });
  await clock.settle();
  expect(sara.answer(1)).toMatchObject({
    type: "ok",
    value: { epoch: null, offset: null, durable: false, durability: "memory", duplicate: false },
  });
});
