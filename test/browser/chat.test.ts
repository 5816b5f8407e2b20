import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { chromiumPath } from "./chromium.ts";

const root = new URL("../..", import.meta.url).pathname;
const PATIENCE_MS = 15_000;

vi.setConfig({ testTimeout: 4 * PATIENCE_MS, hookTimeout: 4 * PATIENCE_MS });

let folder: string;
let port: number;
let server: ChildProcess;
/** What the server said on stderr. */
let said = "";
let browser: Browser;
let context: BrowserContext;
/** What went wrong in a page, uncaught or told on its console. */
const uncaught: Error[] = [];

/** The example beside a built client, as in this repository, but in a place of its own: `dist` is left alone. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "peyk-chat-"));
  cpSync(join(root, "examples/chat"), join(folder, "examples/chat"), { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/peyk"));
  const [entry, outfile] = [join(root, "src/client/client.ts"), join(folder, "dist/client.min.js")];
  await build({ entryPoints: [entry], outfile, bundle: true, minify: true, format: "esm", target: "es2022" });
  port = await freePort();
  const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
  browser = await chromium.launch({ executablePath: chromiumPath(), args });
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  await startServer();
  context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  context.on("weberror", (event) => uncaught.push(event.error()));
  context.on("console", (line) => line.type() === "error" && uncaught.push(new Error(line.text())));
});

afterEach(async () => {
  await context.close();
  await stopServer();
  expect([...uncaught.splice(0), said]).toEqual([""]);
});

test("two people in two tabs of one browser write as themselves, and both see both", async () => {
  const [sara, reza] = [await comeIn("Sara"), await comeIn("Reza")];
  await say(sara, "Hello");
  await shows(reza, ["Sara: Hello"]);
  await say(reza, "Hi");
  for (const tab of [sara, reza]) await shows(tab, ["Sara: Hello", "Reza: Hi"]);
  expect([await mine(sara), await mine(reza)]).toEqual([["Sara: Hello"], ["Reza: Hi"]]);
});

test("what looks like HTML is shown as it was written", async () => {
  const text = `<img src="x" onerror="alert(1)"><b>bold</b>`;
  const [sara, reza] = [await comeIn("Sara"), await comeIn("Reza")];
  await say(sara, text);
  await shows(reza, [`Sara: ${text}`]);
  expect(await reza.locator("img, b").count()).toBe(0);
});

test("a reload goes on where it was, and brings what came meanwhile, once", async () => {
  const [sara, reza] = [await comeIn("Sara"), await comeIn("Reza")];
  await say(sara, "Before");
  await shows(reza, ["Sara: Before"]);
  await reza.goto("about:blank");
  await say(sara, "Meanwhile");
  await shows(sara, ["Sara: Before", "Sara: Meanwhile"]);
  await reza.goto(address());
  await shows(reza, ["Sara: Before", "Sara: Meanwhile"]);
  await say(reza, "After");
  for (const tab of [sara, reza]) await shows(tab, ["Sara: Before", "Sara: Meanwhile", "Reza: After"]);
});

test("another tab of the same person shares the connection, and shows what was there", async () => {
  const [first, other] = [await comeIn("Sara"), await comeIn("Reza")];
  await say(first, "One");
  await shows(first, ["Sara: One"]);
  const second = await comeIn("Sara");
  await shows(second, ["Sara: One"]);
  expect([first, other, second].map((tab) => sockets.get(tab))).toEqual([1, 1, 0]);
  await say(second, "Two");
  for (const tab of [first, second, other]) await shows(tab, ["Sara: One", "Sara: Two"]);
  expect(await mine(first)).toEqual(["Sara: One", "Sara: Two"]);
});

test("who signs out does so in all their tabs, and nobody else", async () => {
  const [first, second, other] = [await comeIn("Sara"), await comeIn("Sara"), await comeIn("Reza")];
  await click(second, "Sign out");
  for (const tab of [first, second]) await tab.getByLabel("Your name").waitFor();
  await say(other, "Still here");
  await shows(other, ["Reza: Still here"]);
});

test("who comes back after signing out sees what was there and what came meanwhile, each once", async () => {
  const [sara, reza] = [await comeIn("Sara"), await comeIn("Reza")];
  await say(sara, "Before");
  for (const tab of [sara, reza]) await shows(tab, ["Sara: Before"]);
  await click(sara, "Sign out");
  await sara.getByLabel("Your name").waitFor();
  await say(reza, "Meanwhile");
  await shows(reza, ["Sara: Before", "Reza: Meanwhile"]);
  await signIn(sara, "Sara");
  await shows(sara, ["Sara: Before", "Reza: Meanwhile"]);
});

test("when the server was started anew the page comes back to it with a fresh token, and into the room", async () => {
  const [sara, reza] = [await comeIn("Sara"), await comeIn("Reza")];
  await stopServer();
  for (const [tab, name] of [[sara, "Sara"], [reza, "Reza"]] as const) await status(tab, `${name}: waiting`);
  await startServer();
  for (const [tab, name] of [[sara, "Sara"], [reza, "Reza"]] as const) await status(tab, `${name}: connected`);
  await say(sara, "Back again");
  for (const tab of [sara, reza]) await shows(tab, ["Sara: Back again"]);
  // While nobody was there the browser said so on the console, at each try.
  uncaught.length = 0;
});

test("a name that is none is not signed in, nor does an odd address end the server", async () => {
  const ask = (path: string, method = "POST") => fetch(address() + path, { method }).then(({ status }) => status);
  expect(await Promise.all(["", "?name=", "?name=a%2Fb", `?name=${"x".repeat(31)}`].map((query) => ask(`/sign-in${query}`))))
    .toEqual([404, 404, 404, 404]);
  expect([await ask("/sign-in?name=Sara", "GET"), await ask("//", "GET"), await ask("/sign-in?name=Sara")]).toEqual([
    404,
    404,
    200,
  ]);
});

test("the page and its server have 100 lines together", () => {
  const [code, page] = ["server.ts", "page.html"].map((name) => readFileSync(join(root, "examples/chat", name), "utf8"));
  expect(`${code}${page}`.trimEnd().split("\n").length).toBeLessThanOrEqual(100);
});

/** How many sockets each tab has opened. */
const sockets = new WeakMap<Page, number>();

function address(): string {
  return `http://127.0.0.1:${port}`;
}

async function startServer(): Promise<void> {
  said = "";
  const how = "Deno" in globalThis ? ["run", "-A"] : ["--disable-warning=ExperimentalWarning"];
  const script = join(folder, "examples/chat/server.ts");
  const child = server = spawn(process.execPath, [...how, "--conditions=peyk-source", script], {
    env: { ...process.env, PORT: String(port) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
  const told = once(child.stdout!.setEncoding("utf8"), "data");
  const [line] = await Promise.race([told, once(child, "close").then(() => [`ended: ${said}`])]);
  expect(line).toBe(`Chat: ${address()}\n`);
}

async function stopServer(): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  server.kill();
  await once(server, "close");
}

async function freePort(): Promise<number> {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const { port } = holder.address() as AddressInfo;
  holder.close();
  await once(holder, "close");
  return port;
}

/** A new tab of that person, connected. */
async function comeIn(name: string): Promise<Page> {
  const page = await context.newPage();
  sockets.set(page, 0);
  page.on("websocket", () => sockets.set(page, sockets.get(page)! + 1));
  await page.goto(address());
  await signIn(page, name);
  return page;
}

async function signIn(page: Page, name: string): Promise<void> {
  await page.getByLabel("Your name").fill(name);
  await click(page, "Come in");
  await status(page, `${name}: connected`);
}

function status(page: Page, text: string): Promise<void> {
  return page.getByRole("status").getByText(text).waitFor();
}

async function say(page: Page, content: string): Promise<void> {
  await page.getByLabel("Message", { exact: true }).fill(content);
  await click(page, "Send");
}

/** In a tab behind others a click takes seconds: the browser draws it rarely. */
async function click(page: Page, name: string): Promise<void> {
  await page.bringToFront();
  await page.getByRole("button", { name }).click();
}

/** Waits until exactly these messages are there. */
function shows(page: Page, messages: string[]): Promise<void> {
  return expect.poll(() => page.getByRole("log").locator("p").allTextContents(), { timeout: PATIENCE_MS }).toEqual(messages);
}

function mine(page: Page): Promise<string[]> {
  return page.getByRole("log").locator(".mine").allTextContents();
}
