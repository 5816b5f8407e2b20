import { expect, test } from "vitest";
import { inPage } from "./fake_browser.ts";
import { entry } from "./fake_server.ts";

test.each(["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"])(
  "%s is an input: told at once, and again when the one told last is inputMs old",
  async (type) => {
    const { page, world, client, said, pass } = await inPage();
    page.happens(type);
    expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
    for (let second = 1; second < 30; second++) {
      await pass(1_000);
      page.happens(type);
    }
    await pass(999);
    page.happens(type);
    expect(said()).toEqual([]);
    await pass(1);
    page.happens(type);
    expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
    await client.close();
    expect(world.time.pending).toBe(0);
  },
);

test("how often an input is told is the welcome's word", async () => {
  const { page, world, client, said, pass } = await inPage();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.welcome([], { inputMs: 5_000 });
  page.happens("keydown");
  expect(said()).toHaveLength(1);
  await pass(5_000);
  page.happens("keydown");
  expect(said()).toHaveLength(1);
  await client.close();
});

test("without an input nothing is told, however long that lasts", async () => {
  const { page, client, said, pass } = await inPage();
  page.happens("keydown");
  said();
  await pass(600_000);
  expect(said()).toEqual([]);
  page.happens("keydown");
  expect(said()).toEqual([{ visible: true, idleMs: 0 }]);
  await client.close();
});

test("an ack carries the idle time of its own moment, a whole number", async () => {
  const { page, world, client } = await inPage();
  await world.socket.say({ type: "ping" });
  expect(world.socket.one("ack").idleMs).toBeNull();
  world.time.at += 0.7;
  page.happens("keydown");
  await world.time.pass(4_999.9);
  await world.socket.say({ type: "ping" });
  expect(world.socket.one("ack").idleMs).toBe(5_000);
  await world.socket.say(entry(1)); // Waits for ackMs.
  await world.time.pass(1_000);
  expect(world.socket.one("ack").idleMs).toBe(5_250);
  await client.close();
});

test("hello carries the idle time, of a hidden page too", async () => {
  const { page, world, client } = await inPage();
  page.happens("keydown");
  await world.again();
  expect(world.socket.one("hello")).toMatchObject({ visible: true, idleMs: 1_000 });
  await world.socket.end(1006);
  page.show("hidden");
  await world.time.pass(1_000);
  await world.socket.open();
  expect(world.socket.one("hello")).toMatchObject({ visible: false, idleMs: 2_000 });
  await client.close();
});

test.each(["hello", "ack", "state"])("an input that a %s has told is not told again before it is inputMs old", async (what) => {
  const { page, world, client, said, pass } = await inPage();
  page.happens("keydown");
  await pass(20_000);
  page.happens("keydown");
  expect(said()).toHaveLength(1);
  if (what === "hello") await world.again();
  else {
    await pass(1_000);
    if (what === "ack") await world.socket.say({ type: "ping" });
    else page.show("hidden");
    said();
  }
  await pass(28_000);
  page.happens("keydown");
  expect(said()).toEqual([]);
  await pass(1_000);
  page.happens("keydown");
  expect(said()).toMatchObject([{ idleMs: 0 }]);
  await client.close();
});

test("what happens between hello and welcome is told after the welcome", async () => {
  const { page, world, client, said } = await inPage();
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.open();
  page.happens("keydown");
  page.show("hidden");
  expect(said()).toEqual([]);
  await world.time.pass(1_000);
  world.socket.onopen = null; // It is open, and has had its hello.
  await world.socket.welcome();
  expect(said()).toEqual([{ visible: false, idleMs: 1_000 }]);
  await client.close();
});

test("a new connection is told of an input anew", async () => {
  const { page, world, client, said } = await inPage();
  page.happens("keydown");
  await world.socket.end(1006);
  await world.time.pass(1_000);
  client.setActivity({ attended: false });
  await world.socket.welcome();
  expect(world.socket.one("hello").idleMs).toBeNull();
  client.setActivity(undefined);
  expect(said()).toEqual([{ visible: true, idleMs: 1_000 }]);
  await client.close();
});
