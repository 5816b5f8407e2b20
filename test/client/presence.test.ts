import { expect, test } from "vitest";
import { FakePage } from "./fake_browser.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { connectIn } from "../../src/client/client.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

async function inPage() {
  const page = new FakePage();
  const world = new World({ page });
  const client = await world.connected();
  const said = () => world.socket.take("state").map(({ visible, idleMs }) => ({ visible, idleMs }));
  return { page, world, client, said };
}

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

test.each(["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"])(
  "%s makes the device attended, for 2 minutes from the last input",
  async (type) => {
    const { page, world, client, said } = await inPage();
    const pass = async (ms: number) => {
      for (; ms > 0; ms -= 20_000) {
        await world.socket.say({ type: "ping" });
        await world.time.pass(Math.min(ms, 20_000));
      }
    };
    page.happens(type);
    page.happens(type);
    expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
    await pass(60_000);
    page.happens(type);
    await pass(119_999);
    expect(said()).toEqual([]);
    await pass(1);
    expect(said()).toEqual([{ visible: true, idleMs: null }]);
    await client.close();
    expect(world.time.pending).toBe(0);
  },
);

test("a hidden page is not attended, whatever input there was", async () => {
  const { page, client, said } = await inPage();
  page.happens("keydown");
  page.show("hidden");
  expect(said()).toEqual([{ visible: true, idleMs: 0 }, { visible: false, idleMs: null }]);
  await client.close();
});

test("hello says how it is now", async () => {
  const { page, world, client } = await inPage();
  page.happens("keydown");
  await world.again();
  expect(world.socket.one("hello")).toMatchObject({ visible: true, idleMs: 0 });
  await world.socket.end(1006);
  page.show("hidden");
  await world.time.pass(1_000);
  await world.socket.open();
  expect(world.socket.one("hello")).toMatchObject({ visible: false, idleMs: null });
  await client.close();
});

test("setPresence goes before what is observed, field by field, until it is taken back", async () => {
  const { page, client, said } = await inPage();
  client.setPresence({ visible: false });
  expect(said()).toEqual([{ visible: false, idleMs: null }]);
  page.happens("keydown");
  expect(said()).toEqual([{ visible: false, idleMs: 0 }]);
  client.setPresence({ visible: true, attended: false });
  expect(said()).toEqual([{ visible: true, idleMs: null }]);
  client.setPresence(undefined);
  expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
  await client.close();
});

test("without a page the device is visible and not attended, until setPresence says otherwise", async () => {
  const world = new World();
  const client = world.connect();
  await quiet();
  await world.socket.welcome();
  expect(world.socket.one("hello")).toMatchObject({ visible: true, idleMs: null });
  client.setPresence({ visible: false });
  expect(world.socket.one("state")).toMatchObject({ visible: false, idleMs: null });
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

test("pagehide says goodbye with 1000 and writes the cursors; a page that comes back connects again, reading on", async () => {
  const { page, world, client } = await inPage();
  const got: unknown[] = [];
  client.onMessage(({ content }) => void got.push(content));
  await world.socket.say(entry(1));
  page.happens("pagehide", { persisted: true });
  expect(world.socket.closedWith).toBe(1000);
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
