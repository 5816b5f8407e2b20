import { expect, test } from "vitest";
import { connectIn, type PeykClient } from "../../src/client/client.ts";
import { Browser } from "./fake_browser.ts";
import { at, quiet, World } from "./fake_server.ts";

const own = at("sara/default", 0);
const room = at("*/room", 5);

/** The topics of every list that the client tells. */
function lists(client: PeykClient): string[][] {
  const all: string[][] = [];
  client.onSubscriptions((subscriptions) => void all.push(subscriptions.map(({ topic }) => topic)));
  return all;
}

const topics = (client: PeykClient) => client.subscriptions().map(({ topic }) => topic);

async function answer(world: World, type: "subscribe" | "unsubscribe", value: unknown): Promise<void> {
  await world.socket.say({ type: "ok", ref: world.socket.one(type).ref, value });
}

test("before the first welcome there is none; then what it says, by topic, before the status says connected", async () => {
  const world = new World();
  const client = world.connect();
  const told = lists(client);
  client.onStatus(({ state }) => void told.push([state]));
  expect(client.subscriptions()).toEqual([]);
  await quiet();
  await world.socket.welcome([own, room]);
  expect(told).toEqual([[], ["connecting"], ["*/room", "sara/default"], ["connected"]]);
  expect(client.subscriptions()).toEqual([
    { topic: "*/room", to: "*", channel: "room" },
    { topic: "sara/default", to: "sara", channel: "default" },
  ]);
  await client.close();
});

test("what is subscribed to here is listed as soon as that is answered, once", async () => {
  const world = new World();
  const client = await world.connected([own]);
  const told = lists(client);
  const joined = client.subscribe({ to: "*", channel: "room" }).then(() => topics(client));
  await quiet();
  expect(topics(client)).toEqual(["sara/default"]);
  await answer(world, "subscribe", { epoch: 7, offset: 5, recovered: true });
  expect(await joined).toEqual(["*/room", "sara/default"]);
  void client.subscribe({ to: "*", channel: "room" });
  await quiet();
  await answer(world, "subscribe", { epoch: 7, offset: 5, recovered: true });
  void client.subscribe({ to: "*", channel: "room", anew: true });
  await quiet();
  await answer(world, "subscribe", { epoch: 7, offset: 9, recovered: false });
  const left = client.unsubscribe({ to: "*", channel: "room" }).then(() => topics(client));
  await quiet();
  await answer(world, "unsubscribe", null);
  expect(await left).toEqual(["sara/default"]);
  expect(told).toEqual([["sara/default"], ["*/room", "sara/default"], ["sara/default"]]);
  await client.close();
});

test("what another device or the server changes is told: a room that one was let into, and put out of", async () => {
  const world = new World();
  const client = await world.connected([own]);
  const told = lists(client);
  await world.socket.say({ ...room, type: "subscribed" });
  await world.socket.say({ ...room, type: "subscribed", recovered: false });
  await world.socket.say({ type: "unsubscribed", topic: "*/room" });
  await world.socket.say({ type: "unsubscribed", topic: "*/never-read" });
  expect(told).toEqual([["sara/default"], ["*/room", "sara/default"], ["sara/default"]]);
  await client.close();
});

test("while there is no connection the list stays as it was; what is gone meanwhile is told with the next welcome", async () => {
  const world = new World();
  const client = await world.connected([own, room]);
  const told = lists(client);
  const before = client.subscriptions();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  expect(topics(client)).toEqual(["*/room", "sara/default"]);
  await world.socket.welcome([room, own]); // In another order: no news.
  expect(client.subscriptions()).toBe(before);
  await world.again([own]);
  expect(told).toEqual([["*/room", "sara/default"], ["sara/default"]]);
  await client.close();
  expect(topics(client)).toEqual(["sara/default"]);
});

test("the list is there at once for who listens later, and of all tabs", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.tab(), browser.tab(), browser.tab()] as const;
  const connect = (tab: typeof tabs[number]) => connectIn(tab.environment, "ws://engine.test/peyk", { account: "home" });
  const leader = connect(tabs[0]);
  const follower = connect(tabs[1]);
  const followers = lists(follower);
  await quiet();
  await world.socket.welcome([own]);
  await world.socket.say({ ...room, type: "subscribed" });
  const late = connect(tabs[2]);
  const lates = lists(late);
  const statuses: string[] = [];
  late.onStatus(({ state }) => void statuses.push(`${state} ${topics(late)}`));
  await quiet();
  expect(lists(leader)).toEqual([["*/room", "sara/default"]]);
  expect(followers).toEqual([[], ["sara/default"], ["*/room", "sara/default"]]);
  expect(lates).toEqual([[], ["*/room", "sara/default"]]);
  expect(statuses).toEqual(["connecting ", "connected */room,sara/default"]);
  const left = follower.unsubscribe({ to: "*", channel: "room" }).then(() => topics(follower));
  await quiet();
  await answer(world, "unsubscribe", null);
  expect(await left).toEqual(["sara/default"]);
  expect([leader, late].map(topics)).toEqual([["sara/default"], ["sara/default"]]);
  // A tab that takes over knows what it knew, until the engine says what is.
  await leader.close();
  await quiet();
  expect([follower, late].map(topics)).toEqual([["sara/default"], ["sara/default"]]);
  await world.socket.welcome([own, room]);
  expect([follower, late].map(topics)).toEqual(Array(2).fill(["*/room", "sara/default"]));
  await Promise.all([follower, late].map((client) => client.close()));
});

test("another user on the same device begins with their own list", async () => {
  const world = new World();
  const client = await world.connected([own, room]);
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.welcome([at("omid/default", 0)], { userId: "omid" });
  await world.socket.welcome([at("omid/default", 0)], { userId: "omid" }); // It said hello again, without Sara's cursors.
  expect(topics(client)).toEqual(["omid/default"]);
  await client.close();
});

test("signing out changes nothing that the user is subscribed to, and tells nothing of the kind", async () => {
  const world = new World();
  const client = await world.connected([own, room]);
  const told = lists(client);
  const logout = client.logout();
  await quiet();
  await world.socket.say({ type: "ok", ref: world.socket.one("logout").ref, value: null });
  await logout;
  expect(told).toHaveLength(1);
});
