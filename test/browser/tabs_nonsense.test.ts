import { expect } from "vitest";
import { eventually, type Tab } from "./tab.ts";
import { type TabStage, test } from "./tab_stage.ts";

/** Notes as if from so many tabs, of each kind of nonsense. */
const STRANGERS = 1_000;

test("1,000 tabs' worth of nonsense on the tabs' channel ends nothing: messages and publishes go on", async ({ stage }) => {
  const tabs = await twoTabs(stage);
  const channels = await tabs[0]!.ask("channels");
  expect(channels).not.toEqual([]);
  const intruder = await stage.openPage("intruder");
  await intruder.evaluate(async ({ channels, strangers }) => {
    const junk = [
      null,
      undefined,
      0,
      -1,
      NaN,
      Infinity,
      2 ** 53,
      "",
      "x",
      "sara",
      true,
      [],
      {},
      [[]],
      new Map(),
      new Date(),
      new Uint8Array(9),
    ];
    const any = () => junk[Math.floor(Math.random() * junk.length)];
    for (const name of channels) {
      const channel = new BroadcastChannel(name);
      const heard: Record<string, unknown>[] = [];
      channel.onmessage = ({ data }) => heard.push(data);
      // What tabs say to each other, to say it again with a fault in it.
      const until = performance.now() + 2_500;
      while (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
      for (let n = 0; n < strangers; n++) {
        channel.postMessage(any());
        channel.postMessage({
          [`${any()}`]: any(),
          term: any(),
          from: `stranger ${n}`,
          up: any(),
          to: any(),
          body: any(),
          type: any(),
        });
        for (
          const type of [
            "join",
            "leave",
            "request",
            "done",
            "message",
            "status",
            "ok",
            "error",
            "subscriptions",
            "ask",
            "activity",
          ]
        ) {
          channel.postMessage({
            term: any(),
            from: `stranger ${n}`,
            up: n % 2 === 0,
            to: any(),
            body: { type, status: any(), frame: any() },
          });
        }
        const real = heard[n % heard.length];
        if (real) { for (const key of Object.keys(real)) channel.postMessage({ ...real, from: `stranger ${n}`, [key]: any() }); }
      }
      channel.close();
    }
  }, { channels, strangers: STRANGERS });
  await goOn(stage, tabs);
});

test("a page of another origin that knows the channel's name hears nothing and changes nothing", async ({ stage }) => {
  const tabs = await twoTabs(stage);
  const channels = await tabs[0]!.ask("channels");
  const other = await stage.openPage("other", "other.test");
  await other.evaluate((channels) => {
    const heard: unknown[] = (globalThis as { heard?: unknown[] }).heard = [];
    for (const name of channels) {
      const channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => heard.push(data);
      channel.postMessage({
        term: 1_000,
        from: "other",
        up: false,
        body: { type: "status", status: { state: "closed" }, life: "" },
      });
    }
  }, channels);
  await goOn(stage, tabs);
  expect(await other.evaluate(() => (globalThis as { heard?: unknown[] }).heard)).toEqual([]);
  expect(tabs.map((tab) => tab.sockets())).toEqual([1, 0]);
});

async function twoTabs(stage: TabStage): Promise<Tab[]> {
  const tabs = [];
  for (const name of ["first", "second"]) {
    const tab = await stage.openTab(name, { token: "sara" });
    await tab.until("connected");
    tabs.push(tab);
  }
  return tabs;
}

async function goOn(stage: TabStage, tabs: Tab[]): Promise<void> {
  await stage.engine.publish({ to: "sara", content: "after it" });
  for (const tab of tabs) {
    await tab.hears("after it");
    expect(await tab.ask("publish", "sara", `from ${tab.name}`)).toBe("ok");
  }
  for (const tab of tabs) {
    for (const { name } of tabs) await tab.hears(`from ${name}`);
    expect([...await tab.ask("got")].sort()).toEqual(["after it", "from first", "from second"]);
    expect(await tab.until("connected")).toEqual({ state: "connected", userId: "sara" });
  }
  await eventually(() => expect(stage.connections()).toBe(1));
}
