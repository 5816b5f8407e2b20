import { expect, test } from "vitest";
import { inPage, reading } from "./fake_browser.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

const REASONS = {
  "the network is back": ({ page }) => page.happens("online"),
  "the app comes to the front": ({ page }) => (page.show("hidden"), page.show("visible")),
  "the person is back after a while": ({ page }) => page.happens("keydown"),
  "a publish": ({ client }) => void client.publish({ to: "omid" }).catch(() => {}),
  "a subscription": ({ client }) => void client.subscribe({ to: "*", channel: "news" }).catch(() => {}),
} satisfies Record<string, (stage: Awaited<ReturnType<typeof inPage>>) => void>;

test.each(Object.entries(REASONS))(
  "%s is a reason to ask; without an answer within 3 s the client leaves with 4004 and connects again at once",
  async (_name, happen) => {
    const stage = await inPage();
    const { client, world } = stage;
    world.socket.answersProbes = world.socket.answersClose = false;
    await world.time.pass(10_000);
    happen(stage);
    await quiet();
    expect(world.socket.take("probe")).toHaveLength(1);
    await world.time.pass(2_999);
    expect(world.sockets).toHaveLength(1);
    await world.time.pass(1);
    expect(world.sockets.map(({ closedWith }) => closedWith)).toEqual([4004, undefined]);
    await client.close();
  },
);

test("what is heard within the 3 s, whatever it is, keeps the socket", async () => {
  const { client, page, world } = await inPage();
  world.socket.answersProbes = false;
  await world.time.pass(10_000);
  page.happens("online");
  await world.time.pass(2_900);
  await world.socket.say(entry(1));
  await world.time.pass(30_000);
  expect(world.sockets).toHaveLength(1);
  page.happens("online");
  expect(world.socket.take("probe")).toHaveLength(2);
  await client.close();
});

test("a burst of publishes asks once, and none is asked for right after something was heard", async () => {
  const world = new World();
  const client = await world.connected();
  await world.time.pass(10_000);
  for (let i = 0; i < 20; i++) void client.publish({ to: "omid", content: `${i}` }).catch(() => {});
  await quiet();
  const [first, second] = world.socket.received.map(({ type }) => type);
  expect([first, second]).toEqual(["publish", "probe"]);
  expect(world.socket.take("probe")).toHaveLength(1);
  await world.time.pass(900);
  void client.publish({ to: "omid" }).catch(() => {});
  await quiet();
  expect(world.socket.take("probe")).toHaveLength(0);
  await world.time.pass(100);
  void client.publish({ to: "omid" }).catch(() => {});
  await quiet();
  expect(world.socket.take("probe")).toHaveLength(1);
  await client.close();
});

test("a publish whose socket was dead is said again on the next one, and answered", async () => {
  const world = new World();
  const client = await world.connected();
  world.socket.answersProbes = false;
  await world.time.pass(10_000);
  const published = client.publish({ to: "omid", id: "hello" });
  await world.time.pass(3_000);
  await world.socket.welcome([at("sara/default", 0)]);
  const { ref, id } = world.socket.one("publish");
  expect(id).toBe("hello");
  const value = { id, topic: "omid/default", epoch: 1, offset: 1, durable: true, durability: "disk", duplicate: false };
  await world.socket.say({ type: "ok", ref, value });
  expect((await published).id).toBe("hello");
  await client.close();
});

test.each([["stands still", false], ["goes on", true]] as const)(
  "after a sleep of an hour, during which the monotonic clock %s, a dead socket is left within 8 s",
  async (_name, monotonic) => {
    const world = new World();
    const client = await world.connected();
    world.socket.answersProbes = world.socket.answersClose = false;
    await world.time.pass(1_000);
    world.time.sleep(3_600_000, monotonic);
    await world.time.pass(8_000);
    expect(world.sockets.map(({ closedWith }) => closedWith)).toEqual([4004, undefined]);
    await client.close();
  },
);

test("after a sleep a living socket is kept, whenever the sleep began", async () => {
  for (const before of [0, 1_000, 24_000, 54_900]) {
    const world = new World();
    const client = await world.connected();
    const got = reading(client);
    for (let ms = before; ms > 0; ms -= 10_000) {
      await world.time.pass(Math.min(ms, 10_000));
      await world.socket.say({ type: "ping" });
    }
    world.time.sleep(3_600_000);
    await world.time.pass(10_000);
    await world.socket.say(entry(1));
    expect([got, world.sockets.length, world.socket.take("probe").length]).toEqual([["1"], 1, 1]);
    await client.close();
    expect(world.time.pending).toBe(0);
  }
});

test("a thread that stood still while it waited for the answer asks once more before it leaves", async () => {
  const { client, page, world } = await inPage();
  world.socket.answersProbes = false;
  await world.time.pass(10_000);
  page.happens("online");
  world.time.sleep(20_000);
  await world.time.pass(0);
  expect([world.sockets.length, world.socket.take("probe").length]).toEqual([1, 2]);
  await world.time.pass(3_000);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("timers that are always late, as those of a page that is not looked at, find a dead socket too", async () => {
  const { client, page, world } = await inPage();
  world.socket.answersProbes = false;
  await world.time.pass(10_000);
  page.happens("online");
  for (let minute = 0; minute < 2; minute++) {
    world.time.sleep(60_000);
    await world.time.pass(0);
  }
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("an idle connection that is pinged is never asked, nor one that waits for its welcome", async () => {
  const world = new World();
  const client = world.connect();
  await quiet();
  await world.time.pass(10_000);
  await world.socket.welcome();
  for (let i = 0; i < 20; i++) {
    await world.time.pass(25_000);
    await world.socket.say({ type: "ping" });
  }
  expect([world.sockets.length, world.socket.take("probe").length]).toEqual([1, 0]);
  await client.close();
});

test("a socket that is being opened for long is left for a new one when the network comes back", async () => {
  const { client, page, world } = await inPage();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  const opened = world.sockets.length;
  page.happens("online");
  await quiet();
  // Just begun.
  expect(world.sockets).toHaveLength(opened);
  await world.time.pass(3_000);
  page.happens("online");
  await quiet();
  expect(world.sockets).toHaveLength(opened + 1);
  expect(world.sockets[opened - 1]!.closedWith).toBeDefined();
  await world.socket.welcome();
  await client.close();
});
