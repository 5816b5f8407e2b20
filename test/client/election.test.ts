import { expect, test } from "vitest";
import { connectIn, type PeykClient } from "../../src/client/client.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { Browser, reading, statusOf, type Tab } from "./fake_browser.ts";
import { at, entry, quiet } from "./fake_server.ts";

const ME = { state: "connected", userId: "sara" };

async function open(tab: Tab): Promise<PeykClient> {
  const client = connectIn(tab.environment, "ws://engine.test/peyk", { account: "home" });
  await quiet();
  return client;
}

async function openTabs(count: number) {
  const browser = new Browser();
  const { world } = browser;
  const tabs = Array.from({ length: count }, () => browser.tab());
  const clients: PeykClient[] = [];
  for (const tab of tabs) clients.push(await open(tab));
  await world.socket.welcome([at("sara/default", 0)]);
  world.socket.take("hello");
  const closeAll = () => Promise.all(clients.map((client) => client.close()));
  return { browser, world, tabs, clients, closeAll };
}

/** Time passes, and the connection lives. */
async function pass({ time, socket }: Browser["world"], ms: number): Promise<void> {
  for (; ms > 0; ms -= 20_000) {
    await time.pass(Math.min(ms, 20_000));
    if (socket.closedWith === undefined) await socket.say({ type: "ping" });
  }
}

test("a leader that lives keeps the lead, whoever is visible and however long it takes", async () => {
  const { world, tabs, closeAll } = await openTabs(3);
  await pass(world, 300_000);
  tabs[0]!.page.show("hidden");
  tabs[2]!.page.show("hidden");
  await pass(world, 300_000);
  expect(world.sockets).toHaveLength(1);
  await closeAll();
  expect(world.time.pending).toBe(0);
});

test("when the leader stands still, a visible tab has taken over after 5 s, and the former one follows when it goes on", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(3);
  const [first, second] = [clients[0]!, clients[1]!];
  const got = clients.map((client) => reading(client));
  await world.socket.say(entry(1));
  const former = world.socket;
  tabs[0]!.freeze();
  const publish = second.publish({ to: "omid", id: "meanwhile" });
  await world.time.pass(4_900);
  expect(world.sockets).toHaveLength(1);
  await world.time.pass(200);
  expect(world.sockets).toHaveLength(2);
  await world.socket.welcome([at("sara/default", 1)]);
  const { ref, id, topic } = world.socket.one("publish");
  await world.socket.say({
    type: "ok",
    ref,
    value: { id, topic, epoch: 1, offset: 1, durable: true, durability: "disk", duplicate: true },
  });
  expect((await publish).id).toBe("meanwhile");
  await world.socket.say(entry(2));
  expect(got.slice(1)).toEqual([["1", "2"], ["1", "2"]]);
  // It was replaced, and what it was sent before that is read now.
  await former.say(entry(2));
  await former.end(CloseCode.replaced);
  await tabs[0]!.thaw();
  await world.socket.say(entry(3));
  await pass(world, 60_000);
  expect(got).toEqual([["1", "2", "3"], ["1", "2", "3"], ["1", "2", "3"]].map((all) => all.slice()));
  expect(world.sockets).toHaveLength(2);
  for (const client of [first, second]) expect(statusOf(client)).toEqual(ME);
  await closeAll();
  expect(world.time.pending).toBe(0);
});

test("the former leader ends nobody when it hears that it was replaced before it hears that it lost the lead", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(2);
  const former = world.socket;
  tabs[0]!.freeze();
  await world.time.pass(5_100);
  await world.socket.welcome([at("sara/default", 0)]);
  // Its socket's end is read first.
  await former.end(CloseCode.replaced);
  await quiet();
  expect(clients.map(statusOf)[1]).toEqual(ME);
  await tabs[0]!.thaw();
  await pass(world, 20_000);
  expect(clients.map(statusOf)).toEqual([ME, ME]);
  expect(world.sockets).toHaveLength(2);
  await closeAll();
});

test("a former leader that hears the new one before it hears that it lost the lead misses nothing", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(2);
  const got = clients.map((client) => reading(client));
  tabs[0]!.freeze();
  await world.time.pass(5_100);
  await world.socket.welcome([at("sara/default", 0)]);
  await world.socket.say(entry(1));
  await tabs[0]!.thaw({ locksLast: true });
  await world.socket.say(entry(2));
  await pass(world, 20_000);
  expect(got).toEqual([["1", "2"], ["1", "2"]]);
  expect(clients.map(statusOf)).toEqual([ME, ME]);
  expect(world.sockets).toHaveLength(2);
  await closeAll();
  expect(world.time.pending).toBe(0);
});

test("a former leader that was replaced before it could ack goes on as a follower", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(2);
  const got = clients.map((client) => reading(client));
  const former = world.socket;
  await former.say(entry(1));
  await former.say(entry(2));
  tabs[0]!.freeze();
  await world.time.pass(5_100);
  await world.socket.welcome([at("sara/default", 2)]);
  await former.end(CloseCode.replaced);
  await tabs[0]!.thaw({ locksLast: true });
  await world.socket.say(entry(3));
  await pass(world, 20_000);
  expect(got).toEqual([["1", "2", "3"], ["1", "2", "3"]]);
  expect(clients.map(statusOf)).toEqual([ME, ME]);
  await closeAll();
});

test("a page that is frozen leaves the lead to another tab, hears it, and follows when it goes on", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(2);
  const got = clients.map((client) => reading(client));
  const [first, second] = [tabs[0]!.page.document, tabs[1]!.page.document];
  first.dispatchEvent(new Event("freeze"));
  await quiet();
  expect(world.sockets).toHaveLength(2);
  await world.socket.welcome([at("sara/default", 0)]);
  await world.socket.say(entry(1));
  // The other one's turn to be frozen: a page that is frozen does not lead.
  second.dispatchEvent(new Event("freeze"));
  await quiet();
  expect(world.sockets).toHaveLength(2);
  first.dispatchEvent(new Event("resume"));
  await quiet();
  expect(world.sockets).toHaveLength(3);
  await world.socket.welcome([at("sara/default", 1)]);
  second.dispatchEvent(new Event("resume"));
  await world.socket.say(entry(2));
  expect(got).toEqual([["1", "2"], ["1", "2"]]);
  expect(clients.map(statusOf)).toEqual([ME, ME]);
  expect(world.sockets).toHaveLength(3);
  await closeAll();
  expect(world.time.pending).toBe(0);
});

test("what a former leader writes late does not overwrite what the new one has stored", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(2);
  clients.forEach((client) => reading(client));
  const former = world.socket;
  tabs[0]!.freeze();
  // Read before it stood still, not written yet.
  await former.say(entry(1));
  await world.time.pass(5_100);
  await world.socket.welcome([at("sara/default", 0)]);
  await world.socket.say(entry(1), entry(2));
  await world.time.pass(300);
  const written = [...world.storage.rows.values()];
  expect(written.join()).toContain('["sara/default",7,2]');
  await tabs[0]!.thaw();
  await world.time.pass(1_000);
  expect([...world.storage.rows.values()]).toEqual(written);
  await closeAll();
});

test.each(["never heard of the former leader", "the storage was cleared"])(
  "a new leader's term is above the former one's, also when %s",
  async (how) => {
    const { browser, world, tabs, clients, closeAll } = await openTabs(2);
    const isNew = how.startsWith("never");
    if (isNew) {
      await clients.pop()!.close();
      await world.time.pass(300);
    } else world.storage.rows.clear();
    tabs[0]!.freeze();
    if (isNew) clients.push(await open(browser.tab()));
    await world.time.pass(5_100);
    await world.socket.welcome([at("sara/default", 0)]);
    expect([...world.storage.rows.values()]).toEqual([expect.stringMatching(/^\[2,2,/)]);
    await tabs[0]!.thaw();
    await world.time.pass(1_000);
    expect(clients.map(statusOf)).toEqual([ME, ME]);
    await closeAll();
  },
);

test("a tab that stood still itself does not take the lead away: it asks again", async () => {
  const { world, tabs, closeAll } = await openTabs(2);
  tabs[1]!.freeze();
  await pass(world, 60_000);
  await tabs[1]!.thaw();
  await pass(world, 60_000);
  expect(world.sockets).toHaveLength(1);
  await closeAll();
});

test("a tab that stood still for as long as a leader may be silent asks again, too", async () => {
  const { world, tabs, closeAll } = await openTabs(2);
  await world.time.pass(1_000);
  tabs[1]!.freeze();
  await world.time.pass(5_600);
  await tabs[1]!.thaw();
  await world.time.pass(100);
  expect(world.sockets).toHaveLength(1);
  await closeAll();
});

test("a machine that slept takes no lead away", async () => {
  const { world, closeAll } = await openTabs(2);
  world.time.sleep(3_600_000, false);
  await world.time.pass(2_500);
  await world.socket.say({ type: "ping" });
  await world.time.pass(2_500);
  expect(world.sockets).toHaveLength(1);
  await closeAll();
});

test("hidden tabs ask once a minute, and take over when nobody else does", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(3);
  for (const tab of tabs) tab.page.show("hidden");
  await pass(world, 60_000);
  tabs[0]!.freeze();
  const from = world.time.elapsed();
  while (world.sockets.length === 1) await world.time.pass(1_000);
  expect(world.time.elapsed() - from).toBeLessThanOrEqual(66_000);
  await world.socket.welcome([at("sara/default", 0)]);
  await quiet();
  expect(clients.slice(1).map(statusOf)).toEqual([ME, ME]);
  await tabs[0]!.thaw();
  await closeAll();
});

test("a hidden tab leaves it to a visible one; one that comes to the front asks at once", async () => {
  const { world, tabs, closeAll } = await openTabs(2);
  tabs[1]!.page.show("hidden");
  await pass(world, 10_000);
  tabs[0]!.freeze();
  await world.time.pass(20_000);
  expect(world.sockets).toHaveLength(1);
  tabs[1]!.page.show("visible");
  await world.time.pass(5_100);
  expect(world.sockets).toHaveLength(2);
  await tabs[0]!.thaw();
  await closeAll();
});

test.each([1, 400])("visible tabs do not take the lead from each other, when a note is under way for %i turns", async (hops) => {
  const { browser, world, tabs, closeAll } = await openTabs(5);
  browser.hops = hops;
  tabs[0]!.freeze();
  await world.time.pass(5_100);
  await world.socket.welcome([at("sara/default", 0)]);
  await pass(world, 60_000);
  expect(world.sockets).toHaveLength(2);
  await tabs[0]!.thaw();
  await closeAll();
});

test("when the new leader stands still too, the next one takes over", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(3);
  tabs[0]!.freeze();
  await world.time.pass(5_100);
  await world.socket.welcome([at("sara/default", 0)]);
  const second = tabs.slice(1).findIndex((_, i) => statusOf(clients[i + 1]!).state === "connected") + 1;
  tabs[second]!.freeze();
  const other = 3 - second;
  await world.time.pass(8_000);
  await world.socket.welcome([at("sara/default", 0)]);
  await quiet();
  if (second === 1) expect(statusOf(clients[other]!)).toEqual(ME);
  await tabs[0]!.thaw();
  await tabs[second]!.thaw();
  await pass(world, 20_000);
  expect(clients.map(statusOf)).toEqual([ME, ME, ME]);
  await closeAll();
  expect(world.time.pending).toBe(0);
});

test("a request whose answer came while the page was put aside settles when it comes back", async () => {
  const { world, tabs, clients, closeAll } = await openTabs(2);
  const follower = clients[1]!;
  const publish = follower.publish({ to: "omid", id: "aside" });
  await quiet();
  const [asked] = world.socket.take("publish");
  tabs[1]!.page.happens("pagehide", { persisted: true });
  const value = { id: "aside", topic: "omid/default", epoch: 1, offset: 1, durable: true, durability: "disk", duplicate: false };
  await world.socket.say({ type: "ok", ref: asked!.ref, value });
  tabs[1]!.page.happens("pageshow", { persisted: true });
  await quiet();
  const [again] = world.socket.take("publish");
  expect(again!.line).toMatchObject({ id: asked!.line!.id, number: asked!.line!.number });
  await world.socket.say({ type: "ok", ref: again!.ref, value });
  expect((await publish).id).toBe("aside");
  await closeAll();
});

test("the next connection begins when the last one has ended", async () => {
  const { world, clients, closeAll } = await openTabs(2);
  world.socket.answersClose = false;
  const closing = clients[0]!.close();
  await quiet();
  expect(world.sockets).toHaveLength(1);
  await world.time.pass(1_000);
  await closing;
  await quiet();
  expect(world.sockets).toHaveLength(2);
  await closeAll();
});

test("what a tab said to a former leader is not for the new one", async () => {
  const { browser, world, tabs, clients, closeAll } = await openTabs(3);
  await clients[0]!.close();
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  for (const tab of tabs) tab.page.show("hidden");
  await quiet();
  world.socket.take("state");
  const channel = new (browser.tab().environment.BroadcastChannel!)(browser.channelNames()[0]!);
  channel.postMessage({ up: true, term: 1, from: "x", body: { type: "join", activity: { visible: true, idleMs: 0 } } });
  await quiet();
  expect(world.socket.take("state")).toEqual([]);
  await closeAll();
});

test("however often a tab joins, the leader waits for its end once", async () => {
  const { browser, world, tabs, closeAll } = await openTabs(2);
  for (let i = 0; i < 10; i++) {
    await world.socket.end(1006);
    await world.time.pass(30_000);
    await world.socket.welcome([at("sara/default", 0)]);
  }
  const { pending } = await browser.locks();
  expect(pending.length).toBe(2);
  tabs[1]!.kill();
  await quiet();
  expect((await browser.locks()).pending).toEqual([]);
  await closeAll();
});

test("notes of others on the channel are ignored", async () => {
  const { browser, world, clients, closeAll } = await openTabs(2);
  const got = clients.map((client) => reading(client));
  const stranger = browser.tab();
  const channel = new stranger.environment.BroadcastChannel!(browser.channelNames()[0]!);
  const nonsense = [null, 7, "text", [], {}, { term: 1 }, { term: "1", body: {} }, { term: 1, body: { type: 7 } }, {
    up: true,
    body: null,
  }];
  for (let i = 0; i < 100; i++) for (const note of nonsense) channel.postMessage(note);
  for (let i = 0; i < 1_000; i++) {
    channel.postMessage({ up: true, term: 1, from: `tab ${i}`, body: { type: "join", activity: { visible: true, idleMs: 0 } } });
  }
  for (let i = 0; i < 20; i++) await quiet();
  await world.socket.say(entry(1));
  await pass(world, 20_000);
  expect(got).toEqual([["1"], ["1"]]);
  expect(clients.map(statusOf)).toEqual([ME, ME]);
  await closeAll();
});
