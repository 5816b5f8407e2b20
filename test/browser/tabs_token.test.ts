import { expect } from "vitest";
import { eventually, PATIENCE_MS } from "./tab.ts";
import { test } from "./tab_stage.ts";

for (const fault of ["throws", "is no text", "hangs"] as const) {
  test.concurrent(`when the leading tab's token function ${fault}, another tab leads, and the first is there through it`, async ({ stage }) => {
    const first = await stage.openTab("first", { token: "sara" });
    await first.until("connected");
    const second = await stage.openTab("second", { token: "sara" });
    await second.until("connected");
    await first.ask("setToken", { fault });
    await stage.shut();
    await stage.reopen();
    await stage.engine.publish({ to: "sara", content: "for both" });
    // A function that hangs is given up after 20 s.
    await second.hears("for both", 2 * PATIENCE_MS);
    await first.hears("for both");
    expect(second.sockets()).toBeGreaterThan(0);
    expect((await first.until("connected")).state).toBe("connected");
    expect(stage.connections()).toBe(1);
  });

  test.concurrent(`a lone tab whose token function ${fault} waits, and says that it is the token`, async ({ stage }) => {
    const tab = await stage.openTab("tab", { token: { fault } });
    await eventually(async () => {
      expect(await tab.ask("statuses")).toContainEqual(expect.objectContaining({ state: "waiting", reason: "token" }));
    }, 2 * PATIENCE_MS);
    await tab.ask("setToken", { value: "sara" });
    // The next try has its token.
    await eventually(async () => expect((await tab.ask("status")).state).toBe("connected"), 2 * PATIENCE_MS);
  });
}
