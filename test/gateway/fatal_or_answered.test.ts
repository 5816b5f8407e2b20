import { describe, expect, test } from "vitest";
import { encodePayload } from "../../src/protocol/codec.ts";
import type { ClientFrame, PublishFrame } from "../../src/protocol/frames.ts";
import type { MessageOptions } from "../../src/protocol/message.ts";
import { fromHex, vectors } from "../protocol/vectors.ts";
import { createBench, helloFrame } from "./wire.ts";

const publish = (changes: Partial<PublishFrame> = {}): ClientFrame => ({
  ...{ type: "publish", ref: 5, topic: "omid/default", id: "m", options: null, payload: encodePayload("hi", undefined) },
  ...changes,
});
const options = (options: MessageOptions): ClientFrame => publish({ options });
const ack = (seen: number, cursors: { topic: string; epoch: number; offset: number }[] = []): ClientFrame => ({
  ...{ type: "ack", seen, cursors, idleMs: null, waiting: 0 },
});
const mark = { type: "mark", ref: 5, topic: "sara/default", epoch: 1, offset: 1 } as const;
const nothingOf = { epoch: 1, offset: 1, reason: "threw" };

/** A client that was sent two messages and has acked one, and what it says next. */
async function said(frame: ClientFrame | Uint8Array) {
  const { clock, engine, open } = await createBench();
  await open("omid");
  const sara = await open("sara");
  await engine.publish({ to: "sara", content: "1" });
  await engine.publish({ to: "sara", content: "2" });
  await clock.settle();
  const [first] = sara.of("message");
  const { topic, epoch } = first!;
  sara.send(ack(2, [{ topic, epoch, offset: 1 }]));
  if (frame instanceof Uint8Array) sara.raw(frame);
  else sara.send(withEpoch(frame, epoch));
  await clock.settle();
  return sara;
}

/** Epoch 1 stands for the log's own. */
function withEpoch(frame: ClientFrame, epoch: number): ClientFrame {
  const own = (at: { epoch: number }) => at.epoch === 1 ? epoch : at.epoch;
  if (frame.type === "ack") return { ...frame, cursors: frame.cursors.map((cursor) => ({ ...cursor, epoch: own(cursor) })) };
  return "epoch" in frame ? { ...frame, epoch: own(frame) } : frame;
}

const at = (offset: number, epoch = 1, topic = "sara/default") => ({ topic, epoch, offset });
const raw = (name: string) => fromHex(vectors.invalid.find((vector) => vector.name === name)!.hex);

describe("what a client does wrong is fatal, answered or nothing, as PROTOCOL.md has it", () => {
  test.each<[string, ClientFrame | Uint8Array, string]>([
    ["a ttl of 1.5", raw("the option ttl as 1.5"), "bad-frame 4102"],
    ["an urgency that is not known", raw('the option urgency as "asap"'), "bad-frame 4102"],
    ["a second hello", helloFrame("sara"), "bad-order 4102"],
    ["cursors after the welcome", { type: "cursors", cursors: [], more: false }, "bad-order 4102"],
    ["an ack of what was not sent", ack(2, [at(3)]), "bad-order 4102"],
    ["a seen that goes back", ack(1), "bad-order 4102"],
    ["a seen beyond what was sent", ack(3), "bad-order 4102"],
    ["failed, of what was not sent", { type: "failed", ...at(3), reason: "threw" }, "bad-order 4102"],
  ])("fatal: %s", async (_, frame, end) => expect((await said(frame)).end).toBe(end));

  test.each<[string, ClientFrame, string]>([
    ["a ttl of 0", options({ ttl: 0 }), "bad-message"],
    ["a ttl of more than 30 days", options({ ttl: 2_592_001 }), "bad-message"],
    ["an ephemeral message for the log", options({ ephemeral: true, inApp: true }), "bad-message"],
    ["no name", publish({ id: "a/b" }), "bad-name"],
    ["no topic", publish({ topic: "omid" }), "bad-name"],
    ["a mark of what is not there", { ...mark, offset: 99, kind: "read" }, "bad-message"],
    ["a mark in a topic that is not read", { ...mark, topic: "*/news", kind: "read" }, "not-subscribed"],
    ["a mark of a kind that is not known", { ...mark, kind: "liked" }, "unsupported"],
    ["another user's token", { type: "token", ref: 5, token: "omid" }, "unauthorized"],
    ["a request that another user made", publish({ line: { id: "a line", number: 1, ageMs: 0, user: "omid" } }), "unauthorized"],
  ])("answered: %s", async (_, frame, code) => {
    const sara = await said(frame);
    expect(sara.answer(5)).toMatchObject({ type: "error", code });
    expect(sara.closedWith).toBeUndefined();
  });

  test.each<[string, ClientFrame | Uint8Array]>([
    ["an ack's cursor that goes back", ack(2, [at(0)])],
    ["an ack's cursor where it was", ack(2, [at(1)])],
    ["an ack's cursor of another epoch", ack(2, [at(99, 7)])],
    ["an ack's cursor of a topic that is not read", ack(2, [at(99, 1, "*/news")])],
    ["failed, of another epoch", { type: "failed", ...nothingOf, epoch: 7, topic: "sara/default" }],
    ["failed, of a topic that is not read", { type: "failed", ...nothingOf, topic: "*/news" }],
    ["failed, of what was acked", { type: "failed", ...nothingOf, topic: "sara/default" }],
    ["an element to be ignored", fromHex("9407c3c0a178")],
  ])("nothing: %s", async (_, frame) => {
    const sara = await said(frame);
    expect(sara.of("error")).toEqual([]);
    expect(sara.closedWith).toBeUndefined();
    sara.send(ack(2, [at(2, sara.of("message")[0]!.epoch)]));
    expect(sara.closedWith).toBeUndefined();
  });

  test("a client that says nothing is pinged twice, and closed when the third ping is due", async () => {
    const { clock, open } = await createBench({ heartbeatMs: 1_000 });
    const sara = await open("sara");
    await clock.advance(2_500);
    expect([sara.of("ping").length, sara.closedWith]).toEqual([2, undefined]);
    await clock.advance(600);
    expect([sara.of("ping").length, sara.closedWith]).toEqual([2, 4004]);
  });
});
