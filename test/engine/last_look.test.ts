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

test("pushes of one user in several topics leave together, those in one topic one after the other", async () => {
  const { engine, clock, provider, device } = await createStage({ policy: { coalesceMs: 0 } });
  const channels = ["a", "b", "c", "d", "e"].map((channel) => ({ to: "*", channel }));
  for (const channel of channels) await engine.subscribe("sara", channel);
  (await device("sara", { token: "t" })).leave();
  await clock.settle();
  const answers: (() => void)[] = [];
  provider.verdict = () => new Promise((resolve) => answers.push(() => resolve({ verdict: "sent" })));
  for (const channel of channels) await engine.publish({ ...channel, content: "first" });
  await engine.publish({ ...channels[0]!, content: "second", id: "second" });
  await clock.settle();
  expect(provider.sent.map(({ notification: { topic } }) => topic).toSorted()).toEqual(["*/a", "*/b", "*/c", "*/d", "*/e"]);
  expect(provider.sent.map(({ notification: { id } }) => id)).not.toContain("second");
  for (const answer of answers.splice(0)) answer();
  await clock.settle();
  expect(provider.sent.at(-1)!.notification.id).toBe("second");
  for (const answer of answers) answer();
  await clock.settle();
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
