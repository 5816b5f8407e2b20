import { expect, test } from "vitest";
import { connectIn, type ConnectOptions, type PeykClient } from "../../src/client/client.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { Browser, reading, statusOf, type Tab } from "./fake_browser.ts";
import { at, entry, type FakeSocket, quiet, type World } from "./fake_server.ts";

const URL = "ws://engine.test/peyk";

async function open(tab: Tab, options: Pick<ConnectOptions, "account" | "deviceId" | "token">): Promise<PeykClient> {
  const client = connectIn(tab.environment, URL, options);
  await quiet();
  return client;
}

/** The engine answers who a token's user is: the token is the user's name and a number. */
async function identify(socket: FakeSocket): Promise<string[]> {
  const asked = socket.take("identify");
  for (const { ref, token } of asked) {
    const userId = token.split(" ")[0]!;
    await socket.say(
      token.startsWith("bad")
        ? { type: "error", ref, code: "unauthorized", retryable: false, retryAfterMs: null, hint: "no" }
        : { type: "ok", ref, value: { userId } },
    );
  }
  await quiet();
  return asked.map(({ token }) => token);
}

async function welcome(socket: FakeSocket, userId: string): Promise<void> {
  await socket.welcome([at(`${userId}/default`, 0)], { userId });
}

async function answer(socket: FakeSocket): Promise<string[]> {
  const said = socket.take("publish");
  for (const { ref, id, topic } of said) {
    await socket.say({
      type: "ok",
      ref,
      value: { id, topic, epoch: 1, offset: 1, durable: true, durability: "disk", duplicate: false },
    });
  }
  return said.map(({ id }) => id);
}

/** The next connection is another user's: it begins again without the former one's cursors. */
async function backAs(world: World, userId: string): Promise<void> {
  for (let hello = 0; hello < 2; hello++) {
    await world.time.pass(1_000);
    await welcome(world.socket, userId);
  }
}

const outcome = (promise: Promise<unknown>) => promise.then(() => "ok", (error) => error.code as string);

async function closeAll(...clients: PeykClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
}

test("a tab with a token of the same user shares the connection, once the engine has said so", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = await open(browser.tab(), { token: "sara 1" });
  const second = await open(browser.tab(), { token: "sara 2" });
  const got = reading(second);
  await welcome(world.socket, "sara");
  await world.socket.say(entry(1));
  await quiet();
  expect([statusOf(second), got]).toEqual([{ state: "connecting" }, []]);
  expect(await identify(world.socket)).toEqual(["sara 2"]);
  expect([statusOf(second), got]).toEqual([{ state: "connected", userId: "sara" }, ["1"]]);
  expect(world.sockets).toHaveLength(1);
  await closeAll(first, second);
  expect(world.time.pending).toBe(0);
});

test("a tab of another user has a connection and a device of its own; a third one joins whom it belongs to", async () => {
  const browser = new Browser();
  const { world } = browser;
  const sara = await open(browser.tab(), { token: "sara 1" });
  const reza = await open(browser.tab(), { token: "reza 1" });
  const [got, gotReza] = [reading(sara), reading(reza)];
  await welcome(world.socket, "sara");
  await identify(world.sockets[0]!);
  expect(world.sockets).toHaveLength(2);
  await welcome(world.socket, "reza");
  const hellos = world.sockets.map((socket) => socket.one("hello"));
  expect(new Set(hellos.map(({ deviceId }) => deviceId)).size).toBe(2);
  await world.sockets[0]!.say(entry(1));
  expect([got, gotReza]).toEqual([["1"], []]);
  const third = await open(browser.tab(), { token: "reza 2" });
  expect(await identify(world.sockets[0]!)).toEqual(["reza 2"]);
  expect(statusOf(third)).toEqual({ state: "connected", userId: "reza" });
  const publish = third.publish({ to: "omid", id: "from-reza" });
  await quiet();
  expect(world.sockets[1]!.take("publish")).toMatchObject([{ id: "from-reza", line: { user: "reza" } }]);
  const logout = reza.logout();
  await quiet();
  await world.sockets[1]!.say({ type: "ok", ref: world.sockets[1]!.one("logout").ref, value: null });
  await logout;
  expect(await outcome(publish)).toBe("signed-out");
  expect([sara, reza, third].map((client) => statusOf(client).state)).toEqual(["connected", "closed", "closed"]);
  await closeAll(sara);
});

test("the account alone decides who shares: nobody is asked, and the same deviceId is another device with another account", async () => {
  const browser = new Browser();
  const { world } = browser;
  const clients = [
    await open(browser.tab(), { account: "one", deviceId: "given" }),
    await open(browser.tab(), { account: "two", deviceId: "given" }),
    await open(browser.tab(), { account: "one", deviceId: "given", token: "whoever" }),
    await open(browser.tab(), { deviceId: "given" }),
  ];
  expect(world.sockets).toHaveLength(3);
  for (const socket of world.sockets) await welcome(socket, "sara");
  const ids = world.sockets.map((socket) => socket.one("hello").deviceId);
  expect([new Set(ids).size, ids[2]]).toEqual([3, "given"]);
  expect(clients.map((client) => statusOf(client).state)).toEqual(Array(4).fill("connected"));
  expect(world.sockets.flatMap((socket) => socket.take("identify"))).toEqual([]);
  await closeAll(...clients);
});

test("without an account and a token tabs do not share: the second is a temporary device", async () => {
  const browser = new Browser();
  const { world } = browser;
  const clients = [await open(browser.tab(), {}), await open(browser.tab(), {})];
  reading(clients[1]!);
  await welcome(world.socket, "sara");
  await quiet();
  await welcome(world.socket, "sara");
  expect(world.sockets.map((socket) => socket.one("hello").temporary)).toEqual([false, true]);
  expect(clients.map((client) => statusOf(client).state)).toEqual(["connected", "connected"]);
  await world.socket.say(entry(1));
  await world.time.pass(300);
  expect([...world.storage.rows.keys()]).toEqual([expect.stringMatching(/^peyk:[0-9a-f]{12}$/)]);
  // Nothing is left of it that could be signed out.
  void clients[1]!.logout().catch(() => {});
  expect([...world.storage.rows.keys()]).toHaveLength(1);
  expect(world.sockets.map(({ closedWith }) => closedWith)).toEqual([undefined, undefined]);
  await closeAll(...clients);
});

test.each([
  ["a token of its own is refused", "bad", { state: "closed", reason: "unauthorized", hint: "no" }],
  ["the function throws", () => Promise.reject(new Error("mine")), { state: "waiting", reason: "token" }],
  ["the function gives no text", () => ({}) as string, { state: "waiting", reason: "token" }],
  ["the function hangs", () => new Promise<string>(() => {}), { state: "waiting", reason: "token" }],
])("a tab that wants to join, and %s, is told; the others go on", async (_name, token, expected) => {
  const browser = new Browser();
  const { world } = browser;
  const first = await open(browser.tab(), { token: "sara 1" });
  await welcome(world.socket, "sara");
  const second = await open(browser.tab(), { token });
  await identify(world.socket);
  await world.time.pass(20_000);
  await world.socket.say({ type: "ping" });
  expect(statusOf(second)).toMatchObject(expected);
  expect(statusOf(first)).toEqual({ state: "connected", userId: "sara" });
  await closeAll(first, second);
  expect(world.time.pending).toBe(0);
});

test("a tab whose token function was down joins when it is up again", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = () => Promise.reject(new Error("down"));
  const first = await open(browser.tab(), { token: "sara 1" });
  await welcome(world.socket, "sara");
  const second = await open(browser.tab(), { token: () => token() });
  await world.time.pass(1_000);
  token = () => Promise.resolve("sara 2") as Promise<never>;
  await world.time.pass(10_000);
  await identify(world.socket);
  expect(statusOf(second)).toEqual({ state: "connected", userId: "sara" });
  await closeAll(first, second);
});

test("what one user made offline is refused when the next token is another's, and never said", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const client = await open(browser.tab(), { token: () => token });
  await welcome(world.socket, "sara");
  await world.socket.end(1006);
  const saras = outcome(client.publish({ to: "omid", id: "saras" }));
  token = "reza 1";
  await world.time.pass(1_000);
  await welcome(world.socket, "reza");
  await quiet();
  // Her cursors were in that hello.
  await world.time.pass(1_000);
  await welcome(world.socket, "reza");
  await identify(world.socket);
  expect(await saras).toBe("unauthorized");
  expect(world.sockets.flatMap((socket) => socket.take("publish"))).toEqual([]);
  const rezas = client.publish({ to: "omid", id: "rezas" });
  await quiet();
  expect(await answer(world.socket)).toEqual(["rezas"]);
  expect((await rezas).id).toBe("rezas");
  await closeAll(client);
});

test.each([
  ["another's", "reza 1", "unauthorized"],
  ["of the same user", "sara 2", "ok"],
])("what was made before the first connection, and then the token was %s: %s", async (_name, next, expected) => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const client = await open(browser.tab(), { token: () => token });
  await world.socket.end(1006);
  const made = outcome(client.publish({ to: "omid", id: "first" }));
  token = next;
  await world.time.pass(1_000);
  const later = outcome(client.publish({ to: "omid", id: "second" }));
  await welcome(world.socket, next.split(" ")[0]!);
  expect(world.socket.take("publish")).toEqual([]);
  expect(await identify(world.socket)).toEqual(["sara 1"]);
  expect(await answer(world.socket)).toEqual(expected === "ok" ? ["first", "second"] : ["second"]);
  expect([await made, await later]).toEqual([expected, "ok"]);
  await closeAll(client);
});

test("a token that has expired meanwhile is no doubt when the same user is there before and after", async () => {
  const browser = new Browser();
  const { world } = browser;
  let minted = 0;
  const client = await open(browser.tab(), { token: () => `sara ${++minted}` });
  await welcome(world.socket, "sara");
  await world.socket.end(1006);
  await world.time.pass(1_000);
  const made = outcome(client.publish({ to: "omid", id: "kept" }));
  await world.socket.end(1006);
  await world.time.pass(2_000);
  await welcome(world.socket, "sara");
  const [{ ref }] = world.socket.take("identify") as { ref: number }[] as [{ ref: number }];
  await world.socket.say({ type: "error", ref, code: "expired", retryable: true, retryAfterMs: null, hint: null });
  expect(await answer(world.socket)).toEqual(["kept"]);
  expect(await made).toBe("ok");
  await closeAll(client);
});

test.each([
  ["has expired", "sara 1", ["sara 1"]],
  ["was none", undefined as unknown as string, []],
])("what was made before the first connection, when the token of then %s, is nobody's", async (_name, first, asked) => {
  const browser = new Browser();
  const { world } = browser;
  let token = first;
  const client = await open(browser.tab(), { token: () => token });
  await world.socket.end(1006);
  const made = outcome(client.publish({ to: "omid", id: "first" }));
  token = "sara 2";
  await world.time.pass(1_000);
  await welcome(world.socket, "sara");
  const questions = world.socket.take("identify");
  expect(questions.map(({ token }) => token)).toEqual(asked);
  for (const { ref } of questions) {
    await world.socket.say({ type: "error", ref, code: "expired", retryable: true, retryAfterMs: null, hint: null });
  }
  expect(await made).toBe("unauthorized");
  expect(world.socket.take("publish")).toEqual([]);
  await closeAll(client);
});

test("a client that is closed while it waits to ask again leaves no timer", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const client = await open(browser.tab(), { token: () => token });
  await world.socket.end(1006);
  const made = outcome(client.publish({ to: "omid", id: "first" }));
  token = "sara 2";
  await world.time.pass(1_000);
  await welcome(world.socket, "sara");
  const [{ ref }] = world.socket.take("identify") as { ref: number }[] as [{ ref: number }];
  await world.socket.say({ type: "error", ref, code: "unavailable", retryable: true, retryAfterMs: null, hint: null });
  await closeAll(client);
  expect([await made, world.time.pending]).toEqual(["closed", 0]);
});

test("a status listener may close the client", async () => {
  const browser = new Browser();
  const { world } = browser;
  const client = await open(browser.tab(), { account: "home" });
  client.onStatus(({ state }) => void (state === "connected" && client.close()));
  const gaps: unknown[] = [];
  client.onGap((gap) => void gaps.push(gap));
  await world.socket.welcome([at("sara/default", 3, false)]);
  await quiet();
  expect([gaps, world.time.pending, world.socket.closedWith]).toEqual([[], 0, CloseCode.normal]);
});

test("when it can't be said now whose a token is, it is asked again, and what waits stays", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const client = await open(browser.tab(), { token: () => token });
  await world.socket.end(1006);
  const made = outcome(client.publish({ to: "omid", id: "first" }));
  token = "sara 2";
  await world.time.pass(1_000);
  await welcome(world.socket, "sara");
  const [{ ref }] = world.socket.take("identify") as { ref: number }[] as [{ ref: number }];
  await world.socket.say({ type: "error", ref, code: "unavailable", retryable: true, retryAfterMs: null, hint: null });
  await world.time.pass(5_000);
  expect(await identify(world.socket)).toEqual(["sara 1"]);
  expect(await answer(world.socket)).toEqual(["first"]);
  expect(await made).toBe("ok");
  await closeAll(client);
  expect(world.time.pending).toBe(0);
});

test("when the leading tab's fresh token is another user's, every tab is asked again whose it is", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const first = await open(browser.tab(), { token: () => token });
  const second = await open(browser.tab(), { token: "sara 2" });
  await welcome(world.socket, "sara");
  await identify(world.socket);
  const [{ userId }] = [statusOf(second) as { userId: string }];
  expect(userId).toBe("sara");
  token = "reza 1";
  await world.socket.say({ type: "expiring", inMs: 30_000 });
  const [fresh] = world.socket.take("token");
  expect(fresh!.token).toBe("reza 1");
  const kept = outcome(second.publish({ to: "omid", id: "saras" }));
  await quiet();
  world.socket.take("publish");
  await world.socket.say({
    type: "error",
    ref: fresh!.ref,
    code: "unauthorized",
    retryable: false,
    retryAfterMs: null,
    hint: null,
  });
  await welcome(world.socket, "reza");
  await world.time.pass(1_000);
  await welcome(world.socket, "reza");
  const shared = world.socket;
  expect(await identify(shared)).toEqual(["sara 2"]);
  expect(world.socket).not.toBe(shared);
  await welcome(world.socket, "sara");
  // Hers is said over her own connection, and only there.
  expect(shared.take("publish")).toEqual([]);
  expect(await answer(world.socket)).toEqual(["saras"]);
  expect(await kept).toBe("ok");
  expect([statusOf(first), statusOf(second)]).toMatchObject([{ userId: "reza" }, { userId: "sara" }]);
  await closeAll(first, second);
});

test("a tab of a user whose connection becomes another one's begins again, and shares with whom it belongs to", async () => {
  const browser = new Browser();
  const { world } = browser;
  const sara = await open(browser.tab(), { token: "sara 1" });
  await welcome(world.socket, "sara");
  let token = "reza 1";
  const moved = await open(browser.tab(), { token: () => token });
  await identify(world.sockets[0]!);
  await welcome(world.socket, "reza");
  expect(statusOf(moved)).toEqual({ state: "connected", userId: "reza" });
  token = "sara 2";
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await welcome(world.socket, "sara");
  expect(await identify(world.sockets[0]!)).toEqual(["sara 2"]);
  expect(statusOf(moved)).toEqual({ state: "connected", userId: "sara" });
  expect(world.sockets.filter(({ closedWith }) => closedWith === undefined)).toHaveLength(1);
  // What reza has read is still there for when he comes back.
  expect([...world.storage.rows.values()].join()).toContain('"reza",[["reza/default",7,0]]');
  await closeAll(sara, moved);
  expect(world.time.pending).toBe(0);
});

test("a tab whose user is known joins a new leader of that user at once", async () => {
  const browser = new Browser();
  const { world } = browser;
  const clients = [];
  for (const n of [1, 2, 3]) clients.push(await open(browser.tab(), { token: `sara ${n}` }));
  await welcome(world.socket, "sara");
  await identify(world.socket);
  const got = reading(clients[2]!);
  await clients[0]!.close();
  await quiet();
  await welcome(world.socket, "sara");
  await world.socket.say(entry(1));
  expect(world.socket.take("identify")).toEqual([]);
  expect(got).toEqual(["1"]);
  await closeAll(...clients);
});

test("the end of a connection of another user ends no tab that waits to be compared", async () => {
  const browser = new Browser();
  const { world } = browser;
  const sara = await open(browser.tab(), { token: "sara 1" });
  await welcome(world.socket, "sara");
  const reza = await open(browser.tab(), { token: "reza 1" });
  await world.sockets[0]!.end(CloseCode.replaced);
  await quiet();
  expect([statusOf(sara).state, statusOf(reza).state]).toEqual(["closed", "connecting"]);
  await welcome(world.socket, "reza");
  await quiet();
  await welcome(world.socket, "reza");
  expect(statusOf(reza)).toEqual({ state: "connected", userId: "reza" });
  await closeAll(sara, reza);
});

test("a follower does not show that another tab's token is the matter", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token: () => string | Promise<string> = () => "sara 1";
  const first = await open(browser.tab(), { account: "home", token: () => token() });
  const second = await open(browser.tab(), { account: "home", token: "sara 2" });
  await welcome(world.socket, "sara");
  const states: string[] = [];
  second.onStatus((status) => void states.push(`${status.state} ${"reason" in status ? status.reason : ""}`));
  token = () => Promise.reject(new Error("down"));
  await world.socket.end(CloseCode.expired);
  await world.time.pass(200);
  expect(states.join()).not.toContain("waiting token");
  await closeAll(first, second);
});

test("a deviceId that is too long with the account is not used", async () => {
  const browser = new Browser();
  const { world } = browser;
  const client = await open(browser.tab(), { account: "home", deviceId: "\u{1f30d}".repeat(32) });
  await world.socket.open();
  expect(world.socket.one("hello").deviceId).toMatch(/^[\w-]{22}$/);
  await closeAll(client);
});

test("the next user's requests stand in a line of their own", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const client = await open(browser.tab(), { token: () => token });
  await welcome(world.socket, "sara");
  const first = client.publish({ to: "omid", id: "1" });
  await quiet();
  const [{ line }] = world.socket.received.filter(({ type }) => type === "publish") as { line?: { id: string } }[] as [
    { line: object },
  ];
  await answer(world.socket);
  await first;
  token = "reza 1";
  await world.socket.end(1006);
  await backAs(world, "reza");
  void client.publish({ to: "omid", id: "2" }).catch(() => {});
  await quiet();
  const [second] = world.socket.take("publish");
  expect(second!.line).toMatchObject({ number: 1, user: "reza" });
  expect(second!.line!.id).not.toBe((line as { id: string }).id);
  await closeAll(client);
});

test("what is queued for a handler was the former user's", async () => {
  const browser = new Browser();
  const { world } = browser;
  let token = "sara 1";
  const client = await open(browser.tab(), { token: () => token });
  const got: string[] = [];
  let finish = () => {};
  client.onMessage(({ content }) => {
    got.push(content!);
    return new Promise<void>((resolve) => finish = resolve);
  });
  await welcome(world.socket, "sara");
  await world.socket.say(entry(1), entry(2));
  await world.socket.end(1006);
  token = "reza 1";
  await backAs(world, "reza");
  finish();
  await quiet();
  expect(got).toEqual(["1"]);
  await closeAll(client);
});

test.each([["refused", CloseCode.unauthorized], ["too long for the engine", CloseCode.tooLarge]])(
  "a leader whose token is %s hands over to a tab with another one, before anything ends",
  async (_name, code) => {
    const browser = new Browser();
    const { world } = browser;
    const first = await open(browser.tab(), { account: "home", token: "bad" });
    const second = await open(browser.tab(), { account: "home", token: "sara 1" });
    await world.socket.end(code);
    await quiet();
    expect(world.sockets).toHaveLength(2);
    await welcome(world.socket, "sara");
    expect(world.socket.one("hello").token).toBe("sara 1");
    await quiet();
    for (const client of [first, second]) expect(statusOf(client)).toEqual({ state: "connected", userId: "sara" });
    await closeAll(first, second);
    expect(world.time.pending).toBe(0);
  },
);

test("where nobody says whose the tab is, the one whose token is refused ends, alone", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = await open(browser.tab(), { token: "bad" });
  const second = await open(browser.tab(), { token: "sara 1" });
  await world.socket.end(CloseCode.unauthorized);
  await quiet();
  await welcome(world.socket, "sara");
  await identify(world.socket);
  expect(statusOf(first)).toMatchObject({ state: "closed", reason: "unauthorized" });
  expect(statusOf(second)).toEqual({ state: "connected", userId: "sara" });
  await closeAll(second);
});

test("when all tokens are refused, each tab has tried once, and all end", async () => {
  const browser = new Browser();
  const { world } = browser;
  const clients: PeykClient[] = [];
  for (let i = 0; i < 3; i++) clients.push(await open(browser.tab(), { account: "home", token: "bad" }));
  for (let i = 0; i < 3; i++) {
    await world.sockets[i]!.end(CloseCode.unauthorized);
    await world.time.pass(1_000);
  }
  for (let i = 3; i < world.sockets.length; i++) {
    await world.sockets[i]!.end(CloseCode.unauthorized);
    await world.time.pass(1_000);
  }
  expect(clients.map(statusOf)).toMatchObject(Array(3).fill({ state: "closed", reason: "unauthorized" }));
  expect(world.sockets.length).toBeLessThanOrEqual(6);
  expect(world.time.pending).toBe(0);
});

test("a leader whose token function fails hands over, and to a tab that comes later too", async () => {
  const browser = new Browser();
  const { world } = browser;
  const fails = () => Promise.reject(new Error("down"));
  const first = await open(browser.tab(), { account: "home", token: fails });
  await world.time.pass(60_000);
  expect(statusOf(first)).toMatchObject({ state: "waiting", reason: "token" });
  const second = await open(browser.tab(), { account: "home", token: fails });
  const third = await open(browser.tab(), { account: "home", token: "sara 1" });
  for (let i = 0; i < 5 && world.sockets.length === 0; i++) await world.time.pass(1_000);
  await welcome(world.socket, "sara");
  await quiet();
  for (const client of [first, second, third]) expect(statusOf(client)).toEqual({ state: "connected", userId: "sara" });
  await closeAll(first, second, third);
  expect(world.time.pending).toBe(0);
});
