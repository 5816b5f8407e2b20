import { expect, test } from "vitest";
import { connectIn, type PeykClient } from "../../src/client/client.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { Browser, reading, statusOf, type Tab } from "./fake_browser.ts";
import { at, entry, quiet } from "./fake_server.ts";

const cursor = (offset: number) => ({ topic: "sara/default", epoch: 7, offset });

async function open(tab: Tab): Promise<PeykClient> {
  const client = connectIn(tab.environment, "ws://engine.test/peyk", { account: "home" });
  await quiet();
  return client;
}

/** Two tabs, the first of which holds the connection. */
async function twoTabs() {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.tab(), browser.tab()] as const;
  const leader = await open(tabs[0]);
  const follower = await open(tabs[1]);
  await world.socket.welcome([at("sara/default", 0)]);
  world.socket.take("hello");
  return { browser, world, tabs, leader, follower };
}

test("tabs of one installation share one connection, and each knows its status", async () => {
  const { browser, world, leader, follower } = await twoTabs();
  const late = await open(browser.tab());
  expect(world.sockets).toHaveLength(1);
  for (const client of [leader, follower, late]) expect(statusOf(client)).toEqual({ state: "connected", userId: "sara" });
  await Promise.all([leader, follower, late].map((client) => client.close()));
  for (const client of [leader, follower, late]) client.setActivity({ visible: false }); // Too late, and no error.
  expect(world.time.pending).toBe(0);
});

test("another deviceId is another installation with a connection of its own", async () => {
  const browser = new Browser();
  const one = connectIn(browser.tab().environment, "ws://engine.test/peyk", { deviceId: "a" });
  const two = connectIn(browser.tab().environment, "ws://engine.test/peyk", { deviceId: "b" });
  await quiet();
  expect(browser.world.sockets).toHaveLength(2);
  await Promise.all([one.close(), two.close()]);
});

test("every tab's handlers get each message once, and the device acks it once", async () => {
  const { world, leader, follower } = await twoTabs();
  const got = [reading(leader), reading(follower)];
  await world.socket.say(entry(1));
  await world.time.pass(250);
  expect(got).toEqual([["1"], ["1"]]);
  expect(world.socket.take("ack").flatMap(({ cursors }) => cursors)).toEqual([cursor(1)]);
  await Promise.all([leader.close(), follower.close()]);
});

test("a tab without a handler holds nothing up: the one that has one acks", async () => {
  const { world, leader, follower } = await twoTabs();
  await world.socket.say(entry(1));
  world.socket.take("ack");
  const got = reading(follower);
  await quiet();
  await world.time.pass(250);
  expect(got).toEqual(["1"]);
  expect(world.socket.one("ack").cursors).toEqual([cursor(1)]);
  await Promise.all([leader.close(), follower.close()]);
});

test("a tab opened later gets what nobody is done with, and nothing that is acked", async () => {
  const { browser, world, leader, follower } = await twoTabs();
  reading(leader);
  await world.socket.say(entry(1));
  leader.onMessage(() => new Promise<void>(() => {}));
  await world.socket.say(entry(2));
  const late = await open(browser.tab());
  const got = reading(late);
  await quiet();
  expect(got).toEqual(["2"]);
  await Promise.all([leader.close(), follower.close(), late.close()]);
});

test("a follower's publish goes through the leader's connection and its receipt comes back to it alone", async () => {
  const { world, leader, follower } = await twoTabs();
  const mine = leader.publish({ to: "omid", id: "from-leader" });
  const theirs = follower.publish({ to: "omid", id: "from-follower", content: "hi" });
  await quiet();
  for (const { ref, id, topic } of world.socket.take("publish").reverse()) {
    await world.socket.say({ type: "ok", ref, value: { id, topic, epoch: 1, offset: 1, durable: true, duplicate: false } });
  }
  expect([(await mine).id, (await theirs).id]).toEqual(["from-leader", "from-follower"]);
  await Promise.all([leader.close(), follower.close()]);
});

test.each(["closes", "crashes"])(
  "when the leader %s, another tab takes over: nothing is lost, nothing shown twice",
  async (how) => {
    const { world, tabs, leader, follower } = await twoTabs();
    const got = [reading(leader), reading(follower)];
    await world.socket.say(entry(1));
    const publish = follower.publish({ to: "omid", id: "kept" });
    await quiet();
    const first = world.socket;
    if (how === "closes") await leader.close();
    else tabs[0].kill();
    await quiet();
    // Not 1000: the person is not gone.
    if (how === "closes") expect(first.closedWith).toBe(CloseCode.drain);
    expect(world.sockets).toHaveLength(2);
    // A crash may have cost the last cursor: the engine sends from the beginning.
    await world.socket.welcome([at("sara/default", 0)]);
    await world.socket.say(entry(1));
    await world.time.pass(250);
    expect(world.socket.take("ack").at(-1)!.cursors).toEqual([cursor(1)]);
    await world.socket.say(entry(2));
    expect(got).toEqual([["1"], ["1", "2"]]);
    await world.time.pass(250);
    expect(world.socket.take("ack").at(-1)!.cursors).toEqual([cursor(2)]);
    const { ref, id, topic } = world.socket.one("publish");
    await world.socket.say({ type: "ok", ref, value: { id, topic, epoch: 1, offset: 1, durable: true, duplicate: true } });
    expect((await publish).id).toBe("kept");
    await follower.close();
    expect(world.socket.closedWith).toBe(CloseCode.normal);
  },
);

test("a message whose handler still runs in another tab when the leader goes is not handled there again", async () => {
  const { world, leader, follower } = await twoTabs();
  let calls = 0;
  let finish = () => {};
  follower.onMessage(() => (calls++, new Promise<void>((resolve) => finish = resolve)));
  await quiet();
  await world.socket.say(entry(1));
  await leader.close();
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  await world.socket.say(entry(1));
  finish();
  await world.time.pass(250);
  expect(calls).toBe(1);
  expect(world.socket.take("ack").at(-1)!.cursors).toEqual([cursor(1)]);
  await follower.close();
});

test("the device is visible while any tab is, and its last input is the last one of all tabs", async () => {
  const { world, tabs, leader, follower } = await twoTabs();
  const said = () => world.socket.take("state").map(({ visible, idleMs }) => [visible, idleMs]);
  const idle = async () => {
    await world.socket.say({ type: "ping" });
    return world.socket.one("ack").idleMs;
  };
  tabs[0].page.show("hidden");
  await quiet();
  expect(said()).toEqual([]);
  tabs[1].page.happens("keydown");
  await quiet();
  expect(said()).toEqual([[true, 0]]);
  await world.time.pass(10_000);
  expect(await idle()).toBe(10_000);
  tabs[0].page.happens("keydown");
  await world.time.pass(5_000);
  expect(await idle()).toBe(5_000);
  tabs[1].page.show("hidden");
  await quiet();
  expect(said()).toEqual([[false, 5_000]]);
  await Promise.all([leader.close(), follower.close()]);
});

test("a tab that learns of a new leader tells how long ago its last input was, on its own clock", async () => {
  const { world, tabs, leader, follower } = await twoTabs();
  tabs[1].page.happens("keydown");
  await quiet();
  await world.time.pass(7_000);
  await leader.close();
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  expect(world.socket.one("hello").idleMs).toBe(7_000);
  await follower.close();
});

test.each(["closes", "crashes"])("the last input of a tab that %s still counts", async (how) => {
  const { world, tabs, leader, follower } = await twoTabs();
  tabs[0].page.happens("keydown");
  await world.time.pass(4_000);
  tabs[1].page.happens("keydown");
  await world.time.pass(3_000);
  if (how === "closes") await follower.close();
  else tabs[1].kill();
  await quiet();
  await world.socket.say({ type: "ping" });
  expect(world.socket.one("ack").idleMs).toBe(3_000);
  await leader.close();
});

test("a tab whose app says that nobody is there says nothing for the others", async () => {
  const { world, tabs, leader, follower } = await twoTabs();
  tabs[0].page.happens("keydown");
  await world.time.pass(2_000);
  follower.setActivity({ attended: true });
  await quiet();
  follower.setActivity({ attended: false });
  await quiet();
  await world.socket.say({ type: "ping" });
  expect(world.socket.one("ack").idleMs).toBe(2_000);
  leader.setActivity({ attended: false });
  expect(world.socket.take("state").at(-1)!.idleMs).toBeNull();
  await Promise.all([leader.close(), follower.close()]);
});

test("what a follower's handlers are done with is acked before it is hidden", async () => {
  const { world, tabs, leader, follower } = await twoTabs();
  reading(follower);
  tabs[0].page.show("hidden");
  await quiet();
  await world.socket.say(entry(1));
  await world.socket.say(entry(2));
  world.socket.received = [];
  tabs[1].page.show("hidden");
  await quiet();
  expect(world.socket.received).toMatchObject([{ type: "ack", seen: 2, cursors: [cursor(2)] }, {
    type: "state",
    visible: false,
  }]);
  await Promise.all([leader.close(), follower.close()]);
});

test.each(["closes", "crashes"])("a visible tab that %s no longer counts", async (how) => {
  const { world, tabs, leader, follower } = await twoTabs();
  tabs[0].page.show("hidden");
  await quiet();
  if (how === "closes") await follower.close();
  else tabs[1].kill();
  await quiet();
  expect(world.socket.one("state")).toMatchObject({ visible: false, idleMs: null });
  await leader.close();
});

test("what ends the client for good ends it in every tab, and no tab takes over", async () => {
  const { world, leader, follower } = await twoTabs();
  await world.socket.end(CloseCode.replaced);
  await world.time.pass(100_000);
  for (const client of [leader, follower]) expect(statusOf(client)).toEqual({ state: "closed", reason: "replaced" });
  expect([world.sockets.length, world.time.pending]).toEqual([1, 0]);
});

test("a sign-out reaches a tab that took over before it heard of it", async () => {
  const { browser, world, leader, follower } = await twoTabs();
  browser.hops = 40;
  await world.socket.end(CloseCode.signedOut);
  await quiet();
  await world.time.pass(100_000);
  for (const client of [leader, follower]) expect(statusOf(client)).toEqual({ state: "closed", reason: "signedOut" });
  expect(world.time.pending).toBe(0);
});

test("a new leader learns of all other tabs, and when they are gone", async () => {
  const { browser, world, tabs, leader, follower } = await twoTabs();
  const third = browser.tab();
  await open(third);
  tabs[1].page.show("hidden");
  await leader.close();
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  expect(world.socket.one("hello").visible).toBe(true);
  third.kill();
  await quiet();
  expect(world.socket.one("state").visible).toBe(false);
  await follower.close();
});

test("a tab that hears of the same connection twice does not repeat its requests", async () => {
  const { browser, world, leader, follower } = await twoTabs();
  const third = await open(browser.tab());
  await world.socket.end(1006);
  const publish = third.publish({ to: "omid" }).catch(() => {});
  browser.hops = 100;
  await leader.close();
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]); // Before the third tab's introduction is there.
  for (let i = 0; i < 10; i++) await quiet();
  expect(world.socket.take("publish")).toHaveLength(1);
  await Promise.all([follower.close(), third.close(), publish]);
});

test("logout in one tab signs all of them out", async () => {
  const { world, leader, follower } = await twoTabs();
  const logout = follower.logout();
  await quiet();
  await world.socket.say({ type: "ok", ref: world.socket.one("logout").ref, value: null });
  await logout;
  await world.time.pass(100_000);
  for (const client of [leader, follower]) expect(statusOf(client)).toEqual({ state: "closed", reason: "signedOut" });
  expect([world.sockets.length, world.time.pending]).toEqual([1, 0]);
});

test("a page that is put aside leaves the connection to another tab, and joins it when it comes back", async () => {
  const { world, tabs, leader, follower } = await twoTabs();
  const got = [reading(leader), reading(follower)];
  tabs[0].page.happens("pagehide", { persisted: true });
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  await world.socket.say(entry(1));
  tabs[0].page.happens("pageshow", { persisted: true });
  await quiet();
  await world.socket.say(entry(2));
  expect(got).toEqual([["2"], ["1", "2"]]);
  expect(world.sockets).toHaveLength(2);
  await Promise.all([leader.close(), follower.close()]);
});

test("a tab that falls 2,100 messages behind the others skips some, and says so", async () => {
  const { world, leader, follower } = await twoTabs();
  reading(leader);
  const gaps: unknown[] = [];
  follower.onGap((gap) => void gaps.push(gap));
  follower.onMessage(() => new Promise<void>(() => {}));
  await quiet();
  for (let from = 1; from <= 2_101; from += 500) {
    await world.socket.say(...Array.from({ length: Math.min(500, 2_102 - from) }, (_, i) => entry(from + i)));
  }
  expect(gaps).toEqual([{ topic: "sara/default", position: { epoch: 7, offset: 2 } }]);
  await Promise.all([leader.close(), follower.close()]);
});

test("followers and the leader never tell each other the deviceId or the token", async () => {
  const browser = new Browser();
  const posted: string[] = [];
  const tab = browser.tab();
  const Channel = tab.environment.BroadcastChannel!;
  const environment = {
    ...tab.environment,
    BroadcastChannel: class extends Channel {
      constructor(name: string) {
        super(name);
        posted.push(name);
      }
      override postMessage(message: unknown) {
        posted.push(JSON.stringify(message));
        super.postMessage(message);
      }
    },
  };
  const client = connectIn(environment, "ws://engine.test/peyk", { deviceId: "my-device", token: "my-token" });
  await quiet();
  await browser.world.socket.welcome([at("sara/default", 0)]);
  await browser.world.socket.say(entry(1));
  expect(posted.length).toBeGreaterThan(2);
  expect(posted.join()).not.toMatch(/my-device|my-token/);
  await client.close();
});

test("what waits in another tab's handler alone is told, and room that it makes", async () => {
  const { world, leader, follower } = await twoTabs();
  const first = Promise.withResolvers<void>();
  follower.onMessage(() => first.promise);
  await quiet();
  await world.socket.say(...Array.from({ length: 100 }, (_, i) => entry(i + 1)));
  expect(world.socket.one("ack")).toMatchObject({ seen: 100, waiting: 100 });
  first.resolve();
  for (let i = 0; i < 20; i++) await quiet();
  await world.time.pass(250);
  expect(world.socket.take("ack").at(-1)).toMatchObject({ seen: 100, waiting: 0 });
  await Promise.all([leader.close(), follower.close()]);
});

test("a tab that is 2,000 messages behind the others loses none of them", async () => {
  const { world, leader, follower } = await twoTabs();
  reading(leader);
  const gaps: unknown[] = [];
  follower.onGap((gap) => void gaps.push(gap));
  const got: (string | undefined)[] = [];
  const first = Promise.withResolvers<void>();
  follower.onMessage(({ content }) => (got.push(content), first.promise));
  await quiet();
  for (let from = 1; from <= 2_000; from += 500) {
    await world.socket.say(...Array.from({ length: 500 }, (_, i) => entry(from + i)));
  }
  first.resolve();
  for (let i = 0; i < 200; i++) await quiet();
  expect(got).toEqual(Array.from({ length: 2_000 }, (_, i) => `${i + 1}`));
  expect(gaps).toEqual([]);
  await Promise.all([leader.close(), follower.close()]);
});
