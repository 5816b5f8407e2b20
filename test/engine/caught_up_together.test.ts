import { expect, test } from "vitest";
import type { OutgoingMessage } from "../../mod.ts";
import { createStage, type Stage } from "./stage.ts";

/** Publishes m1, m2 and so on to sara, each with what is said of it. */
async function publishAll({ engine }: Stage, messages: readonly Partial<OutgoingMessage>[], from = 1): Promise<void> {
  for (const [index, message] of messages.entries()) {
    await engine.publish({ to: "sara", content: "hi", id: `m${from + index}`, ...message });
  }
}

async function rulesOf({ explain }: Stage, count: number): Promise<(string | undefined)[]> {
  const ids = Array.from({ length: count }, (_, index) => `m${index + 1}`);
  return await Promise.all(ids.map(async (id) => (await explain(id))?.devices[0]?.rule));
}

const PLAIN: Partial<OutgoingMessage> = {};
const IN_APP: Partial<OutgoingMessage> = { inApp: true };
const QUIET: Partial<OutgoingMessage> = { urgency: "low" };

test("messages of all kinds in one page are each decided by their own rule", async () => {
  const stage = await createStage();
  (await stage.device("sara", { token: "t" })).drop();
  await publishAll(stage, [PLAIN, PLAIN, IN_APP, QUIET, QUIET, PLAIN]);
  await stage.device("sara");
  const state = "connected.live";
  const kinds = ["alert", "alert", "inApp", "quiet", "quiet", "alert"];
  expect(await rulesOf(stage, 6)).toEqual(kinds.map((kind) => `${state}/${kind}`));
  await stage.engine.close();
});

test("what was decided before a connection is not decided again with what was not", async () => {
  const stage = await createStage();
  (await stage.device("sara", { token: "t" })).leave();
  await stage.clock.settle();
  await publishAll(stage, Array.from({ length: 6 }, () => PLAIN));
  await stage.clock.settle();
  (await stage.device("sara", { habit: "mute" })).drop();
  await publishAll(stage, Array.from({ length: 6 }, () => PLAIN), 7);
  await stage.device("sara");
  const before = Array.from({ length: 6 }, () => "disconnected.away/alert");
  expect(await rulesOf(stage, 12)).toEqual([...before, ...before.map(() => "connected.live/alert")]);
  await stage.engine.close();
});

test("an entry that expired among others is told in its place", async () => {
  const stage = await createStage();
  (await stage.device("sara")).leave();
  await stage.clock.settle();
  await publishAll(stage, [PLAIN, PLAIN, { ttl: 5 }, PLAIN, PLAIN]);
  await stage.clock.advance(6_000);
  const device = await stage.device("sara");
  const told = device.frames.flatMap((frame) =>
    frame.type === "message" ? `${frame.previous} ${frame.offset}` : frame.type === "advance" ? `to ${frame.offset}` : []
  );
  expect(told).toEqual(["0 1", "1 2", "to 3", "3 4", "4 5"]);
  await stage.engine.close();
});

test("no more is sent than may be unseen, wherever a page ends", async () => {
  const stage = await createStage();
  await stage.engine.subscribe("sara", { to: "*", channel: "room" });
  (await stage.device("sara")).leave();
  await stage.clock.settle();
  await publishAll(stage, Array.from({ length: 30 }, () => PLAIN));
  for (let index = 0; index < 2_100; index++) await stage.engine.publish({ to: "*", channel: "room", content: "hi" });
  const device = await stage.device("sara", { habit: "mute" });
  expect(device.offsets.length).toBe(2_000);
  device.ack();
  await stage.clock.settle();
  expect(device.offsets.length).toBe(2_130);
  await stage.engine.close();
});

test("what came from the log and is not seen in time makes a connection suspect", async () => {
  const stage = await createStage();
  (await stage.device("sara")).leave();
  await stage.clock.settle();
  await publishAll(stage, Array.from({ length: 5 }, () => PLAIN));
  await stage.device("sara", { habit: "mute" });
  expect((await stage.engine.sessions("sara"))[0]?.state).toBe("connected.live");
  await stage.clock.advance(3_000);
  expect((await stage.engine.sessions("sara"))[0]?.state).toBe("connected.suspect");
  await stage.engine.close();
});

test("explain() knows of each message what became of it, though many are written down together", async () => {
  const stage = await createStage();
  const phone = await stage.device("sara", { deviceId: "phone", token: "t" });
  phone.leave();
  await stage.clock.settle();
  await publishAll(stage, Array.from({ length: 8 }, () => PLAIN));
  await stage.clock.settle();
  const back = await stage.device("sara", { deviceId: "phone", habit: "mute" });
  expect(back.offsets.length).toBe(8);
  back.ack([], 5);
  await stage.clock.advance(5);
  back.ack([{ ...back.cursors[0]!, offset: 3 }], 8);
  await stage.clock.settle();
  const storyOf = async (id: string): Promise<string[]> => {
    const story = await stage.story(id);
    return story.filter((kind) => !kind.startsWith("push"));
  };
  expect(await storyOf("m3")).toEqual(["routed", "seen", "acked"]);
  expect(await storyOf("m4")).toEqual(["routed", "seen"]);
  const [third, sixth] = [await stage.explain("m3"), await stage.explain("m6")];
  expect([third?.delivered, sixth?.delivered]).toEqual([1, 0]);
  const seenAt = (explanation: typeof third): number => explanation!.devices[0]!.events.find(({ kind }) => kind === "seen")!.at;
  expect(seenAt(sixth)).toBeGreaterThan(seenAt(third));
  back.send({ type: "failed", topic: "sara/default", epoch: back.cursors[0]!.epoch, offset: 4, reason: "no" });
  await stage.clock.settle();
  expect(await storyOf("m4")).toEqual(["routed", "seen", "failed"]);
  expect(await storyOf("m5")).toEqual(["routed", "seen"]);
  await stage.engine.close();
});
