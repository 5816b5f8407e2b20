import { expect, onTestFinished, test } from "vitest";
import { createEngine } from "../../mod.ts";
import { encodePayload, openEnvelope } from "../../src/protocol/codec.ts";
import { pack } from "../../src/protocol/pack.ts";
import { createBench } from "../gateway/wire.ts";

test.each<[string, object, string]>([
  ["an Error in the data", { data: { items: [0, 1, 2, { when: new Error("e") }] } }, "data.items[3].when can't be sent"],
  ["a Map as data", { data: new Map() }, "data can't be sent"],
  [
    "a function in a provider's own fields",
    { notification: { native: { fcm: { a: { b: () => 1 } } } } },
    "notification.native.fcm.a.b can't be sent",
  ],
  [
    "a bigint in a provider's own fields",
    { notification: { native: { apns: { n: 1n } } } },
    "notification.native.apns.n can't be sent",
  ],
])("publish refuses %s, and names its place", async (_, message, fault) => {
  const engine = await createEngine({ insecure: true });
  onTestFinished(() => engine.close());
  await expect(engine.publish({ to: "sara", ...message })).rejects.toMatchObject({
    code: "bad-message",
    retryable: false,
    message: expect.stringContaining(fault),
    hint: expect.stringContaining("plain objects"),
  });
  expect(engine.counters().accepted).toBe(0);
});

test("publish takes what has a toJSON as that says", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  await engine.publish({ to: "sara", data: { link: new URL("https://example.org/"), when: new Date(5) } });
  await clock.settle();
  const [frame] = sara.of("message");
  expect(openEnvelope(frame!.envelope).data).toEqual({ link: "https://example.org/", when: new Date(5) });
});

test("lossy data that authorize answers is not published, and the log says so", async () => {
  const { clock, engine, errors, open } = await createBench({
    authorize: ({ message }) => ({ ...message!, data: { at: new Set() } }),
  });
  const sara = await open("sara");
  sara.send({ type: "publish", ref: 1, topic: "sara/default", id: "m", options: null, payload: encodePayload("hi", undefined) });
  await clock.settle();
  expect(sara.answer(1)).toMatchObject({ type: "error", code: "bad-message" });
  expect(errors).toEqual(["authorize() answered what can't be published"]);
  expect(engine.counters().accepted).toBe(0);
});

test("4,096 bytes of providers' own fields pass, one more does not", async () => {
  const engine = await createEngine({ insecure: true });
  onTestFinished(() => engine.close());
  const nativeOf = (bytes: number) => ({ fcm: { a: "x".repeat(bytes - 11) } });
  expect(pack(nativeOf(4_096)).length).toBe(4_096);
  await engine.publish({ to: "sara", notification: { native: nativeOf(4_096) } });
  await expect(engine.publish({ to: "sara", notification: { native: nativeOf(4_097) } })).rejects.toMatchObject({
    code: "too-large",
  });
});
