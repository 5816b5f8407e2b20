import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { chromiumPath } from "./chromium.ts";

const root = new URL("../..", import.meta.url).pathname;
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** For whatever has to happen: the engine's own waits, on a slow machine. */
const PATIENCE_MS = 15_000;

// A wait that fails is to say so, before the test as a whole is out of time.
vi.setConfig({ testTimeout: 4 * PATIENCE_MS, hookTimeout: 4 * PATIENCE_MS });

let folder: string;
let server: ReturnType<typeof startDemo>;
let url: string;
let browser: Browser;
let context: BrowserContext | undefined;
/** What went wrong in a page, uncaught or told on its console. */
const uncaught: Error[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "peyk-demo-"));
  server = startDemo("0");
  for await (const line of createInterface({ input: server.child.stdout })) {
    const found = /http:\S+/.exec(line)?.[0];
    if (found === undefined) continue;
    url = found;
    break;
  }
  browser = await chromium.launch({ executablePath: chromiumPath(), args: [...flags, ...quiet] });
});

afterEach(async () => {
  await context?.close();
  context = undefined;
  expect(uncaught.splice(0)).toEqual([]);
});

afterAll(async () => {
  await browser?.close();
  const { child, said } = server;
  child.kill("SIGTERM");
  const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
  await rm(folder, { recursive: true, force: true });
  expect([code, said()]).toEqual([0, ""]);
});

test("a message to somebody who is there arrives by socket, and the log says how fast", async () => {
  const page = await openStage();
  await send(page, "reza", "Tea is ready");
  await inbox(page, "reza", "phone", "Tea is ready").waitFor();
  await said(page, "Tea is ready", "phone", /^delivered in \d+ ms$/).waitFor();
  expect(await pushes(page, "reza", "phone").count()).toBe(0);
});

test("a frozen device gets a push when it has not seen the message in time, and the message once when it thaws", async () => {
  const page = await openStage();
  await turn(page, "reza", "phone", "Frozen");
  await send(page, "reza", "The train leaves at six");
  await pushes(page, "reza", "phone", "The train leaves at six").waitFor();
  await said(page, "The train leaves at six", "phone", /^pushed: not seen within 3 s$/).waitFor();
  await state(page, "reza", "phone", "connected.suspect");
  expect(await inbox(page, "reza", "phone", "The train leaves at six").count()).toBe(0);

  await turn(page, "reza", "phone", "Open");
  await inbox(page, "reza", "phone", "The train leaves at six").waitFor();
  await state(page, "reza", "phone", "connected.live");
  expect(await inbox(page, "reza", "phone", "The train leaves at six").count()).toBe(1);
  expect(await pushes(page, "reza", "phone").count()).toBe(1);
});

test("an app in the background gets a push at once", async () => {
  const page = await openStage();
  await turn(page, "mina", "tablet", "Background");
  await state(page, "mina", "tablet", "backgrounded");
  await send(page, "mina", "Look at this");
  await pushes(page, "mina", "tablet", "Look at this").waitFor();
  await said(page, "Look at this", "tablet", /^pushed: she is not looking$/).waitFor();
});

test("a closed app gets a push, and the message when it opens again", async () => {
  const page = await openStage();
  await turn(page, "reza", "phone", "Closed");
  await state(page, "reza", "phone", "disconnected.away");
  await send(page, "reza", "See you tomorrow");
  await pushes(page, "reza", "phone", "See you tomorrow").waitFor();
  await said(page, "See you tomorrow", "phone", /^pushed: nobody there$/).waitFor();

  await pushes(page, "reza", "phone", "See you tomorrow").click();
  await state(page, "reza", "phone", "connected.live");
  await inbox(page, "reza", "phone", "See you tomorrow").waitFor();
});

test("a message waits for a device that lost its network, and needs no push when that comes back", async () => {
  const page = await openStage();
  await turn(page, "mina", "tablet", "Airplane");
  await state(page, "mina", "tablet", "disconnected.recent");
  await send(page, "mina", "Call me");
  await said(page, "Call me", "tablet", /^waits: she was here a moment ago \(15 s\)$/).waitFor();
  expect(await inbox(page, "mina", "tablet", "Call me").count()).toBe(0);

  await turn(page, "mina", "tablet", "Open");
  await inbox(page, "mina", "tablet", "Call me").waitFor();
  await said(page, "Call me", "tablet", /^delivered in/).waitFor();
  expect(await said(page, "Call me", "tablet", /push/).count()).toBe(0);
  expect(await pushes(page, "mina", "tablet").count()).toBe(0);
});

test("what comes to the laptop while its person is at it is dealt with there: the phone stays quiet", async () => {
  const page = await openStage();
  await turn(page, "sara", "phone", "Background");
  await state(page, "sara", "phone", "backgrounded");
  await send(page, "sara", "Lunch at one");
  // The laptop may be done with it before the phone's push is written down, or after.
  await said(page, "Lunch at one", "phone", /^(no push|dropped): dealt with on her laptop/).waitFor();
  await said(page, "Lunch at one", "laptop", /^delivered in/).waitFor();
  expect(await pushes(page, "sara", "phone").count()).toBe(0);
});

test("a held push leaves when nobody reads the message on the laptop", async () => {
  const page = await openStage();
  await turn(page, "sara", "phone", "Background");
  await state(page, "sara", "phone", "backgrounded");
  await turn(page, "sara", "laptop", "Frozen");
  await send(page, "sara", "The plumber is here");
  await said(page, "The plumber is here", "phone", /^held: Sara is active on her laptop$/).waitFor();
  await pushes(page, "sara", "phone", "The plumber is here").waitFor();
  await said(page, "The plumber is here", "phone", /^pushed: not read on her laptop$/).waitFor();
});

test("a desk that was left: the laptop shows it, and the phone's push leaves when nobody touches the laptop", async () => {
  const page = await openStage();
  await page.getByRole("button", { name: "The desk that was left" }).click();
  const text = "The taxi is at the door";
  await inbox(page, "sara", "laptop", text).waitFor();
  await said(page, text, "phone", /^held: Sara is active on her laptop$/).waitFor();
  await said(page, text, "phone", /^held: shown on her laptop, where nobody is: waits for a touch$/).waitFor();
  expect(await pushes(page, "sara", "phone").count()).toBe(0);
  await pushes(page, "sara", "phone", text).waitFor();
  await said(page, text, "phone", /^pushed: no input for 12 s on her laptop$/).waitFor();
});

test("a desk that was left and is come back to: the phone stays quiet", async () => {
  const page = await openStage();
  await page.getByRole("button", { name: "The desk that was left" }).click();
  const text = "The taxi is at the door";
  await inbox(page, "sara", "laptop", text).waitFor();
  await said(page, text, "phone", /^held/).waitFor();
  await turn(page, "sara", "laptop", "Open");
  await said(page, text, "phone", /^dropped: dealt with on her laptop/).waitFor();
  expect(await pushes(page, "sara", "phone").count()).toBe(0);
});

test("news reaches everybody who is there", async () => {
  const page = await openStage();
  await send(page, "*", "The library is open");
  for (const [person, kind] of everybody) await inbox(page, person, kind, "The library is open").waitFor();
  await story(page, "The library is open").locator(".said", { hasText: /^delivered to 4 devices$/ }).waitFor();
});

test("a message that can wait is pushed together with the next one", async () => {
  const page = await openStage();
  await turn(page, "reza", "phone", "Closed");
  await state(page, "reza", "phone", "disconnected.away");
  await page.getByLabel("low urgency").check();
  await send(page, "reza", "A new recipe");
  await said(page, "A new recipe", "phone", /^can wait: a push goes out within 10 s$/).waitFor();
  await send(page, "reza", "And another");
  await pushes(page, "reza", "phone").getByText("stands for 2 messages").waitFor();
  expect(await pushes(page, "reza", "phone").count()).toBe(1);
});

test("a click on a message tells its whole story", async () => {
  const page = await openStage();
  await turn(page, "sara", "phone", "Background");
  await state(page, "sara", "phone", "backgrounded");
  await send(page, "sara", "Where are the keys?");
  await said(page, "Where are the keys?", "phone", /^(no push|dropped)/).waitFor();
  await story(page, "Where are the keys?").getByRole("button").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Sara’s laptop", exact: true }).waitFor();
  await dialog.getByText("Connected and well: by socket, and by push if not seen within 3 s.").waitFor();
  await dialog.getByRole("heading", { name: "Sara’s phone", exact: true }).waitFor();
  await dialog.getByText("In the background: by socket, and by push at once.").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
});

test("an open story goes on", async () => {
  const page = await openStage();
  await turn(page, "reza", "phone", "Frozen");
  await send(page, "reza", "Do you see this?");
  await story(page, "Do you see this?").getByRole("button").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("sent by socket", { exact: true }).waitFor();
  await dialog.getByText("pushed: not seen within 3 s").waitFor();
});

test("a scenario sets the devices and sends the message with one click", async () => {
  const page = await openStage();
  await page.getByRole("button", { name: "Reza’s phone freezes" }).click();
  await pushes(page, "reza", "phone", "The train leaves at six, platform 4").waitFor();
});

test("after a reload nothing comes twice", async () => {
  const page = await openStage();
  await send(page, "reza", "Only once");
  await said(page, "Only once", "phone", /^delivered in/).waitFor();
  await page.reload();
  await everybodyThere(page);
  await send(page, "reza", "After the reload");
  await inbox(page, "reza", "phone", "After the reload").waitFor();
  expect(await inbox(page, "reza", "phone", "Only once").count()).toBe(1);
  expect(await story(page, "Only once").count()).toBe(1);
});

test("a second tab offers to take the play over, and does", async () => {
  const first = await openStage();
  const second = await context!.newPage();
  await second.goto(url);
  await second.getByRole("button", { name: "Move it here" }).click();
  await everybodyThere(second);
  await first.getByRole("button", { name: "Move it here" }).waitFor();
  await send(second, "mina", "Over here");
  await inbox(second, "mina", "tablet", "Over here").waitFor();
});

test("two tabs of one person share one connection, and the second takes over when the first is closed", async () => {
  context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  const [first, second] = [await openTab("mina"), await openTab("mina")];
  expect([first.sockets, second.sockets]).toEqual([1, 0]);
  const publisher = await openTab("reza");

  await publisher.say("mina", "To both tabs");
  for (const { page } of [first, second]) await page.locator("#inbox .bubble", { hasText: "To both tabs" }).waitFor();

  await first.page.close();
  await publisher.say("mina", "To the one that is left");
  await second.page.locator("#inbox .bubble", { hasText: "To the one that is left" }).waitFor();
  expect(second.sockets).toBe(1);
  expect(await second.page.locator("#inbox .bubble").count()).toBe(2);
});

test.each([
  ["nobody of that name", "/api/messages", { to: "nobody", content: "hi" }, 400, "no-such-person"],
  ["no text", "/api/messages", { to: "sara", content: " " }, 400, "bad-field"],
  ["a channel that is no name", "/api/messages", { to: "sara", channel: "a/b", content: "hi" }, 400, "bad-name"],
  ["an unknown urgency", "/api/messages", { to: "sara", content: "hi", urgency: "now" }, 400, "bad-field"],
  ["no object", "/api/messages", [1], 400, "not-json"],
  ["too much", "/api/messages", { to: "sara", content: "x".repeat(100_000) }, 413, "too-large"],
  ["no line to cut", "/api/cut", {}, 400, "bad-field"],
  ["an unknown address", "/api/nothing", {}, 405, "method-not-allowed"],
  ["a push that nobody signed", "/push", { userId: "sara" }, 401, "unsigned"],
])("%s is refused with an error in JSON", async (_what, path, body, status, code) => {
  const response = await post(path, JSON.stringify(body));
  expect([response.status, (await response.json()).error.code]).toEqual([status, code]);
});

test("what is no JSON, or an unknown message, is refused with an error in JSON", async () => {
  const noJson = await post("/api/messages", "{");
  expect([noJson.status, (await noJson.json()).error.code]).toEqual([400, "not-json"]);
  const form = await fetch(`${url}/api/messages`, { method: "POST", body: "to=sara" });
  expect([form.status, (await form.json()).error.code]).toEqual([415, "not-json"]);
  const unknown = "/api/explanation?topic=sara%2Fdefault&epoch=1&offset=999999";
  for (const path of ["/api/messages/unknown", "/api/messages/%ff", "/nothing", unknown]) {
    const response = await fetch(url + path);
    expect([response.status, (await response.json()).error.code]).toEqual([404, "not-found"]);
  }
});

test("a PORT that is none is told in one line", async () => {
  const { child, said } = startDemo("http");
  const [code] = await once(child, "close");
  expect([code, said()]).toEqual([1, 'PORT: "http" is no port. A number from 0 (any free one) to 65535.\n']);
});

test.runIf(process.env["PEYK_SCREENSHOT"])("the picture for the README", async () => {
  const page = await openStage({ width: 1280, height: 800 });
  const scenario = (name: string) => page.getByRole("button", { name });
  await scenario("News for everyone").click();
  await story(page, "The library stays open until ten").getByText("delivered to 3 devices").waitFor();
  await scenario("Sara reads on the laptop").click();
  await said(page, "Lunch moved", "phone", /^(no push|dropped)/).waitFor();
  await scenario("The desk that was left").click();
  await pushes(page, "sara", "phone", "The taxi is at the door").waitFor();
  await scenario("Reza’s phone freezes").click();
  await pushes(page, "reza", "phone", "The train leaves at six").waitFor();
  await scenario("Mina goes through a tunnel").click();
  await said(page, "Call me when", "tablet", /^waits/).waitFor();
  await page.mouse.move(640, 790);
  await page.screenshot({ path: join(root, "examples/demo/screenshot.png"), animations: "disabled" });
});

/** @returns also what it said on stderr so far */
function startDemo(port: string) {
  const demo = join(root, "examples/demo/server.ts");
  const child = spawn(process.execPath, ["--conditions=peyk-source", "--disable-warning=ExperimentalWarning", demo], {
    cwd: folder,
    env: { ...process.env, PORT: port },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => said += text);
  return { child, said: () => said };
}

const everybody = [["sara", "laptop"], ["sara", "phone"], ["reza", "phone"], ["mina", "tablet"]] as const;

/** The demo's page in a browser profile of its own, with everybody connected. */
async function openStage(viewport = { width: 1280, height: 900 }): Promise<Page> {
  context = await browser.newContext({ viewport });
  context.setDefaultTimeout(PATIENCE_MS);
  context.on("weberror", (event) => uncaught.push(event.error()));
  context.on("console", (said) => said.type() === "error" && uncaught.push(new Error(said.text())));
  const page = await context.newPage();
  await page.goto(url);
  await everybodyThere(page);
  return page;
}

async function everybodyThere(page: Page): Promise<void> {
  for (const [person, kind] of everybody) await state(page, person, kind, "connected.live");
}

/** An ordinary app tab of somebody. */
async function openTab(person: string) {
  const page = await context!.newPage();
  const tab = {
    page,
    sockets: 0,
    async say(to: string, content: string): Promise<void> {
      await page.locator("#reply select").selectOption(to);
      await page.locator("#reply input").fill(content);
      await page.getByRole("button", { name: "Send" }).click();
    },
  };
  page.on("websocket", () => tab.sockets++);
  await page.goto(`${url}/?solo=${person}`);
  await page.locator("#status[data-status=connected]").waitFor();
  return tab;
}

function device(page: Page, person: string, kind: string): Locator {
  return page.locator(`[data-person=${person}] .device[data-kind=${kind}]`);
}

function state(page: Page, person: string, kind: string, name: string): Promise<void> {
  return page.locator(`[data-person=${person}] .device[data-kind=${kind}][data-state="${name}"]`).waitFor();
}

async function turn(page: Page, person: string, kind: string, name: string): Promise<void> {
  await device(page, person, kind).getByRole("button", { name, exact: true }).click();
}

async function send(page: Page, to: string, content: string): Promise<void> {
  await page.locator(`.to label:has([value="${to}"])`).click();
  await page.getByLabel("Message", { exact: true }).fill(content);
  await page.getByRole("button", { name: "Send" }).click();
}

function inbox(page: Page, person: string, kind: string, content: string): Locator {
  return device(page, person, kind).locator(".app .bubble", { hasText: content });
}

function pushes(page: Page, person: string, kind: string, content = ""): Locator {
  return device(page, person, kind).locator(".push", { hasText: content });
}

function story(page: Page, content: string): Locator {
  return page.locator(".story", { hasText: content });
}

function said(page: Page, content: string, who: string, text: RegExp): Locator {
  const line = story(page, content).locator(".line").filter({ has: page.getByText(who, { exact: true }) });
  return line.locator(".said", { hasText: text });
}

function post(path: string, body: string): Promise<Response> {
  return fetch(url + path, { method: "POST", headers: { "content-type": "application/json" }, body });
}
