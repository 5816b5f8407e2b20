import { expect, test } from "vitest";
import { createEngine } from "../../mod.ts";
import { createStage } from "./stage.ts";

test("in a channel that is handled by marks an ack spares no other device its push, and a mark does", async () => {
  const { engine, clock, device, provider, notes } = await createStage({ handledBy: { alarms: "mark" } });
  await engine.subscribe("sara", { to: "sara", channel: "alarms" });
  (await device("sara", { deviceId: "phone", token: "t" })).leave();
  const laptop = await device("sara", { deviceId: "laptop", attended: true });
  const publish = (id: string) => engine.publish({ to: "sara", channel: "alarms", id, content: id });
  await publish("acked");
  await clock.advance(10_000);
  expect(provider.sent.map(({ notification }) => notification.id)).toEqual(["acked"]);
  const { position } = await publish("dismissed");
  await clock.advance(1_000);
  await laptop.request({ type: "mark", ref: 0, kind: "dismissed", topic: "sara/alarms", id: "dismissed", ...position! });
  await clock.advance(10_000);
  expect(provider.sent).toHaveLength(1);
  expect(notes.findLast(({ kind }) => kind.startsWith("push-"))).toMatchObject({
    kind: "push-dropped",
    detail: "dismissed on another device, 4 s before it was due",
  });
  // Other channels are as ever.
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(10_000);
  expect(provider.sent).toHaveLength(1);
});

test.each([[{ alarms: "ack or mark" }, "bad-config"], [{ "a/b": "mark" }, "bad-name"]])(
  "handledBy %o is refused with %s",
  async (handledBy, code) => {
    await expect(createEngine({ insecure: true, handledBy: handledBy as never })).rejects.toMatchObject({ code });
  },
);
