import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { chromiumPath } from "./chromium.ts";

/** Names that lead to this machine, for pages that are no secure context. */
export const NAMES = ["some.test", "other.test"] as const;

const flags = [
  "--headless",
  "--remote-debugging-port=0",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Each window would load these pages of the browser's own, which work for half a second.
  "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
  `--host-resolver-rules=${NAMES.map((name) => `MAP ${name} 127.0.0.1`).join(",")}`,
];

/** How a browser is set up. */
export interface ChromiumOptions {
  /** As a person sets it who blocks all cookies: pages may keep nothing. */
  cookiesBlocked?: boolean;
  flags?: readonly string[];
}

/**
 * A chromium as people have it: its tabs can be hidden, throttled, frozen and put aside. Playwright's own launch prevents all of that
 * (focus emulation, no throttling, no back-forward cache), so here it only connects.
 */
export interface RealChromium {
  /** The profile's only context: what tabs keep is shared, and goes with the browser. */
  readonly context: BrowserContext;
  /** A tab in a window of its own: visible, whatever the others are. */
  openWindow(): Promise<Page>;
  /** A tab in the window of that page. It is in front there, and hides that page. */
  openBeside(page: Page): Promise<Page>;
  /** The process that runs the page's script. */
  rendererOf(page: Page): Promise<number>;
  close(): Promise<void>;
}

export async function openChromium(options: ChromiumOptions = {}): Promise<RealChromium> {
  const folder = await mkdtemp(join(tmpdir(), "peyk-chromium-"));
  await mkdir(join(folder, "Default"));
  const settings = { profile: { default_content_setting_values: { cookies: options.cookiesBlocked ? 2 : 1 } } };
  await writeFile(join(folder, "Default", "Preferences"), JSON.stringify(settings));
  const args = [...flags, ...options.flags ?? [], `--user-data-dir=${folder}`, "about:blank"];
  const child = spawn(chromiumPath(), args, { stdio: ["ignore", "ignore", "pipe"] });
  // Its own processes have the same stderr: it closes when the last of them has ended.
  const ended = once(child, "close");
  let address: string | undefined;
  for await (const line of createInterface({ input: child.stderr })) {
    address = /listening on (ws:\S+)/.exec(line)?.[1];
    if (address !== undefined) break;
  }
  if (address === undefined) throw new Error("chromium did not start");
  child.stderr.resume();
  // Without the defaults pages are as visible as they are in truth.
  const browser = await chromium.connectOverCDP(address, { noDefaults: true, isLocal: true });
  const context = browser.contexts()[0]!;
  const session = await browser.newBrowserCDPSession();

  let lastOpened: Promise<unknown> = Promise.resolve();

  /** One at a time: the event does not say whose page it is. */
  function open(newWindow: boolean, before?: Page): Promise<Page> {
    const page = lastOpened.then(async () => {
      await before?.bringToFront();
      const target = session.send("Target.createTarget", { url: "about:blank", newWindow });
      const [page] = await Promise.all([context.waitForEvent("page"), target]);
      return page;
    });
    lastOpened = page.catch(() => {});
    return page;
  }

  async function processorTime(): Promise<Map<number, number>> {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return new Map(processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]));
  }

  return {
    context,
    openWindow: () => open(true),
    openBeside: (page) => open(false, page),
    async rendererOf(page) {
      // The protocol does not name a page's process: it is the one that works while the page does.
      for (;;) {
        const before = await processorTime();
        await page.evaluate(() => {
          const end = performance.now() + 300;
          while (performance.now() < end);
        });
        const worked = [...await processorTime()].map(([id, time]) => ({ id, seconds: time - (before.get(id) ?? 0) }));
        const [most, next] = worked.sort((one, other) => other.seconds - one.seconds);
        if (most!.seconds > 0.1 && most!.seconds > 2 * (next?.seconds ?? 0)) return most!.id;
      }
    },
    async close() {
      await browser.close().catch(() => {});
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Stops and continues a process. */
export function signalProcess(id: number, signal: "SIGSTOP" | "SIGCONT"): void {
  process.kill(id, signal);
}
