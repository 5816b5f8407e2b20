import type { Dialog } from "playwright-core";
import { expect } from "vitest";
import { type RealChromium, signalProcess } from "./real_chromium.ts";
import { eventually, PATIENCE_MS, type Tab } from "./tab.ts";
import { test } from "./tab_stage.ts";

/** A way to make a tab stand still. */
interface Standstill {
  /** @returns what makes it go on */
  stop(tab: Tab, chromium: RealChromium): Promise<() => Promise<unknown>>;
  /** Chromium drops what other tabs say to a page meanwhile: what they are done with never comes there. */
  isDeaf?: true;
}

const ways: Record<string, Standstill> = {
  "behind a dialog": {
    async stop({ page }) {
      const opened = new Promise<Dialog>((resolve) => page.once("dialog", resolve));
      await page.evaluate(() => void setTimeout(() => alert("Stay a while")));
      const dialog = await opened;
      return () => dialog.dismiss();
    },
  },
  "at a breakpoint": {
    isDeaf: true,
    async stop({ page }) {
      const session = await page.context().newCDPSession(page);
      await session.send("Debugger.enable");
      await session.send("Debugger.pause");
      return () => session.send("Debugger.resume");
    },
  },
  "with its process stopped": {
    async stop({ page }, chromium) {
      const id = await chromium.rendererOf(page);
      signalProcess(id, "SIGSTOP");
      return () => Promise.resolve(signalProcess(id, "SIGCONT"));
    },
  },
  "frozen": {
    async stop({ page }) {
      const session = await page.context().newCDPSession(page);
      await session.send("Page.setWebLifecycleState", { state: "frozen" });
      return () => session.send("Page.setWebLifecycleState", { state: "active" });
    },
  },
};

for (const [how, { stop, isDeaf }] of Object.entries(ways)) {
  test.concurrent(
    `while the leading tab stands still ${how}, a visible one leads; nothing is lost and nothing comes twice`,
    async ({ stage, chromium }) => {
      const first = await stage.openTab("first", { token: "sara", heart: true });
      await first.until("connected");
      const second = await stage.openTab("second", { token: "sara", heart: true });
      await second.until("connected");
      const third = await stage.openTab("third", { token: "sara", heart: true });
      await third.until("connected");
      const tabs = [first, second, third];
      const sent: string[] = [];
      const send = async () => void await stage.engine.publish({ to: "sara", content: `${sent.push(`${sent.length}`) - 1}` });
      await send();
      for (const tab of tabs) await tab.hears("0");
      expect(tabs.map((tab) => tab.sockets())).toEqual([1, 0, 0]);
      // The leading tab waits for an answer when it stops.
      let answer = () => {};
      stage.hold = new Promise((resolve) => answer = resolve);
      await first.ask("begin", "sara", "from the first");
      await eventually(() => expect(stage.held()).toBe(1));

      const wake = await stop(first, chromium);
      const stoppedAt = performance.now();
      try {
        await first.standsStill();
        await second.lives();
        expect(await second.ask("visibility")).toBe("visible");
        stage.hold = undefined;
        answer();
        await second.ask("begin", "sara", "from the second");
        for (let n = 0; n < 3; n++) await send();
        await second.hears("1");
        console.log(`stood still ${how}: delivery again after ${Math.round(performance.now() - stoppedAt)} ms`);
        for (let n = 0; n < 3; n++) await send();
        await second.hears(sent.at(-1)!);
        await second.hears("from the first");
        await second.hears("from the second");
        await eventually(async () => expect(await second.ask("outcome", "from the second")).toBe("ok"));
      } finally {
        await wake();
      }
      await first.lives();
      await eventually(async () => expect(await first.ask("outcome", "from the first")).toBe("ok"));

      // It follows now: there is one connection, and it is the other one's.
      await send();
      for (const tab of tabs) {
        await tab.hears(sent.at(-1)!);
        expect(await tab.until("connected")).toEqual({ state: "connected", userId: "sara" });
      }
      const everything = [...sent, "from the first", "from the second"].sort();
      for (const tab of isDeaf ? [second, third] : tabs) {
        await eventually(async () => expect((await tab.ask("got")).toSorted()).toEqual(everything));
      }
      for (const tab of tabs) {
        const got = await tab.ask("got");
        expect(new Set(got).size).toBe(got.length);
        const fromServer = got.filter((content) => /\d/.test(content)).map(Number);
        expect(fromServer).toEqual(fromServer.toSorted((one, other) => one - other));
      }
      expect(first.sockets()).toBe(1);
      // Two tabs may lose patience in the same few milliseconds: then the second of them has it.
      expect(second.sockets() + third.sockets()).toBeLessThanOrEqual(2);
      await eventually(() => expect(stage.connections()).toBe(1));
      expect(await stage.engine.sessions("sara")).toHaveLength(1);
      expect(await first.ask("publish", "sara", "from the first, awake")).toBe("ok");
      await second.hears("from the first, awake");

      for (const tab of [second, third]) await tab.page.close();
      await send();
      await first.hears(sent.at(-1)!);
      expect(first.sockets()).toBe(2);
    },
    6 * PATIENCE_MS,
  );
}
