import process from "node:process";
import { expect } from "vitest";
import { openChromium, signalProcess } from "./real_chromium.ts";
import { eventually } from "./tab.ts";
import { openStage, test } from "./tab_stage.ts";

const PATIENCE_MS = 180_000;

// Takes two to four minutes: by hand, with PEYK_TABS_HIDDEN=1.
test.runIf(process.env["PEYK_TABS_HIDDEN"])(
  "while all tabs are hidden and the leading one stands still, another one leads",
  async () => {
    // As after five minutes in the background: timers run once a minute.
    const chromium = await openChromium({ flags: ["--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/5"] });
    try {
      const stage = await openStage(chromium);
      const first = await stage.openTab("first", { token: "sara", heart: true });
      await first.until("connected");
      const second = await stage.openTab("second", { token: "sara", heart: true, beside: first });
      await second.until("connected");
      await chromium.openBeside(second.page);
      for (const tab of [first, second]) await eventually(async () => expect(await tab.ask("visibility")).toBe("hidden"));
      await stage.engine.publish({ to: "sara", content: "both" });
      for (const tab of [first, second]) await tab.hears("both");
      // Throttled: the second's heart beats once a minute, not ten times a second.
      await eventually(async () => {
        const before = second.beats();
        await new Promise((resolve) => setTimeout(resolve, 20_000));
        expect(second.beats() - before).toBeLessThanOrEqual(1);
      }, PATIENCE_MS);

      const id = await chromium.rendererOf(first.page);
      signalProcess(id, "SIGSTOP");
      const stoppedAt = performance.now();
      try {
        await first.standsStill();
        await stage.engine.publish({ to: "sara", content: "while all are hidden" });
        await second.hears("while all are hidden", PATIENCE_MS);
        console.log(`all hidden: delivery again after ${Math.round((performance.now() - stoppedAt) / 1_000)} s`);
      } finally {
        signalProcess(id, "SIGCONT");
      }
      await first.hears("while all are hidden", PATIENCE_MS);
      for (const tab of [first, second]) expect(await tab.ask("got")).toEqual(["both", "while all are hidden"]);
      await eventually(() => expect(stage.connections()).toBe(1));
      await stage.close();
    } finally {
      await chromium.close();
    }
  },
  3 * PATIENCE_MS,
);
