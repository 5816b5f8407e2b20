import { expect, test } from "vitest";
import { connectIn, type ConnectOptions } from "../../src/client/client.ts";
import type { ClientStorage, Environment, Locks } from "../../src/client/environment.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { unhandledRejections } from "../engine/rejections.ts";
import { Browser, FakePage, reading, statusOf } from "./fake_browser.ts";
import { at, entry, FakeStorage, quiet, World } from "./fake_server.ts";

const URL = "ws://engine.test/peyk";
const HOME = { account: "home" };

async function open(environment: Environment, options: Pick<ConnectOptions, "account" | "deviceId" | "token"> = HOME) {
  const client = connectIn(environment, URL, options);
  await quiet();
  return client;
}

/** A page with these surroundings says hello; then it is gone. */
async function hello(storage: ClientStorage | undefined, options = HOME, changes: Partial<Environment> = {}) {
  const world = new World({ page: new FakePage(), storage, ...changes });
  const client = await open(world.environment, options);
  await world.socket.welcome([at("sara/default", 0)]);
  await quiet();
  const frame = world.socket.one("hello");
  await client.close();
  return frame;
}

const refusing = (name: string): Locks => ({
  request: () => Promise.reject(new DOMException("refused", name)),
  query: () => Promise.reject(new DOMException("refused", name)),
});

test.each(["missing", "SecurityError", "NotSupportedError", "InvalidStateError"])(
  "where locks are %s, two tabs are two devices, the older one a temporary one, and none ends",
  async (how) => {
    const browser = new Browser();
    const { world } = browser;
    const locks = how === "missing" ? undefined : refusing(how);
    const first = await open({ ...browser.tab().environment, locks });
    const got = [reading(first)];
    await world.socket.welcome([at("sara/default", 0)]);
    await world.socket.say(entry(1));
    await world.time.pass(300);
    const second = await open({ ...browser.tab().environment, locks });
    got.push(reading(second));
    const [socket, other] = world.sockets as [typeof world.socket, typeof world.socket];
    await other.welcome([at("sara/default", 1)]);
    await socket.end(CloseCode.replaced);
    await quiet();
    const third = world.socket;
    expect(world.sockets).toHaveLength(3);
    await third.welcome([at("sara/default", 1)]);
    const hellos = world.sockets.map((socket) => socket.one("hello"));
    expect(hellos.map(({ temporary }) => temporary)).toEqual([false, false, true]);
    expect(hellos[1]!.deviceId).toBe(hellos[0]!.deviceId);
    expect(hellos[2]).toMatchObject({ cursors: [{ topic: "sara/default", epoch: 7, offset: 1 }] });
    expect(hellos[2]!.deviceId).not.toBe(hellos[0]!.deviceId);
    for (const socket of [other, third]) await socket.say(entry(2));
    expect(got).toEqual([["1", "2"], ["2"]]);
    await world.time.pass(300);
    // The stored device stays the second tab's.
    expect(await hello(world.storage)).toMatchObject({ deviceId: hellos[0]!.deviceId, temporary: false });
    for (const client of [first, second]) expect(statusOf(client).state).toBe("connected");
    await Promise.all([first.close(), second.close()]);
    expect(world.time.pending).toBe(0);
  },
);

test("outside of a page a device that was replaced ends, as before", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.end(CloseCode.replaced);
  await quiet();
  expect(statusOf(client)).toEqual({ state: "closed", reason: "replaced" });
});

test("a lock that fails for another reason is a defect, and shows", async () => {
  const browser = new Browser();
  const { environment } = browser.tab();
  const locks: Locks = { ...refusing("x"), request: () => Promise.reject(new TypeError("not a lock manager")) };
  const shown = unhandledRejections();
  const client = await open({ ...environment, locks });
  await expect.poll(() => shown).toEqual([expect.any(TypeError)]);
  await client.close();
});

test.each([
  ["denied", {
    get: () => {
      throw new DOMException("denied", "SecurityError");
    },
    set: () => {
      throw new DOMException("denied", "SecurityError");
    },
  }],
  ["full", {
    get: () => null,
    set: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
  }],
  ["not there", undefined],
])("where the storage is %s, the device of a page is a temporary one; not when the app names it", async (_name, storage) => {
  const frame = await hello(storage);
  expect(frame.temporary).toBe(true);
  expect((await hello(storage)).deviceId).not.toBe(frame.deviceId);
  expect((await hello(storage, { ...HOME, deviceId: "given" } as typeof HOME)).temporary).toBe(false);
});

test("a storage that is full keeps the device that it has; outside of a page no device is a temporary one", async () => {
  const storage = new FakeStorage();
  const { deviceId } = await hello(storage);
  const full = {
    get: (key: string) => storage.get(key),
    set: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
  };
  expect(await hello(full)).toMatchObject({ deviceId, temporary: false });
  expect((await hello(undefined, HOME, { page: undefined })).temporary).toBe(false);
});

test("a storage that is cleared while the page is open is written again, whole", async () => {
  const world = new World({ page: new FakePage() });
  const client = await open(world.environment);
  reading(client);
  await world.socket.welcome([at("sara/default", 0)]);
  const { deviceId } = world.socket.one("hello");
  world.storage.rows.clear();
  await world.socket.say(entry(1));
  await world.time.pass(300);
  await client.close();
  expect(await hello(world.storage)).toMatchObject({ deviceId, cursors: [{ topic: "sara/default", epoch: 7, offset: 1 }] });
});

/** What a storage holds under the only key that the client uses there. */
async function kept(): Promise<[key: string, value: unknown[]]> {
  const storage = new FakeStorage();
  await hello(storage);
  const [[key, text]] = [...storage.rows] as [[string, string]];
  return [key, JSON.parse(text)];
}

test.each([
  ["no JSON", "[2,1,"],
  ["another kind of value", '{"deviceId":"x"}'],
  ["somebody's text", "hello"],
  ["a former format", '["sara",[["sara/default",7,1]]]'],
  ["a deviceId that is no name", '[2,1,"a/b","sara",[]]'],
  ["a deviceId that is no text", '[2,1,{"a":1},"sara",[]]'],
  ["a term that is no safe number", '[2,99999999999999999999,"x","sara",[]]'],
  ["rows that are none", '[2,1,"kept-device","sara",{"a":1}]'],
  [
    "rows of which some are none",
    '[2,1,"kept-device","sara",[null,7,["a/b"],["\\ud800/x",1,1],["sara/default",-1,1],["sara/default",7,1.5],["*/good",7,3]]]',
  ],
])("%s in the storage is ignored, and written over", async (_name, text) => {
  const [key] = await kept();
  const storage = new FakeStorage();
  storage.set(key, text);
  const frame = await hello(storage);
  expect(frame.temporary).toBe(false);
  if (text.includes("kept-device")) expect(frame.deviceId).toBe("kept-device");
  expect(frame.cursors.map(({ topic }) => topic)).toEqual(text.includes("good") ? ["*/good"] : []);
  expect(JSON.parse(storage.get(key)!)[2]).toBe(frame.deviceId);
});

test("a value of a later client is left alone: this one is a temporary device", async () => {
  const [key] = await kept();
  const storage = new FakeStorage();
  const later = '[3,7,"kept-device",{"new":true}]';
  storage.set(key, later);
  const frame = await hello(storage);
  expect([frame.temporary, storage.get(key)]).toEqual([true, later]);
});

test("when a later client takes the device, the former one goes on as a temporary one", async () => {
  const browser = new Browser();
  const { world } = browser;
  const client = await open(browser.tab().environment);
  await world.socket.welcome([at("sara/default", 0)]);
  const [key] = [...world.storage.rows.keys()];
  world.storage.set(key!, '[3,7,"kept-device",{"new":true}]');
  await world.socket.end(CloseCode.replaced);
  await quiet();
  await world.socket.welcome([at("sara/default", 0)]);
  expect(world.socket.one("hello").temporary).toBe(true);
  expect(statusOf(client).state).toBe("connected");
  await client.close();
  expect(world.storage.get(key!)).toBe('[3,7,"kept-device",{"new":true}]');
});

test("a device that the app has named is not stored", async () => {
  const storage = new FakeStorage();
  await hello(storage, { deviceId: "my-device" } as unknown as typeof HOME);
  expect(JSON.stringify([...storage.rows])).not.toContain("my-device");
});

test("a logout without a connection, and the page is left: the next hello tells, whoever's it is, until it was heard", async () => {
  const browser = new Browser();
  const { world } = browser;
  const client = await open(browser.tab().environment, { account: "sara" });
  await world.socket.welcome([at("sara/default", 0)]);
  const { deviceId } = world.socket.one("hello");
  await world.socket.end(1006);
  const logout = client.logout().catch(({ code }) => code);
  await client.close();
  expect(await logout).toBe("closed");

  const other = await open(browser.tab().environment, { account: "reza" });
  await world.socket.open();
  expect(world.socket.one("hello").signedOut).toEqual([deviceId]);
  // Not heard.
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await world.socket.welcome([at("reza/default", 0)], { userId: "reza" });
  expect(world.socket.one("hello").signedOut).toEqual([deviceId]);
  await other.close();
  expect((await hello(world.storage, { account: "third" })).signedOut).toEqual([]);
});

test("a follower's logout without a connection is said by the tab that stays, and ends it", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.tab(), browser.tab()] as const;
  const leader = await open(tabs[0].environment);
  const follower = await open(tabs[1].environment);
  await world.socket.welcome([at("sara/default", 0)]);
  const { deviceId } = world.socket.one("hello");
  await world.socket.end(1006);
  void follower.logout().catch(() => {});
  tabs[1].kill();
  await world.time.pass(1_000);
  await world.socket.welcome([at("sara/default", 0)]);
  expect(world.socket.one("hello").signedOut).toEqual([deviceId]);
  await world.socket.say({ type: "ok", ref: world.socket.one("logout").ref, value: null });
  expect(statusOf(leader)).toEqual({ state: "closed", reason: "signedOut" });
  expect((await hello(world.storage)).signedOut).toEqual([]);
});

test("a tab that nobody has compared yet signs nobody out", async () => {
  const browser = new Browser();
  const { world } = browser;
  const leader = await open(browser.tab().environment, { token: "sara" });
  const follower = await open(browser.tab().environment, { token: "reza" });
  await world.socket.welcome([at("sara/default", 0)]);
  void follower.logout().catch(() => {});
  await follower.close();
  await leader.close();
  expect((await hello(world.storage)).signedOut).toEqual([]);
});

test("a temporary device that is put aside comes back as the same one", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = await open(browser.tab().environment, {});
  await world.socket.welcome([at("sara/default", 0)]);
  const tab = browser.tab();
  const second = await open(tab.environment, {});
  await world.socket.welcome([at("sara/default", 3)]);
  const { deviceId } = world.socket.one("hello");
  tab.page.happens("pagehide", { persisted: true });
  tab.page.happens("pageshow", { persisted: true });
  await quiet();
  await world.socket.welcome([at("sara/default", 3)]);
  expect(world.socket.one("hello")).toMatchObject({
    deviceId,
    temporary: true,
    cursors: [{ topic: "sara/default", epoch: 7, offset: 3 }],
  });
  await Promise.all([first.close(), second.close()]);
});

test("a logout that the engine refused is not said again at the next start", async () => {
  const world = new World();
  const client = await world.connected();
  const logout = client.logout().catch(({ code }) => code);
  await quiet();
  const { ref } = world.socket.one("logout");
  await world.socket.say({ type: "error", ref, code: "unavailable", retryable: true, retryAfterMs: null, hint: null });
  expect(await logout).toBe("unavailable");
  expect(statusOf(client).state).toBe("connected");
  await client.close();
  expect((await hello(world.storage)).signedOut).toEqual([]);
});

test("a logout, and then another user's token: nothing of hers is signed out", async () => {
  const world = new World();
  let token = "sara";
  const client = await world.connected([at("sara/default", 0)], { token: () => token });
  await world.socket.end(1006);
  const logout = client.logout().catch(({ code }) => code);
  token = "reza";
  await world.time.pass(1_000);
  await world.socket.welcome([at("reza/default", 0)], { userId: "reza" });
  await world.time.pass(1_000);
  await world.socket.welcome([at("reza/default", 0)], { userId: "reza" });
  expect(await logout).toBe("unauthorized");
  expect(world.socket.take("logout")).toEqual([]);
  expect(statusOf(client)).toEqual({ state: "connected", userId: "reza" });
  const publish = client.publish({ to: "omid" }).catch(() => {});
  await quiet();
  expect(world.socket.take("publish")).toHaveLength(1);
  await client.close();
  await publish;
});

test.each(["7", '{"a":1}', "[null, 7, {}]", '["a/b", ""]', "no JSON"])(
  "damage in the list of sign-outs (%s) hurts nobody",
  async (text) => {
    const storage = new FakeStorage();
    const client = new World({ page: new FakePage(), storage });
    const first = await open(client.environment);
    await client.socket.welcome([at("sara/default", 0)]);
    void first.logout().catch(() => {});
    const key = [...storage.rows.keys()].find((key) => key.endsWith(":out"))!;
    await first.close();
    storage.set(key, text);
    expect((await hello(storage)).signedOut).toEqual([]);
  },
);
