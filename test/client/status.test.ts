import { expect, test } from "vitest";
import { connectIn, type PeykClient } from "../../src/client/client.ts";
import type { Locks } from "../../src/client/environment.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import type { ErrorFrame } from "../../src/protocol/frames.ts";
import { Browser, statusOf } from "./fake_browser.ts";
import { at, quiet, World } from "./fake_server.ts";

/** The waits that a client tells, and why. */
function waits(world: World, client: PeykClient): { ms: number; reason: string; hint: string | undefined }[] {
  const all: { ms: number; reason: string; hint: string | undefined }[] = [];
  client.onStatus((status) => {
    if (status.state !== "waiting") return;
    all.push({ ms: status.retryAt - world.time.now(), reason: status.reason, hint: status.hint });
  });
  return all;
}

const expired: ErrorFrame = {
  type: "error",
  ref: null,
  code: "expired",
  retryable: true,
  retryAfterMs: null,
  hint: "Come back with a fresh token.",
};

/** Says hello, and is told that the token has expired. */
async function refuseExpired(world: World): Promise<void> {
  await world.socket.open();
  await world.socket.say(expired);
  await world.socket.end(CloseCode.expired);
}

test("a socket that never opened was unreachable, one that ended without a word was lost", async () => {
  const world = new World();
  const client = world.connect();
  const told = waits(world, client);
  await quiet();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.open();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.welcome();
  await world.socket.end(1001);
  expect(told.map(({ reason }) => reason)).toEqual(["unreachable", "lost", "lost"]);
  expect(told.map(({ hint }) => hint?.includes("the server's log"))).toEqual([true, undefined, undefined]);
  await client.close();
});

test.each(["NetworkError: failed to connect to WebSocket: Invalid status code: 404", "Unexpected server response: 404"])(
  "an upgrade refused with a status that the runtime tells of was refused, with the status: %s",
  async (message) => {
    const world = new World();
    const client = world.connect();
    const told = waits(world, client);
    await quiet();
    world.socket.onerror!({ message } as never);
    await world.socket.end(1006);
    expect(told).toMatchObject([{ reason: "refused", hint: expect.stringContaining("HTTP 404") }]);
    // The next try stands for itself.
    await world.time.pass(1_000);
    await world.socket.end(1006);
    expect(told[1]).toMatchObject({ reason: "unreachable", hint: expect.not.stringContaining("404") });
    await client.close();
  },
);

test.each([undefined, "", "connect ECONNREFUSED 127.0.0.1:443", "connect ECONNREFUSED ::1:443"])(
  "an error that names no status refuses nothing: %j",
  async (message) => {
    const world = new World();
    const client = world.connect();
    const told = waits(world, client);
    await quiet();
    world.socket.onerror!({ message } as never);
    await world.socket.end(1006);
    expect(told).toMatchObject([{ reason: "unreachable" }]);
    await client.close();
  },
);

test.each(["token", "unreachable", "helloTimeout"] as const)(
  "a try that is given up after 20 s says where it stood: %s",
  async (reason) => {
    const world = new World();
    const client = world.connect(reason === "token" ? { token: () => new Promise<string>(() => {}) } : {});
    const told = waits(world, client);
    await quiet();
    if (reason === "helloTimeout") await world.socket.open();
    await world.time.pass(20_000);
    expect(told.map((wait) => wait.reason)).toEqual([reason]);
    await client.close();
  },
);

test("bytes that are no frames are told as protocol, with a hint", async () => {
  const world = new World();
  const client = await world.connected();
  const told = waits(world, client);
  world.socket.raw(new Uint8Array([0xc1]));
  expect(told).toMatchObject([{ reason: "protocol", hint: expect.stringContaining("not a frame") }]);
  await client.close();
});

test("where there never was a welcome, tries become as rare as one in 5 minutes", async () => {
  const world = new World();
  world.time.chance = 1;
  const client = world.connect();
  const told = waits(world, client);
  for (let i = 0; i < 13; i++) {
    await quiet();
    await world.socket.end(1006);
    await world.time.pass(told.at(-1)!.ms);
  }
  expect(told.slice(6).map(({ ms }) => ms)).toEqual([16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]);
  await client.close();
});

test("a token that is a text and has run out is said again, slower and slower, and the status says that it has expired", async () => {
  const world = new World();
  world.time.chance = 1;
  const client = await world.connected([at("sara/default", 0)], { token: "my-token" });
  await world.time.pass(10_000);
  const told = waits(world, client);
  await world.socket.say(expired);
  await world.socket.end(CloseCode.expired);
  for (let i = 0; i < 12; i++) {
    await world.time.pass(told.at(-1)!.ms);
    await refuseExpired(world);
  }
  expect(told.map(({ reason }) => reason)).toEqual(Array(13).fill("expired"));
  expect(told.map(({ ms }) => ms)).toEqual([
    ...[250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000],
    ...[300_000, 300_000],
  ]);
  expect(told.at(-1)!.hint).toBe("Come back with a fresh token.");
  // The server takes it again: from then on a lost connection is what it always was.
  await world.time.pass(300_000);
  await world.socket.welcome();
  await world.time.pass(5_000);
  for (let i = 0; i < 9; i++) {
    await world.socket.end(1006);
    await world.time.pass(told.at(-1)!.ms);
  }
  expect(told.at(-1)!.ms).toBe(30_000);
  await client.close();
});

test("a token that ran out on a good connection says nothing against the next one: the backoff stays below 30 s", async () => {
  const world = new World();
  world.time.chance = 1;
  const client = await world.connected();
  const told = waits(world, client);
  await world.socket.end(CloseCode.expired);
  for (let i = 0; i < 9; i++) {
    await world.time.pass(told.at(-1)!.ms);
    await world.socket.end(1006);
  }
  expect(told.at(-1)!.ms).toBe(30_000);
  await client.close();
});

test("the person's return tries at once, however long the wait", async () => {
  const browser = new Browser();
  const { world } = browser;
  world.time.chance = 1;
  const tab = browser.tab();
  const client = connectIn(tab.environment, "ws://engine.test/peyk", { account: "home" });
  const told = waits(world, client);
  for (let i = 0; i < 12; i++) {
    await quiet();
    await world.socket.end(1006);
    if (i < 11) await world.time.pass(told.at(-1)!.ms);
  }
  const tries = world.sockets.length;
  tab.page.happens("online");
  await quiet();
  expect(world.sockets).toHaveLength(tries + 1);
  await world.socket.end(1006);
  expect(told.at(-1)!.ms).toBe(250);
  await client.close();
});

async function twoTabs() {
  const browser = new Browser();
  const tabs = [browser.tab(), browser.tab()] as const;
  const [leader, follower] = tabs.map((tab) => connectIn(tab.environment, "ws://engine.test/peyk", { account: "home" })) as [
    PeykClient,
    PeykClient,
  ];
  await quiet();
  await browser.world.socket.welcome([at("sara/default", 0)]);
  return { browser, world: browser.world, tabs, leader, follower };
}

test.each(["closes", "is put aside"])(
  "when the tab that held the connection %s, no tab says connected, also when the next in turn sleeps",
  async (how) => {
    const browser = new Browser();
    const tabs = [browser.tab(), browser.tab(), browser.tab()] as const;
    const leader = connectIn(tabs[0].environment, "ws://engine.test/peyk", { account: "home" });
    await quiet();
    await browser.world.socket.welcome([at("sara/default", 0)]);
    let asleep = false;
    const { locks } = tabs[1].environment;
    const sleepy: Locks = {
      // It gets its lock, and nothing follows.
      request: (name, options, held) => locks!.request(name, options, () => asleep ? new Promise(() => {}) : held()),
      query: () => locks!.query(),
    };
    const sleeper = connectIn({ ...tabs[1].environment, locks: sleepy }, "ws://engine.test/peyk", { account: "home" });
    const third = connectIn(tabs[2].environment, "ws://engine.test/peyk", { account: "home" });
    await quiet();
    asleep = true;
    if (how === "closes") await leader.close();
    else tabs[0].page.happens("pagehide", { persisted: true });
    await quiet();
    expect(browser.world.sockets).toHaveLength(1);
    expect(statusOf(third)).toEqual({ state: "connecting" });
    if (how === "is put aside") expect(statusOf(leader)).toEqual({ state: "connecting" });
    await Promise.all([leader, sleeper, third].map((client) => client.close()));
  },
);

test("a tab is told each status once, however often it asks", async () => {
  const { browser, world, leader, follower } = await twoTabs();
  const late = connectIn(browser.tab().environment, "ws://engine.test/peyk", { account: "home" });
  const told: string[] = [];
  late.onStatus(({ state }) => void told.push(state));
  await quiet();
  await world.again([at("sara/default", 0)]);
  expect(told).toEqual(["connecting", "connected", "waiting", "connecting", "connected"]);
  await Promise.all([leader, follower, late].map((client) => client.close()));
});

test("what a tab that held the connection said last and comes too late does not stay", async () => {
  const { browser, world, leader, follower } = await twoTabs();
  const third = connectIn(browser.tab().environment, "ws://engine.test/peyk", { account: "home" });
  await quiet();
  browser.hops = 400; // The last words of the first tab are under way for long.
  const closing = leader.close();
  browser.hops = 1;
  await closing;
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  expect(statusOf(third)).toMatchObject({ state: "connected" });
  for (let i = 0; i < 10; i++) await quiet();
  expect(statusOf(third)).toMatchObject({ state: "connected" });
  await Promise.all([follower, third].map((client) => client.close()));
});
