import { expect, test } from "vitest";
import { memory, type Storage } from "../../mod.ts";
import { createStage } from "./stage.ts";

/** A storage whose reads of single entries, which is what the last look before a push does, can be held. */
function heldReads(): { storage: Storage; hold: () => void; waiting: (() => void)[] } {
  const waiting: (() => void)[] = [];
  let held = false;
  return {
    waiting,
    hold: () => void (held = true),
    storage: {
      async open(context) {
        const opened = await memory().open(context);
        return {
          ...opened,
          history: {
            async read(topic, after, limit) {
              if (held && limit === 1) await new Promise<void>((resolve) => waiting.push(resolve));
              return await opened.history!.read(topic, after, limit);
            },
          },
        };
      },
    },
  };
}

test("a message that is acked while its push is looked at for the last time is not pushed", async () => {
  const { storage, hold, waiting } = heldReads();
  const { engine, clock, provider, device, story } = await createStage({ storage });
  const phone = await device("sara", { token: "t", habit: "mute" });
  hold();
  const { id, position } = await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(3_000);
  expect(waiting).toHaveLength(1);
  phone.ack([{ topic: "sara/default", ...position! }]);
  await clock.settle();
  waiting[0]!();
  await clock.advance(60_000);
  expect(provider.sent).toEqual([]);
  expect(await story(id)).toContain("push-dropped");
  await engine.close();
});

test("pushes of one person do not wait for each other's last look", async () => {
  const { storage, hold, waiting } = heldReads();
  const { engine, clock, provider, device } = await createStage({ storage });
  const phone = await device("sara", { token: "t" });
  phone.leave();
  await clock.settle();
  hold();
  for (let index = 0; index < 5; index++) await engine.publish({ to: "sara", content: `${index}` });
  await clock.settle();
  expect(waiting).toHaveLength(5);
  for (const go of waiting.splice(0)) go();
  await clock.settle();
  expect(provider.sent).toHaveLength(5);
  await engine.close();
});

test("a push whose last look ends after close() began is not asked of the provider", async () => {
  const { storage, hold, waiting } = heldReads();
  const { engine, clock, provider, device } = await createStage({ storage });
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  hold();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(waiting).toHaveLength(1);
  const closing = engine.close();
  await clock.settle();
  waiting[0]!();
  await closing;
  expect(provider.sent).toEqual([]);
  expect(clock.timers).toBe(0);
});
