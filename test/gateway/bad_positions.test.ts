import { expect, test } from "vitest";
import { createBench } from "./wire.ts";

test("a subscription since a position that the log has not reached begins at its head: nothing that comes is skipped", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  const { epoch, offset } = (await engine.publish({ to: "*", channel: "news", content: "before" })).position!;
  sara.send({ type: "subscribe", ref: 1, topic: "*/news", since: { epoch, offset: 2 ** 53 - 1 }, anew: false });
  await clock.settle();
  expect(sara.answer(1)).toMatchObject({ type: "ok", value: { epoch, offset } });
  await engine.publish({ to: "*", channel: "news", content: "one" });
  await clock.settle();
  sara.drop();
  await engine.publish({ to: "*", channel: "news", content: "two" });
  expect((await open("sara")).contents).toEqual(["one", "two"]);
});

test("a subscription since another life of the log gets what is there, and is told of a gap", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  await engine.publish({ to: "*", channel: "news", content: "one" });
  sara.send({ type: "subscribe", ref: 1, topic: "*/news", since: { epoch: 7, offset: 9 }, anew: false });
  await clock.settle();
  expect(sara.of("gap")).toMatchObject([{ topic: "*/news", offset: 0 }]);
  expect(sara.contents).toEqual(["one"]);
});

test("a cursor that the log has not reached counts as its head", async () => {
  const { clock, engine, open } = await createBench();
  const { epoch } = (await engine.publish({ to: "sara", content: "one" })).position!;
  const sara = await open("sara", { cursors: [{ topic: "sara/default", epoch, offset: 2 ** 53 - 1 }] });
  expect(sara.of("welcome")[0]?.recovery).toEqual([{ topic: "sara/default", epoch, offset: 1, recovered: true }]);
  await engine.publish({ to: "sara", content: "two" });
  await clock.settle();
  expect(sara.contents).toEqual(["two"]);
});
