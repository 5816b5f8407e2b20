import { expect } from "vitest";
import type { Tab } from "./tab.ts";
import { openChromium } from "./real_chromium.ts";
import { openStage, type TabOptions, type TabStage, test } from "./tab_stage.ts";

const ways: [string, TabOptions][] = [
  ["in a sandboxed frame", { sandboxed: true }],
  ["on plain http at a name", { host: "some.test" }],
];
for (const [where, options] of ways) {
  test.concurrent(`two tabs ${where} are two devices, and both get each message`, ({ stage }) => twoApart(stage, options));
}

test.concurrent("two tabs of a browser that blocks cookies are two devices, and both get each message", async () => {
  const chromium = await openChromium({ cookiesBlocked: true });
  try {
    const stage = await openStage(chromium);
    await twoApart(stage, {});
    await stage.close();
  } finally {
    await chromium.close();
  }
});

async function twoApart(stage: TabStage, options: TabOptions): Promise<void> {
  const first = await stage.openTab("first", { token: "sara", ...options });
  await first.until("connected");
  const second = await stage.openTab("second", { token: "sara", ...options });
  await second.until("connected");
  const locks = await first.frame.evaluate(async () => {
    try {
      await navigator.locks.request("any", () => {});
      return "granted";
    } catch (error) {
      return (error as Error).name;
    }
  });
  expect(["SecurityError", "TypeError"]).toContain(locks);

  await stage.engine.publish({ to: "sara", content: "from the server" });
  expect(await first.ask("publish", "sara", "from the first")).toBe("ok");
  expect(await second.ask("publish", "sara", "from the second")).toBe("ok");
  for (const tab of [first, second]) {
    for (const content of ["from the server", "from the first", "from the second"]) await tab.hears(content);
    expect(await tab.ask("got")).toHaveLength(3);
    expect(await tab.ask("status")).toEqual({ state: "connected", userId: "sara" });
    // Where there is a storage, the newest tab has the stored device: the other one begins again as another device.
    expect(tab.sockets()).toBeLessThanOrEqual(2);
  }
  expect(await stage.engine.sessions("sara")).toHaveLength(2);

  await first.page.close();
  await stage.engine.publish({ to: "sara", content: "for the one that is left" });
  await second.hears("for the one that is left");
}

test.concurrent("a lone tab on plain http at a name is the same device after a reload, and hears nothing twice", async ({ stage }) => {
  const tab = await stage.openTab("tab", { token: "sara", host: "some.test" });
  await tab.until("connected");
  await stage.engine.publish({ to: "sara", content: "once" });
  await tab.hears("once");
  await tab.page.reload();
  await stage.start(tab, { token: "sara" });
  await tab.until("connected");
  await stage.engine.publish({ to: "sara", content: "after the reload" });
  await tab.hears("after the reload");
  expect(await tab.ask("got")).toEqual(["after the reload"]);
  expect(await stage.engine.sessions("sara")).toHaveLength(1);
});

test.concurrent("tabs of an app that goes by a cookie share by account; without one each is a device of its own", async ({ chromium }) => {
  const stage = await openStage(chromium, { authenticate: () => ({ userId: "sara" }) });
  const tabs: Tab[] = [];
  for (const options of [{}, {}, { account: "sara" }, { account: "sara" }]) {
    const tab = await stage.openTab(`tab ${tabs.length}`, options);
    expect(await tab.until("connected")).toEqual({ state: "connected", userId: "sara" });
    tabs.push(tab);
  }
  expect(tabs.map((tab) => tab.sockets())).toEqual([1, 1, 1, 0]);
  expect(await stage.engine.sessions("sara")).toHaveLength(3);
  await stage.engine.publish({ to: "sara", content: "to all" });
  for (const tab of tabs) {
    await tab.hears("to all");
    expect(await tab.ask("got")).toEqual(["to all"]);
  }
  await stage.close();
});
