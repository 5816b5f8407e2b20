import { expect, test } from "vitest";
import { connect, PeykError, type Status } from "../../src/client/client.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

function follow(client: ReturnType<World["connect"]>): Status[] {
  const statuses: Status[] = [];
  client.onStatus((status) => void statuses.push(status));
  return statuses;
}

test("onStatus tells the current status at once, then every change", async () => {
  const world = new World();
  const client = world.connect();
  const early = follow(client);
  expect(early).toEqual([{ state: "connecting" }]);
  await quiet();
  await world.socket.welcome();
  const late = follow(client);
  expect(late).toEqual([{ state: "connected", userId: "sara" }]);
  await world.socket.end(1006);
  await world.time.pass(1_000);
  await client.close();
  expect(early).toEqual([
    { state: "connecting" },
    { state: "connected", userId: "sara" },
    { state: "waiting", retryAt: world.time.now() - 1_000 + 125, reason: "lost" },
    { state: "connecting" },
    { state: "closed" },
  ]);
});

test("every onX ends by its function and by its signal", async () => {
  const world = new World();
  const client = await world.connected();
  const told: string[] = [];
  const abort = new AbortController();
  const leave = [
    client.onStatus(() => void told.push("status")),
    client.onReceipt(() => void told.push("receipt")),
    client.onGap(() => void told.push("gap")),
    client.onError(() => void told.push("error")),
    client.onSubscriptions(() => void told.push("subscriptions")),
  ];
  client.onError(() => {}); // What nobody hears of is an unhandled error.
  client.onStatus(() => void told.push("status"), { signal: abort.signal });
  client.onReceipt(() => void told.push("receipt"), { signal: abort.signal });
  client.onGap(() => void told.push("gap"), { signal: abort.signal });
  client.onError(() => void told.push("error"), { signal: abort.signal });
  client.onSubscriptions(() => void told.push("subscriptions"), { signal: abort.signal });
  client.onStatus(() => void told.push("aborted before"), { signal: AbortSignal.abort() });
  client.onSubscriptions(() => void told.push("aborted before"), { signal: AbortSignal.abort() });
  client.onMessage(() => Promise.reject(new Error("mine")));
  const everything = async () => {
    const live = entry(1) as { envelope: Uint8Array };
    await world.socket.say(
      { type: "receipt", kind: "read", topic: "omid/default", id: "i", epoch: 1, offset: 2, at: 3 },
      { type: "gap", topic: "sara/default", epoch: 7, offset: 0 },
      { type: "ephemeral", topic: "sara/default", envelope: live.envelope },
      { type: "subscribed", topic: "*/room", epoch: 7, offset: 0, recovered: true },
      { type: "unsubscribed", topic: "*/room" },
    );
    await world.again();
  };
  expect(told).toEqual(["status", "subscriptions", "status", "subscriptions"]);
  told.length = 0;
  await everything();
  expect(told.toSorted()).toEqual([
    ..."error error gap gap receipt receipt".split(" "),
    ...Array(6).fill("status"),
    ...Array(4).fill("subscriptions"),
  ]);
  leave.forEach((leave) => leave());
  abort.abort();
  told.length = 0;
  await everything();
  expect(told).toEqual([]);
  await client.close();
});

test("reconnects wait a random part of a backoff that doubles from 250 ms to 30 s, where the client was welcome before", async () => {
  const world = new World();
  const client = world.connect();
  await quiet();
  await world.socket.welcome();
  const waits: number[] = [];
  client.onStatus((status) => {
    if (status.state === "waiting") waits.push(status.retryAt - world.time.now());
  });
  for (let i = 0; i < 10; i++) {
    world.time.chance = i % 2 ? 1 : 0.5;
    await quiet();
    await world.socket.end(1006);
    await world.time.pass(waits.at(-1)!);
  }
  expect(waits).toEqual([125, 500, 500, 2_000, 2_000, 8_000, 8_000, 30_000, 15_000, 30_000]);
  expect(world.sockets).toHaveLength(11);
  await client.close();
});

test("the backoff begins anew after a connection that lasted 5 s, not after a shorter one", async () => {
  const world = new World();
  const client = world.connect();
  const waits: number[] = [];
  client.onStatus((status) => {
    if (status.state === "waiting") waits.push(status.retryAt - world.time.now());
  });
  for (const lasts of [4_999, 4_999, 5_000, 4_999]) {
    await quiet();
    await world.socket.welcome();
    await world.time.pass(lasts);
    await world.socket.end(1006);
    await world.time.pass(10_000);
  }
  expect(waits).toEqual([125, 250, 125, 250]);
  await client.close();
});

test.each(["unauthorized", "replaced", "protocol", "signedOut", "tooLarge", "version"] as const)(
  "%s ends the client for good: it says so, and rejects what waits",
  async (reason) => {
    const world = new World();
    const client = await world.connected();
    const statuses = follow(client);
    const publish = client.publish({ to: "omid" });
    await quiet();
    await world.socket.say({
      type: "error",
      ref: null,
      code: "unauthorized",
      retryable: false,
      retryAfterMs: null,
      hint: "The token is too old.",
    });
    await world.socket.end(CloseCode[reason]);
    expect(statuses.at(-1)).toEqual({ state: "closed", reason, hint: "The token is too old." });
    const code = { unauthorized: "unauthorized", replaced: "replaced", signedOut: "signed-out" }[reason as string] ?? "closed";
    await expect(publish).rejects.toMatchObject({ name: "PeykError", code });
    await expect(client.publish({ to: "omid" })).rejects.toMatchObject({ code });
    await world.time.pass(100_000);
    expect(world.sockets).toHaveLength(1);
    expect(world.time.pending).toBe(0);
  },
);

test.each([1000, 1001, 1006, 4000, 4001, 4002, 4003, 4004, 4005, 4006])("close code %i brings the client back", async (code) => {
  const world = new World();
  const client = await world.connected();
  await world.socket.end(code);
  await world.time.pass(250);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("the engine's retryAfterMs is waited for before coming back", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say({ type: "error", ref: null, code: "too-many", retryable: true, retryAfterMs: 7_000, hint: null });
  await world.socket.end(CloseCode.overloaded);
  await world.time.pass(6_999);
  expect(world.sockets).toHaveLength(1);
  await world.time.pass(1);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("a token function is asked at each connect; what it gives goes into hello, not into the URL", async () => {
  const world = new World();
  let asked = 0;
  const client = world.connect({ token: () => Promise.resolve(`secret-${++asked}`) });
  await quiet();
  await world.socket.welcome();
  expect(world.socket.one("hello").token).toBe("secret-1");
  await world.socket.end(CloseCode.expired);
  await world.time.pass(250);
  await world.socket.welcome();
  expect(world.socket.one("hello").token).toBe("secret-2");
  expect(world.sockets.map(({ url, protocols }) => [url, protocols])).toEqual([
    ["ws://engine.test/peyk", ["peyk.v1"]],
    ["ws://engine.test/peyk", ["peyk.v1"]],
  ]);
  await client.close();
});

test("a token function that fails is asked again after a backoff", async () => {
  const world = new World();
  let asked = 0;
  const client = world.connect({
    token: () => {
      if (++asked === 1) throw new Error("offline");
      return "fresh";
    },
  });
  const statuses = follow(client);
  await quiet();
  expect(statuses.at(-1)).toMatchObject({ state: "waiting", reason: "token" });
  await world.time.pass(125);
  await world.socket.welcome();
  expect(world.socket.one("hello").token).toBe("fresh");
  await client.close();
});

test("a token that comes after the try was given up opens no second socket", async () => {
  const world = new World();
  const slow: ((token: string) => void)[] = [];
  const client = world.connect({ token: () => new Promise<string>((resolve) => slow.push(resolve)) });
  await world.time.pass(20_125);
  expect(slow).toHaveLength(2);
  slow.forEach((give) => give("late"));
  await quiet();
  expect(world.sockets).toHaveLength(1);
  await client.close();
});

test("a token function that fails after its try was given up disturbs nothing", async () => {
  const world = new World();
  const slow: ((error: Error) => void)[] = [];
  const client = world.connect({ token: () => new Promise<string>((_resolve, reject) => slow.push(reject)) });
  await world.time.pass(20_125);
  const statuses = follow(client);
  slow[0]!(new Error("late"));
  await quiet();
  expect(statuses).toEqual([{ state: "connecting" }]);
  await client.close();
});

test("expiring: a fresh token is sent on the same connection", async () => {
  const world = new World();
  let asked = 0;
  const client = await world.connected([], { token: () => `t${++asked}` });
  await world.socket.say({ type: "expiring", inMs: 60_000 });
  expect(world.socket.one("token").token).toBe("t2");
  expect(world.sockets).toHaveLength(1);
  await client.close();
});

test("no welcome within 20 s: the client gives the socket up and tries again", async () => {
  const world = new World();
  const client = world.connect();
  await quiet();
  await world.socket.open();
  await world.time.pass(19_999);
  expect(world.socket.closedWith).toBeUndefined();
  await world.time.pass(1);
  expect(world.sockets[0]!.closedWith).toBe(CloseCode.helloTimeout);
  await world.time.pass(125);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("silence for two heartbeats and 5 s means a dead socket: the client leaves it and comes back", async () => {
  const world = new World();
  const client = await world.connected();
  await world.time.pass(54_000);
  await world.socket.say({ type: "ping" });
  world.socket.answersClose = false; // It is dead.
  await world.time.pass(54_999);
  expect(world.socket.closedWith).toBeUndefined();
  await world.time.pass(1);
  expect(world.socket.closedWith).toBe(CloseCode.heartbeat);
  await world.time.pass(125);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("what a left socket still brings is not looked at", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  client.onMessage((message) => void got.push(message));
  const old = world.socket;
  await world.time.pass(55_000);
  await old.say(entry(1));
  await old.end(CloseCode.replaced);
  await world.time.pass(1_000);
  expect(got).toEqual([]);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("bytes that are no frames end the connection, not the client", async () => {
  const world = new World();
  const client = await world.connected();
  world.socket.raw(new Uint8Array([0xc1]));
  expect(world.socket.closedWith).toBe(CloseCode.protocol);
  await world.time.pass(125);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("drain: the client comes back at a random moment within the window", async () => {
  const world = new World();
  const client = await world.connected();
  const old = world.socket;
  world.time.chance = 0.25;
  await old.say({ type: "drain", windowMs: 8_000 });
  await world.time.pass(1_999);
  expect(world.sockets).toHaveLength(1);
  await world.time.pass(1);
  expect(old.closedWith).toBe(CloseCode.drain);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("drain: what is under way is finished first, what comes after waits for the next connection", async () => {
  const world = new World();
  const client = await world.connected();
  const old = world.socket;
  const first = client.publish({ to: "omid", id: "first" });
  await quiet();
  await old.say({ type: "drain", windowMs: 1_000 });
  await world.time.pass(500);
  const second = client.publish({ to: "omid", id: "second" });
  await world.time.pass(500);
  expect(old.closedWith).toBeUndefined();
  const { ref, id } = old.one("publish");
  await old.say({ type: "ok", ref, value: { id, topic: "omid/default", epoch: 1, offset: 1, durable: true, duplicate: false } });
  await first;
  expect(old.closedWith).toBe(CloseCode.drain);
  await world.socket.welcome();
  expect(world.socket.one("publish").id).toBe("second");
  void second.catch(() => {});
  await client.close();
});

test("drain: a node that closes early is not stormed, the moment stays", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say({ type: "drain", windowMs: 8_000 });
  await world.socket.end(CloseCode.drain);
  await world.time.pass(3_999);
  expect(world.sockets).toHaveLength(1);
  await world.time.pass(1);
  expect(world.sockets).toHaveLength(2);
  await client.close();
});

test("closing before the drain moment leaves no timer behind", async () => {
  const world = new World();
  const client = await world.connected();
  await world.socket.say({ type: "drain", windowMs: 8_000 });
  await client.close();
  expect(world.time.pending).toBe(0);
});

test("close leaves with 1000, tells the last ack, and leaves no timer behind", async () => {
  const world = new World();
  const client = await world.connected();
  client.onMessage(() => {});
  await world.socket.say(entry(1));
  await world.socket.say(entry(2));
  world.socket.take("ack");
  await client.close();
  expect(world.socket.one("ack")).toMatchObject({ seen: 2, cursors: [{ offset: 2 }] });
  expect(world.socket.closedWith).toBe(CloseCode.normal);
  expect(world.time.pending).toBe(0);
});

test("close resolves though the other side never answers", async () => {
  const world = new World();
  const client = await world.connected();
  world.socket.answersClose = false;
  let closed = false;
  void client.close().then(() => closed = true);
  await world.time.pass(999);
  expect(closed).toBe(false);
  await world.time.pass(1);
  expect(closed).toBe(true);
});

test.each(["before the socket", "while it opens", "while it waits"])("close works %s", async (moment) => {
  const world = new World();
  const client = world.connect();
  if (moment !== "before the socket") await quiet();
  if (moment === "while it waits") await world.socket.end(1006);
  await client.close();
  await client.close();
  await world.time.pass(100_000);
  expect(world.sockets).toHaveLength(moment === "before the socket" ? 0 : 1);
  expect(world.time.pending).toBe(0);
});

test("await using closes the client", async () => {
  const world = new World();
  {
    await using _client = await world.connected();
  }
  expect(world.socket.closedWith).toBe(CloseCode.normal);
});

test("connect refuses what is no engine's address, and takes http for ws", () => {
  for (const url of ["", "nowhere", "ftp://a.test", "ws://a.test/#b"]) {
    expect(() => connect(url)).toThrow(expect.objectContaining({ code: "bad-url" }));
  }
  expect(() => connect("ws://a.test", { deviceId: "a/b" })).toThrow(expect.objectContaining({ code: "bad-name" }));
  expect(() => connect("ws://a.test", { deviceId: "" })).toThrow(PeykError);
});

test("a made deviceId has 128 random bits and is kept; another address gets another one", async () => {
  const world = new World();
  const ids: string[] = [];
  for (let i = 0; i < 2; i++) {
    const client = world.connect();
    await quiet();
    await world.socket.open();
    ids.push(world.socket.one("hello").deviceId);
    await client.close();
  }
  const other = new World();
  await other.connected();
  await other.again();
  const foreign = other.socket.one("hello").deviceId;
  expect(ids[0]).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(ids[1]).toBe(ids[0]);
  expect(foreign).not.toBe(ids[0]);
});

test("nothing that is thrown, told or stored under a name shows the deviceId or the token", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0)], { token: "my-token", deviceId: "my-device" });
  const statuses = follow(client);
  await world.socket.end(CloseCode.unauthorized);
  const error = await client.publish({ to: "omid" }).catch((error) => `${error} ${JSON.stringify(error)}`);
  const shown = JSON.stringify([statuses, error, [...world.storage.rows]]);
  expect(shown).not.toMatch(/my-token|my-device/);
});

test("a listener that throws does not keep others from being told", async () => {
  const world = new World();
  const client = await world.connected();
  const thrown: unknown[] = [];
  const original = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (task) =>
    original(() => {
      try {
        task();
      } catch (error) {
        thrown.push((error as Error).message);
      }
    });
  try {
    const told: unknown[] = [];
    client.onGap(() => {
      throw new Error("mine");
    });
    client.onGap((gap) => void told.push(gap));
    await world.socket.say({ type: "gap", topic: "sara/default", epoch: 7, offset: 3 });
    expect(told).toHaveLength(1);
    expect(thrown).toEqual(["mine"]);
  } finally {
    globalThis.queueMicrotask = original;
  }
  await client.close();
});

test("where there is no WebSocket, connect says so and takes one as an option", async () => {
  const world = new World();
  const original = globalThis.WebSocket;
  try {
    Object.assign(globalThis, { WebSocket: undefined });
    expect(() => connect("ws://engine.test")).toThrow(expect.objectContaining({ code: "unsupported" }));
    const client = connect("ws://engine.test", { WebSocket: world.environment.WebSocket, storage: world.storage });
    await quiet();
    expect(world.socket.url).toBe("ws://engine.test/");
    expect([...world.storage.rows.keys()]).toEqual([expect.stringMatching(/^peyk:[0-9a-f]{12}$/)]);
    await client.close();
  } finally {
    Object.assign(globalThis, { WebSocket: original });
  }
});
