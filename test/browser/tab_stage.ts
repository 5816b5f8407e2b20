import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { expect, test as base, vi } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import type { EngineOptions } from "../../src/engine_options.ts";
import { createEngine, type Engine } from "../../src/create_engine.ts";
import type { PushProvider } from "../../src/ports/push_provider.ts";
import { NAMES, openChromium, type RealChromium } from "./real_chromium.ts";
import { PATIENCE_MS, type Tab, tabOf } from "./tab.ts";
import type { StartOptions, TokenAnswer } from "./tab_page.ts";

vi.setConfig({ testTimeout: 4 * PATIENCE_MS, hookTimeout: 4 * PATIENCE_MS });

/** A test with a stage of its own, in a browser that the file's tests share: each stage is another origin. */
export const test = base.extend<{ chromium: RealChromium; stage: TabStage }>({
  // deno-lint-ignore no-empty-pattern
  chromium: [async ({}, use) => {
    const chromium = await openChromium();
    await use(chromium);
    await chromium.close();
  }, { scope: "file" }],
  stage: async ({ chromium }, use) => {
    const stage = await openStage(chromium);
    await use(stage);
    await stage.close();
  },
});

/** Where a tab's page comes from, and how it connects. */
export interface TabOptions extends Omit<StartOptions, "url" | "token"> {
  /** A text, or what the page's token function does. Left out: the page has no token. */
  token?: string | TokenAnswer;
  /** The name under which the page is loaded. Default "127.0.0.1". */
  host?: string;
  /** The page stands in a sandboxed frame: it may keep nothing and lock nothing. */
  sandboxed?: boolean;
  /** Its heart beats. */
  heart?: boolean;
  /** In the window of that tab, in front of it. Default: in a window of its own. */
  beside?: Tab;
  /** Where the engine is. Default: the stage's. */
  url?: string;
}

/** An engine that listens, pages that connect to it, and a browser for them. */
export interface TabStage {
  readonly engine: Engine;
  readonly url: string;
  /** Whoever comes with one of these is refused. */
  readonly refused: Set<string>;
  /** Publishes are looked at only when it is resolved. */
  hold: Promise<void> | undefined;
  /** How many publishes wait for that. */
  held(): number;
  /** What went wrong in a page, uncaught or told on its console. Lost connections are not told here. */
  readonly faults: string[];
  openTab(name: string, options?: TabOptions): Promise<Tab>;
  /** Connects in a page that was loaded again. */
  start(tab: Tab, options?: TabOptions): Promise<void>;
  /** A page without a client. */
  openPage(name: string, host?: string): Promise<Page>;
  /** Where it is loaded from. */
  addressOf(name: string, host?: string): string;
  /** Open sockets at the engine. */
  connections(): number;
  /** The server is gone: its port is shut and all sockets are cut. */
  shut(): Promise<void>;
  /** It is there again, at the same address. */
  reopen(): Promise<void>;
  /** What clients asked to publish, as whom: each once, however often it was said. */
  published(): readonly { from: string; to: string; content: string }[];
  close(): Promise<void>;
}

/** A token of somebody is the userId, or that with anything after a colon. */
function userOf(token: string): string {
  return token.split(":")[0]!;
}

export async function openStage(chromium: RealChromium, options: Partial<EngineOptions> = {}): Promise<TabStage> {
  const refused = new Set<string>();
  const faults: string[] = [];
  const beats = new Map<string, number>();
  const published: { from: string; to: string; content: string }[] = [];
  let held = 0;
  const script = await bundle();
  const engine = await createEngine({
    authenticate: ({ token }) => token === undefined || refused.has(token) ? null : { userId: userOf(token) },
    async authorize({ userId, topic, message, allowed }) {
      held++;
      await stage.hold;
      held--;
      const asked = { from: userId, to: topic.split("/")[0]!, content: message?.content ?? "" };
      // A request that is said again is looked at again: its content tells it from others.
      if (!published.some(({ from, content }) => from === asked.from && content === asked.content)) published.push(asked);
      return allowed;
    },
    push: [silentProvider],
    ...options,
  });
  const pages = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://pages");
    const name = searchParams.get("tab") ?? "";
    if (pathname === "/beat") beats.set(name, (beats.get(name) ?? 0) + 1);
    const body = pathname === "/script" ? script : pathname === "/page" ? PAGE : pathname === "/frame" ? frameOf(name) : "";
    response.setHeader("content-type", pathname === "/script" ? "text/javascript" : "text/html").end(body);
  });
  const pagePort = await listen(pages, 0);
  const gateway = createServer();
  const port = await listen(gateway, 0);
  const sockets = new Set<Socket>();
  gateway.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const hosts = ["127.0.0.1", ...NAMES];
  serveNode(engine, gateway, { origins: ["null", ...hosts.map((host) => `http://${host}:${pagePort}`)] });
  const url = `ws://127.0.0.1:${port}/peyk`;
  const opened: Page[] = [];

  function addressOf(name: string, host = "127.0.0.1", path = "page"): string {
    return `http://${host}:${pagePort}/${path}?tab=${encodeURIComponent(name)}`;
  }

  async function shut(): Promise<void> {
    const closed = new Promise((resolve) => gateway.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  async function start(
    tab: Tab,
    { token, host: _host, sandboxed: _sandboxed, heart: _heart, beside: _beside, ...rest }: TabOptions = {},
  ): Promise<void> {
    const given = token === undefined ? {} : { token: typeof token === "string" ? { value: token } : token };
    await tab.ask("start", { url, ...rest, ...given });
  }

  async function open(beside?: Tab): Promise<Page> {
    const page = await (beside ? chromium.openBeside(beside.page) : chromium.openWindow());
    opened.push(page);
    return page;
  }

  async function openTab(name: string, options: TabOptions = {}): Promise<Tab> {
    const page = await open(options.beside);
    let sockets = 0;
    page.on("websocket", () => sockets++);
    page.on("pageerror", (error) => faults.push(`${name}: ${error.stack ?? error}`));
    page.on("console", (said) => {
      if (said.type() === "error" && !/WebSocket connection to|net::ERR_/.test(said.text())) {
        faults.push(`${name}: ${said.text()}`);
      }
    });
    const address = addressOf(name, options.host, options.sandboxed ? "frame" : "page");
    await page.goto(options.heart ? `${address}&heart` : address);
    const frame = options.sandboxed ? page.frame("sandbox")! : page.mainFrame();
    const tab = tabOf(name, page, frame, () => beats.get(name) ?? 0, () => sockets);
    await start(tab, options);
    return tab;
  }

  const stage: TabStage = {
    engine,
    url,
    refused,
    hold: undefined,
    held: () => held,
    faults,
    openTab,
    async openPage(name, host) {
      const page = await open();
      await page.goto(addressOf(name, host));
      return page;
    },
    start,
    addressOf,
    connections: () => engine.counters().connections,
    shut,
    reopen: async () => void await listen(gateway, port),
    published: () => published,
    async close() {
      await Promise.all(opened.map((page) => page.close()));
      await engine.close();
      if (gateway.listening) await shut();
      pages.closeAllConnections();
      await new Promise((resolve) => pages.close(resolve));
      expect(faults).toEqual([]);
    },
  };
  return stage;
}

const PAGE = "<!doctype html><meta charset=utf-8><title>tab</title><link rel=icon href=data:,><script src=/script></script>";

function frameOf(name: string): string {
  return `<!doctype html><title>frame</title><link rel=icon href=data:,>
<iframe name=sandbox sandbox=allow-scripts src="/page?tab=${encodeURIComponent(name)}"></iframe>`;
}

/** The page's script with the client as it is in this tree. A classic script: a sandboxed frame may not load modules. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL("tab_page.ts", import.meta.url).pathname],
    bundle: true,
    write: false,
    format: "iife",
    platform: "browser",
    target: "es2022",
    logLevel: "warning",
  });
  return outputFiles[0]!.text;
}

const silentProvider: PushProvider = {
  name: "stub",
  send: () => Promise.resolve({ verdict: "sent" }),
};

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
