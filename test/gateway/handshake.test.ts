import { expect, test } from "vitest";
import { type Identity, PeykError } from "../../mod.ts";
import type { ClientFrame, Cursor } from "../../src/protocol/frames.ts";
import { encodeClientFrame, encodePayload } from "../../src/protocol/codec.ts";
import { createBench, helloFrame } from "./wire.ts";

const requests: ClientFrame[] = [
  { type: "publish", ref: 1, topic: "sara/default", id: "m", options: null, payload: encodePayload("hi", undefined) },
  { type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false },
  { type: "unsubscribe", ref: 1, topic: "*/news" },
  { type: "token", ref: 1, token: "sara" },
  { type: "mark", ref: 1, kind: "read", topic: "sara/default", epoch: 1, offset: 1 },
  { type: "target", ref: 1, provider: "webhook", token: "t", details: null },
  { type: "logout", ref: 1 },
];
const others: ClientFrame[] = [
  { type: "cursors", cursors: [], more: false },
  { type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 },
  { type: "state", visible: true, idleMs: 0 },
  { type: "failed", topic: "sara/default", epoch: 1, offset: 1, reason: "threw" },
];

test("a connection without a hello is closed with 4003 after 10 s, and may come back", async () => {
  const { clock, wire } = await createBench();
  const silent = wire();
  await clock.advance(9_999);
  expect(silent.closedWith).toBeUndefined();
  await clock.advance(1);
  expect(silent.of("error")).toMatchObject([{ ref: null, code: "timeout", retryable: true }]);
  expect(silent.closedWith).toBe(4003);
});

test("half a hello buys no time", async () => {
  const { clock, wire } = await createBench();
  const slow = wire();
  slow.hello("sara", { more: true });
  await clock.advance(9_000);
  slow.send({ type: "cursors", cursors: [], more: true });
  await clock.advance(1_000);
  expect(slow.end).toBe("timeout 4003");
});

test.each([null, undefined, false])(
  "authenticate answering %s refuses with an error frame and 4100, and leaves nothing behind",
  async (no) => {
    const { clock, engine, open } = await createBench({ authenticate: () => no as null });
    const timers = clock.timers;
    const refused = await open("sara");
    expect(refused.of("error")).toMatchObject([{ ref: null, code: "unauthorized", retryable: false }]);
    expect(refused.closedWith).toBe(4100);
    expect(await engine.sessions("sara")).toEqual([]);
    expect(engine.counters()).toMatchObject({ refused: { unauthorized: 1 }, attached: 0, connections: 0, sessions: 0 });
    await clock.advance(60_000); // The log waits so long for more of the kind.
    expect(clock.timers).toBe(timers);
  },
);

test("an authenticate that throws refuses for now: the client may come back, and gets in", async () => {
  let broken = true;
  const { errors, open } = await createBench({
    authenticate: ({ token }) => {
      if (broken) throw new Error("the database is down");
      return { userId: token! };
    },
  });
  const refused = await open("sara");
  expect(refused.of("error")).toMatchObject([{ ref: null, code: "unavailable", retryable: true }]);
  expect(JSON.stringify(refused.frames)).not.toContain("database");
  expect(refused.closedWith).toBe(4005);
  expect(errors).toEqual(["authenticate() failed"]);
  broken = false;
  expect((await open("sara")).frames[0]?.type).toBe("welcome");
});

test("an authenticate that throws a PeykError says its code to the client", async () => {
  const { open } = await createBench({
    authenticate: () => {
      throw new PeykError("too-many", "slow down", { retryable: true, retryAfterMs: 1_500.5, hint: "half a \ud83d" });
    },
  });
  const refused = await open("sara");
  expect(refused.of("error")).toMatchObject([{ code: "too-many", retryable: true, retryAfterMs: 1_501, hint: "half a \ufffd" }]);
  expect(refused.closedWith).toBe(4006);
});

test("a token that has run out already is told apart from a wrong one", async () => {
  for (const expiresAt of [0, -1]) {
    const { open } = await createBench({ authenticate: ({ token }) => ({ userId: token!, expiresAt }) });
    expect((await open("sara")).end).toBe("expired 4001");
  }
});

test("a client that leaves while it is authenticated leaves nothing behind", async () => {
  const asked = Promise.withResolvers<Identity>();
  const { clock, engine, open } = await createBench({ authenticate: () => asked.promise });
  const timers = clock.timers;
  const gone = await open("sara");
  gone.drop();
  asked.resolve({ userId: "sara" });
  await clock.settle();
  expect(await engine.sessions("sara")).toEqual([]);
  expect(engine.counters()).toMatchObject({ attached: 0, connections: 0, sessions: 0 });
  expect(gone.frames).toEqual([]);
  expect(clock.timers).toBe(timers);
});

test("an authenticate that never answers is given up with 4003, and its late answer changes nothing", async () => {
  const asked = Promise.withResolvers<Identity>();
  const { clock, engine, open } = await createBench({ authenticate: () => asked.promise });
  const waiting = await open("sara");
  await clock.advance(10_000);
  expect(waiting.end).toBe("timeout 4003");
  asked.resolve({ userId: "sara" });
  await clock.settle();
  expect(await engine.sessions("sara")).toEqual([]);
  expect(waiting.late).toBe(0);
});

test.each(["leave", "drop"] as const)(
  "a client that goes at any moment of its attaching (%s) is never taken for connected",
  async (way) => {
    const { clock, engine, wire, state } = await createBench();
    const timers = clock.timers;
    const states = new Set<string | undefined>();
    for (let moment = 0; moment < 60; moment++) {
      const user = `user${moment}`;
      const connection = wire();
      connection.hello(user);
      for (let i = 0; i < moment; i++) await Promise.resolve();
      connection[way]();
      await clock.settle();
      states.add(await state(user));
      expect(connection.late).toBe(0);
    }
    expect([...states].sort()).toEqual(way === "leave" ? ["disconnected.away", undefined] : ["disconnected.recent", undefined]);
    await clock.advance(15_000);
    expect(engine.counters()).toMatchObject({ connections: 0, sessions: 0 });
    expect(clock.timers).toBe(timers);
  },
);

test("a version that the server does not speak is refused with 4105 at once", async () => {
  const { clock, wire } = await createBench();
  const future = wire();
  future.hello("sara", { version: 2, more: true });
  await clock.settle();
  expect(future.of("error")).toMatchObject([{
    code: "unsupported",
    retryable: false,
    hint: expect.stringContaining("version 1"),
  }]);
  expect(future.closedWith).toBe(4105);
});

test.each(["", "*", "a/b", "tab\there", "x".repeat(129), "ü".repeat(65)])(
  "a deviceId %j is a bad name, and so is a token that is taken for a userId",
  async (name) => {
    const { engine, errors, open } = await createBench({ insecure: true });
    expect((await open("sara", { deviceId: name })).end).toBe("bad-name 4102");
    expect((await open(name, { deviceId: "phone" })).end).toBe("bad-name 4102");
    expect(errors).toEqual([]);
    expect(engine.counters().sessions).toBe(0);
  },
);

test.each([...requests, ...others])("$type before hello closes with bad-order", async (frame) => {
  const { clock, wire } = await createBench();
  const hasty = wire();
  hasty.send(frame);
  await clock.settle();
  expect(hasty.end).toBe("bad-order 4102");
});

test.each([helloFrame("sara"), ...requests, ...others])(
  "$type between hello and welcome closes with bad-order",
  async (frame) => {
    const { clock, engine, wire } = await createBench();
    const hasty = wire();
    hasty.send(helloFrame("sara"), frame);
    await clock.settle();
    expect(hasty.end).toBe("bad-order 4102");
    expect(engine.counters().connections).toBe(0);
  },
);

test.each([helloFrame("sara"), others[0]!])("$type after the welcome closes with bad-order", async (frame) => {
  const { clock, open } = await createBench();
  const sara = await open("sara");
  sara.send(frame);
  await clock.settle();
  expect(sara.end).toBe("bad-order 4102");
});

test("an ack, or a report, of what was never sent closes with bad-order", async () => {
  const { clock, engine, open } = await createBench();
  const frames: ((cursor: Cursor) => ClientFrame)[] = [
    () => ({ type: "ack", seen: 2, cursors: [], idleMs: null, waiting: 0 }),
    (cursor) => ({ type: "ack", seen: 1, cursors: [{ ...cursor, offset: cursor.offset + 1 }], idleMs: null, waiting: 0 }),
    (cursor) => ({ type: "failed", ...cursor, offset: cursor.offset + 1, reason: "threw" }),
  ];
  for (const [i, frame] of frames.entries()) {
    const user = `user${i}`;
    const wire = await open(user);
    await engine.publish({ to: user, content: "one" });
    await clock.settle();
    const { topic, epoch, offset } = wire.of("message")[0]!;
    wire.send(frame({ topic, epoch, offset }));
    await clock.settle();
    expect(wire.end).toBe("bad-order 4102");
  }
});

test("a count that goes back closes with bad-order, a cursor that goes back or names another log is ignored", async () => {
  const { clock, engine, open } = await createBench();
  const sara = await open("sara");
  await engine.publish({ to: "sara", content: "one" });
  await clock.settle();
  sara.ack();
  const { topic, epoch } = sara.of("message")[0]!;
  sara.send({
    type: "ack",
    seen: 1,
    cursors: [{ topic, epoch, offset: 0 }, { topic, epoch: 99, offset: 7 }, { topic: "*/x", epoch, offset: 7 }],
    idleMs: null,
    waiting: 0,
  });
  expect(sara.closedWith).toBeUndefined();
  sara.send({ type: "ack", seen: 0, cursors: [], idleMs: null, waiting: 0 });
  expect(sara.end).toBe("bad-order 4102");
});

test("bytes that are no frames close with bad-frame, whatever was right before them in the message is not acted on", async () => {
  const { clock, engine, open } = await createBench();
  const faults = [[], [0xc1], [0x90], [0x91, 0x32], [0x91, 0x00], [0x92, 0x03, 0x00], [0x91, 0xcc, 0x80], [
    0xdd,
    0xff,
    0xff,
    0xff,
    0xff,
  ], [0x00]];
  const right = encodeClientFrame(requests[0]!);
  for (const fault of faults) {
    const sara = await open("sara");
    sara.raw(fault.length === 0 ? new Uint8Array(0) : right, new Uint8Array(fault));
    await clock.settle();
    expect(sara.end).toBe("bad-frame 4102");
  }
  expect(engine.counters().accepted).toBe(0);
});

test("unknown types from 96 to 127 are ignored, all others close", async () => {
  const { clock, open } = await createBench();
  for (let type = 1; type < 128; type++) {
    if (type <= 13) continue;
    const sara = await open(`user${type}`);
    sara.raw(new Uint8Array([0x92, type, 0xc3]));
    await clock.settle();
    expect([type, sara.end]).toEqual([type, type >= 96 ? "undefined undefined" : "bad-frame 4102"]);
    sara.drop();
  }
});

test("a hello in pages is answered after the last one, and all pages count", async () => {
  const { clock, engine, wire } = await createBench();
  for (const channel of ["default", "a", "b"]) {
    await engine.subscribe("sara", { to: "sara", channel, since: { epoch: 0, offset: 0 } });
    for (let i = 0; i < 3; i++) await engine.publish({ to: "sara", channel, content: `${channel} ${i}` });
  }
  const { epoch } = (await engine.publish({ to: "sara", channel: "a", content: "a 3" })).position!;
  const sara = wire();
  sara.hello("sara", { cursors: [{ topic: "sara/default", epoch, offset: 1 }], more: true });
  sara.send({ type: "cursors", cursors: [{ topic: "sara/a", epoch, offset: 4 }], more: true });
  await clock.settle();
  expect(sara.frames).toEqual([]);
  sara.send({ type: "cursors", cursors: [{ topic: "sara/b", epoch, offset: 2 }], more: false });
  await clock.settle();
  expect(sara.of("welcome")[0]?.recovery.map(({ topic, offset }) => `${topic} ${offset}`).sort()).toEqual([
    "sara/a 4",
    "sara/b 2",
    "sara/default 1",
  ]);
  expect(sara.contents).toEqual(expect.arrayContaining(["default 1", "default 2", "b 2"]));
  expect(sara.contents).toHaveLength(3);
});

test("10,000 cursors are taken, one more is refused", async () => {
  const { clock, wire } = await createBench();
  const page = Array.from({ length: 1_000 }, (_, i): Cursor => ({ topic: `*/c${i}`, epoch: 1, offset: 1 }));
  for (const extra of [0, 1]) {
    const sara = wire();
    sara.hello("sara", { more: true });
    for (let i = 1; i < 10; i++) sara.send({ type: "cursors", cursors: page, more: true });
    sara.send({ type: "cursors", cursors: page, more: extra === 1 });
    if (extra === 1) sara.send({ type: "cursors", cursors: page.slice(0, 1), more: false });
    await clock.settle();
    expect(sara.closedWith).toBe(extra === 1 ? 4102 : undefined);
    expect(sara.error).toBe(extra === 1 ? "bad-frame" : undefined);
  }
});

test("authenticate sees the request with its headers, the deviceId, and no token where there is none", async () => {
  const asked: unknown[] = [];
  const { clock, wire } = await createBench({
    authenticate: ({ token, deviceId, request }) => {
      asked.push([token, deviceId, request?.headers.get("cookie"), request?.remoteAddress]);
      return { userId: "sara" };
    },
  });
  const sara = wire({ url: "/peyk", headers: new Headers({ cookie: "sid=1" }), remoteAddress: "127.0.0.9" });
  sara.hello(null, { deviceId: "phone" });
  await clock.settle();
  expect(asked).toEqual([[undefined, "phone", "sid=1", "127.0.0.9"]]);
  expect(sara.of("welcome")).toMatchObject([{ version: 1, userId: "sara", time: clock.now(), heartbeatMs: 25_000, ackMs: 500 }]);
});

test("the welcome asks for acks in time for the policy: six in an ack timeout, every 500 ms at the rarest", async () => {
  for (const [ackTimeoutMs, ackMs] of [[3_000, 500], [60_000, 500], [300, 50]] as const) {
    const { open } = await createBench({ policy: { ackTimeoutMs } });
    expect((await open("sara")).of("welcome")[0]?.ackMs).toBe(ackMs);
  }
});
