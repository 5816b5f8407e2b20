import { chromium, type Page } from "playwright-core";
import { chromiumPath } from "../browser/chromium.ts";
import type { Project } from "./project.ts";

const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
/** How long a page may take to show something, milliseconds. */
const PATIENCE_MS = 20_000;

/** Starts a sample that serves pages, looks at them, and ends it: in time, by itself, without trouble. */
export async function visit(
  project: Project,
  look: (tab: Tab) => Promise<void>,
  command: string,
  ...args: string[]
): Promise<void> {
  const server = project.start(command, ...args);
  try {
    const [, url] = await server.until(/listening on (\S+)/);
    await inChromium(url!, look);
  } finally {
    await server.stop();
  }
  if (await server.ended !== 0 || server.printed.includes("peyk:")) throw new Error(`the server: ${server.printed}`);
}

/** Opens an address in a browser of its own, which is closed when `look` is through. Rejects also with what went wrong in the page. */
async function inChromium(url: string, look: (tab: Tab) => Promise<void>): Promise<void> {
  const browser = await chromium.launch({ executablePath: chromiumPath(), args });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const tab = new Tab(page);
    await page.goto(url);
    try {
      await look(tab);
    } catch (error) {
      throw new Error(`in the page: ${(await page.locator("body").textContent()) ?? ""}; ${tab.faults.join("\n")}`, {
        cause: error,
      });
    }
    if (tab.faults.length > 0) throw new Error(`in the page: ${tab.faults.join("\n")}`);
  } finally {
    await browser.close();
  }
}

/** A page in a real chromium. */
export class Tab {
  readonly page: Page;
  /** What went wrong in the page, uncaught or told on its console. */
  readonly faults: string[] = [];
  readonly #sockets: { url: string; open: boolean }[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("console", (line) => {
      const { url } = line.location();
      // Browsers ask for an icon that no sample has.
      if (line.type() === "error" && !url.endsWith("/favicon.ico")) this.faults.push(`${line.text()} (${url})`);
    });
    page.on("websocket", (opened) => {
      const socket = { url: opened.url(), open: true };
      this.#sockets.push(socket);
      opened.on("close", () => socket.open = false);
    });
  }

  /** How many sockets are open to addresses of which this is a part. */
  openSockets(part: string): number {
    return this.#sockets.filter(({ url, open }) => open && url.includes(part)).length;
  }

  /** Waits until the items of its list are these texts, in this order, and no others. */
  async shows(texts: readonly string[]): Promise<void> {
    await this.page.waitForFunction(
      (wanted) => [...document.querySelectorAll("li")].map((item) => item.textContent).join("\n") === wanted,
      texts.join("\n"),
    );
  }

  /** Waits until so many sockets are open. */
  async untilOpen(part: string, count: number): Promise<void> {
    const giveUp = performance.now() + PATIENCE_MS;
    while (this.openSockets(part) !== count) {
      if (performance.now() > giveUp) throw new Error(`${this.openSockets(part)} sockets are open to ${part}, not ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
