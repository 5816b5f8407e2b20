import { describe, expect, test } from "vitest";
import { createStage, type Device } from "./stage.ts";

/** A device with a push target, and what was pushed to it. */
async function page(visible = true) {
  const stage = await createStage();
  const tablet = await stage.device("sara", { deviceId: "tablet", token: "t", visible });
  const publish = () => stage.engine.publish({ to: "sara", content: "hello" });
  return { ...stage, tablet, publish };
}

describe.each<[string, (device: Device) => void]>([
  ["by the client's word", (device) => device.leavePage()],
  ["by the browser's", (device) => device.leavePage(1001)],
])("a page that is left, %s", (_, leave) => {
  test("and comes back within 5 s has what came meanwhile, without a push", async () => {
    const { clock, device, provider, publish, tablet } = await page();
    leave(tablet);
    await publish();
    await clock.advance(4_900);
    const back = await device("sara", { deviceId: "tablet" });
    await clock.advance(60_000);
    expect([back.contents, provider.sent.length]).toEqual([["hello"], 0]);
  });

  test.each([["for good", false], ["for good, hidden up to a second before,", true]])(
    "%s is pushed to after 5 s",
    async (_how, isHidden) => {
      const { clock, provider, publish, tablet } = await page();
      if (isHidden) tablet.state(false);
      await clock.advance(1_000);
      leave(tablet);
      await publish();
      await clock.advance(4_999);
      expect(provider.sent).toHaveLength(0);
      await clock.advance(1);
      expect(provider.sent).toHaveLength(1);
    },
  );

  test.each<[string, boolean, number]>([
    ["was hidden for longer", true, 1_001],
    ["said again that it is hidden", true, 2_000],
    ["came in the background", false, 0],
  ])("which %s, is away at once", async (how, visible, ms) => {
    const { clock, provider, publish, tablet } = await page(visible);
    if (visible) tablet.state(false);
    await clock.advance(ms / 2);
    if (how.startsWith("said again")) tablet.state(false);
    await clock.advance(ms / 2);
    leave(tablet);
    await publish();
    await clock.settle();
    expect(provider.sent).toHaveLength(1);
  });
});

test("an app that says goodbye is away at once, though it was in front", async () => {
  const { clock, provider, publish, tablet } = await page();
  tablet.leave();
  await publish();
  await clock.settle();
  expect(provider.sent).toHaveLength(1);
});
