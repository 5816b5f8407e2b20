import process from "node:process";
import { expect } from "vitest";
import { eventually, type Tab } from "./tab.ts";
import { type TabStage, test } from "./tab_stage.ts";

/** So long tabs open and close. PEYK_TAB_CHURN_S=120 PEYK_TABS_AT_ONCE=50 is what is run by hand. */
const SECONDS = Number(process.env["PEYK_TAB_CHURN_S"] ?? 8);
const AT_ONCE = Number(process.env["PEYK_TABS_AT_ONCE"] ?? 6);
const PUBLISH_EVERY_MS = 100;

test(
  `tabs open and close for ${SECONDS} s: each message once per tab, one connection at any time, none left behind`,
  async ({ stage }) => {
    const endsAt = performance.now() + SECONDS * 1_000;
    const isOver = () => performance.now() >= endsAt;
    let published = 0;
    /** At most, of all samples. */
    let devices = 0;
    let connections = 0;
    const ends: Record<string, number> = {};

    async function publish(): Promise<void> {
      while (!isOver()) {
        await stage.engine.publish({ to: "sara", content: `${published++}` });
        await new Promise((resolve) => setTimeout(resolve, PUBLISH_EVERY_MS));
      }
    }

    async function watch(): Promise<void> {
      while (!isOver()) {
        connections = Math.max(connections, stage.connections());
        devices = Math.max(devices, (await stage.engine.sessions("sara")).length);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }

    /** One place for a tab: one after the other opens there. */
    async function open(place: number): Promise<void> {
      let left: Tab | undefined;
      for (let n = 0; !isOver(); n++) {
        const tab = await stage.openTab(`${place}.${n}`, { token: `sara:${place}.${n}` });
        await tab.until("connected");
        const from = published;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 1_500));
        const last = published - 1;
        if (last >= from) await tab.hears(`${last}`);
        const got = (await tab.ask("got")).map(Number);
        expect(got).toEqual([...new Set(got)].sort((one, other) => one - other));
        expect(got.filter((number) => number >= from && number <= last)).toEqual(numbers(from, last));
        const end = pick(Object.keys(leave));
        await leave[end]!(tab, stage);
        ends[end] = (ends[end] ?? 0) + 1;
        await left?.page.close();
        left = tab;
      }
    }

    await Promise.all([publish(), watch(), ...numbers(1, AT_ONCE).map(open)]);
    console.log(
      `${SECONDS} s, ${AT_ONCE} at once: ${published} messages, ${connections} connections at most, tabs that left: ${
        JSON.stringify(ends)
      }`,
    );
    expect(devices).toBe(1);
    // A crashed tab's lock may be free before its socket is closed: the next one's connection takes its place.
    expect(connections).toBeLessThanOrEqual(2);
    const last = await stage.openTab("last", { token: "sara" });
    await last.until("connected");
    await last.ask("close");
    // All have ended: pages that are still there hold no connection.
    await eventually(() => expect(stage.connections()).toBe(0));
    expect(await stage.engine.sessions("sara")).toHaveLength(1);
  },
  SECONDS * 1_000 + 120_000,
);

/** How a tab may end. Its page may stay until the next one has ended too: what has ended there holds no connection. */
const leave: Record<string, (tab: Tab, stage: TabStage) => Promise<void>> = {
  closed: ({ page }) => page.close(),
  async "left for another page"({ page, name }, stage) {
    await page.goto(stage.addressOf(`after ${name}`));
  },
  async "client closed"(tab) {
    await tab.ask("close");
  },
  async crashed({ page }) {
    const crashed = new Promise((resolve) => page.once("crash", resolve));
    await page.goto("chrome://crash").catch(() => {});
    await crashed;
    await page.close();
  },
};

function numbers(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

function pick(choices: readonly string[]): string {
  return choices[Math.floor(Math.random() * choices.length)]!;
}
