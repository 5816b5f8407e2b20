import { expect, test } from "vitest";
import { FakePage, inPage } from "./fake_browser.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { connectIn } from "../../src/client/client.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

test("hidden and visible are told as they change", async () => {
  const { page, client, said } = await inPage();
  page.show("hidden");
  expect(said()).toEqual([{ visible: false, idleMs: null }]);
  page.show("hidden");
  expect(said()).toEqual([]);
  page.show("visible");
  expect(said()).toEqual([{ visible: true, idleMs: null }]);
  await client.close();
});

test("what is to be acked leaves before a change of visibility is told", async () => {
  const { page, world, client } = await inPage();
  client.onMessage(() => {});
  const order = () => {
    const said = world.socket.received.map((frame) =>
      frame.type === "ack"
        ? `${frame.seen} ${frame.cursors.map(({ offset }) => offset)}`
        : (frame as { visible?: boolean }).visible
    );
    world.socket.received = [];
    return said;
  };
  await world.socket.say(entry(1));
  await world.socket.say(entry(2));
  expect(order()).toEqual(["1 1"]);
  page.show("hidden");
  expect(order()).toEqual(["2 2", false]);
  page.show("visible");
  expect(order()).toEqual([true]);
  await world.socket.say(entry(3));
  page.show("hidden");
  expect(order()).toEqual(["3 3", false]);
  await world.time.pass(1_000);
  expect(order()).toEqual([]);
  // In the middle of a burst too.
  client.onMessage(({ content }) => content === "5" ? client.setActivity({ visible: true }) : undefined);
  await quiet();
  await world.socket.say(entry(4), entry(5), entry(6));
  await world.time.pass(1_000);
  expect(order()).toEqual(["5 4", true, "6 6"]);
  await client.close();
});

test("all that is to be acked leaves before a change of visibility is told, in as many frames as it takes", async () => {
  const topics = Array.from({ length: 250 }, (_, i) => `*/room-${i}`);
  const page = new FakePage();
  const world = new World({ page });
  const client = await world.connected(topics.map((topic) => at(topic, 0)));
  client.onMessage(() => {});
  await world.socket.say(...topics.map((topic) => entry(1, topic)));
  page.show("hidden");
  const sizes = world.socket.received.map((frame) => frame.type === "ack" ? frame.cursors.length : frame.type);
  expect(sizes).toEqual([100, 100, 50, "state"]);
  await client.close();
});

test("all that is to be acked leaves before the goodbye", async () => {
  const topics = Array.from({ length: 250 }, (_, i) => `*/room-${i}`);
  const world = new World();
  const client = await world.connected(topics.map((topic) => at(topic, 0)));
  client.onMessage(() => {});
  await world.socket.say(...topics.map((topic) => entry(1, topic)));
  await client.close();
  expect(world.socket.take("ack").map(({ cursors }) => cursors.length)).toEqual([100, 100, 50]);
});

test("what a handler still has when the page is hidden is acked after that", async () => {
  const { page, world, client } = await inPage();
  let finish = () => {};
  client.onMessage(() => new Promise<void>((resolve) => finish = resolve));
  await world.socket.say(entry(1));
  page.show("hidden");
  finish();
  await world.time.pass(1_000);
  expect(world.socket.received.map(({ type }) => type)).toEqual(["ack", "state", "ack"]);
  expect(world.socket.take("ack").map(({ cursors }) => cursors.length)).toEqual([0, 1]);
  await client.close();
});

test("setActivity goes before what is observed, field by field, until it is taken back", async () => {
  const { page, client, said, pass } = await inPage();
  client.setActivity({ visible: false });
  expect(said()).toEqual([{ visible: false, idleMs: null }]);
  page.happens("keydown");
  expect(said()).toEqual([{ visible: false, idleMs: 0 }]);
  client.setActivity({ visible: true, attended: false });
  expect(said()).toEqual([{ visible: true, idleMs: null }]);
  await pass(40_000);
  page.happens("keydown");
  expect(said()).toEqual([]);
  await pass(10_000);
  client.setActivity(undefined);
  expect(said()).toEqual([{ visible: true, idleMs: 10_000 }]);
  await client.close();
});

test("setActivity attended is an input, each time it is said; not attended takes what was told back at once", async () => {
  const world = new World();
  const client = await world.connected();
  const said = () => world.socket.take("state").map(({ visible, idleMs }) => ({ visible, idleMs }));
  client.setActivity({ attended: true });
  expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
  await world.time.pass(20_000);
  client.setActivity({ attended: true });
  client.setActivity({ attended: true });
  await world.socket.say({ type: "ping" });
  expect([said(), world.socket.one("ack").idleMs]).toEqual([[], 0]);
  await world.time.pass(30_000);
  client.setActivity({ attended: true });
  expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
  client.setActivity({ attended: false });
  client.setActivity({ attended: false });
  expect(said()).toEqual([{ visible: true, idleMs: null }]);
  await world.socket.say({ type: "ping" });
  expect(world.socket.one("ack").idleMs).toBeNull();
  client.setActivity({ attended: true });
  expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
  await client.close();
});

test("without a page the device is visible and was never touched, until setActivity says otherwise", async () => {
  const world = new World();
  const client = world.connect();
  await quiet();
  await world.socket.welcome();
  expect(world.socket.one("hello")).toMatchObject({ visible: true, idleMs: null });
  client.setActivity({ visible: false });
  expect(world.socket.one("state")).toMatchObject({ visible: false, idleMs: null });
  await client.close();
});

test("input after a long while ends the wait for the next try; moving the mouse does not try each time", async () => {
  const { page, world, client } = await inPage();
  world.time.chance = 1;
  for (let i = 0; i < 8; i++) {
    await world.socket.end(1006);
    await world.time.pass(i < 7 ? 30_000 : 0);
  }
  const before = world.sockets.length;
  page.happens("pointermove");
  await quiet();
  expect(world.sockets.length).toBe(before + 1);
  for (let i = 0; i < 8; i++) {
    await world.socket.end(1006);
    for (let s = 0; s < (i < 7 ? 30 : 0); s += 2) {
      page.happens("pointermove");
      await world.time.pass(2_000);
    }
  }
  const after = world.sockets.length;
  for (let s = 0; s < 28; s += 2) {
    await world.time.pass(2_000);
    page.happens("pointermove");
  }
  expect(world.sockets.length).toBe(after);
  await client.close();
});

test.each(["online", "visible"])("%s ends the wait for the next try", async (what) => {
  const { page, world, client } = await inPage();
  if (what === "visible") page.show("hidden");
  world.time.chance = 1;
  for (let i = 0; i < 8; i++) {
    await world.socket.end(1006);
    await world.time.pass(i < 7 ? 30_000 : 0);
  }
  const before = world.sockets.length;
  if (what === "visible") page.show("visible");
  else page.happens("online");
  await quiet();
  expect(world.sockets.length).toBe(before + 1);
  // And the backoff begins anew.
  await world.socket.end(1006);
  await world.time.pass(250);
  expect(world.sockets.length).toBe(before + 2);
  await client.close();
});

test("pagehide says goodbye with 4007 and writes the cursors; a page that comes back connects again, reading on", async () => {
  const { page, world, client } = await inPage();
  const got: unknown[] = [];
  client.onMessage(({ content }) => void got.push(content));
  await world.socket.say(entry(1));
  page.happens("pagehide", { persisted: true });
  expect(world.socket.closedWith).toBe(4007);
  expect([...world.storage.rows.values()].join()).toContain('["sara/default",7,1]');
  const publish = client.publish({ to: "omid", id: "kept" });
  await world.time.pass(60_000);
  expect(world.sockets).toHaveLength(1);
  page.happens("pageshow", { persisted: true });
  await quiet();
  await world.socket.welcome([at("sara/default", 1)]);
  expect(world.socket.one("hello").cursors).toEqual([{ topic: "sara/default", epoch: 7, offset: 1 }]);
  await world.socket.say(entry(2));
  expect(got).toEqual(["1", "2"]);
  expect(world.socket.one("publish").id).toBe("kept");
  void publish.catch(() => {});
  await client.close();
});

test("a client that the network brought back before its drain moment does not leave again at that moment", async () => {
  const { page, world, client } = await inPage();
  await world.socket.say({ type: "drain", windowMs: 8_000 });
  await world.socket.end(CloseCode.drain);
  page.happens("online");
  await quiet();
  await world.socket.welcome();
  await world.time.pass(10_000);
  expect(world.socket.closedWith).toBeUndefined();
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("the first pageshow of a page does not connect a second time", async () => {
  const { page, world, client } = await inPage();
  page.happens("pageshow", { persisted: false });
  await quiet();
  expect(world.sockets).toHaveLength(1);
  await client.close();
});

test("in a page the address may be a path", async () => {
  const world = new World({ page: new FakePage() });
  const client = connectIn(world.environment, "/peyk", {});
  await quiet();
  expect(world.socket.url).toBe("ws://engine.test/peyk");
  await client.close();
});

test("a closed client listens to nothing any more", async () => {
  const { page, world, client, said } = await inPage();
  page.happens("keydown");
  said();
  await client.close();
  expect(page.signals.length).toBeGreaterThan(0);
  expect(page.signals.filter((signal) => !signal?.aborted)).toEqual([]);
  page.happens("keydown");
  page.show("hidden");
  page.happens("online");
  page.happens("pageshow", { persisted: true });
  await world.time.pass(100_000);
  expect([said(), world.sockets.length, world.time.pending]).toEqual([[], 1, 0]);
});
