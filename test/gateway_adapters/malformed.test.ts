import { Buffer } from "node:buffer";
import { expect, onTestFinished, test, vi } from "vitest";
import { gateway } from "./http_server.ts";
import { handshake, RawClient, type RawFrame, rawFrame } from "./raw_client.ts";

// Every case is one TCP connection. All run on one server, beside one well-behaved client that must notice nothing.

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

/** Runs `step` for each case, 50 at a time. */
async function each<Case>(cases: readonly Case[], step: (item: Case) => Promise<void>): Promise<void> {
  for (let at = 0; at < cases.length; at += 50) await Promise.all(cases.slice(at, at + 50).map(step));
}

/** A gateway with a well-behaved client on it, and a check that it is served and every connection is closed exactly once. */
async function withBystander() {
  const served = await gateway();
  const bystander = await RawClient.open(served.port);
  onTestFinished(() => void bystander.socket.destroy());
  await until(() => bystander.status === 101);
  let echoes = 0;
  const undisturbed = async (): Promise<void> => {
    bystander.write(rawFrame({ payload: new Uint8Array([7]) }));
    echoes++;
    await until(() => bystander.frames.length === echoes);
  };
  const allClosedOnce = async (): Promise<void> => {
    await until(() => served.acceptor.open === 1);
    const [first, ...others] = served.acceptor.all;
    expect(first?.closed).toEqual([]);
    expect(others.every(({ closed }) => closed.length === 1)).toBe(true);
  };
  return { ...served, undisturbed, allClosedOnce };
}

test("512 frames of every opcode, reserved bits, final bit and mask bit: the illegal ones close with 4102", async () => {
  const { port, acceptor, undisturbed, allClosedOnce } = await withBystander();
  const payload = Buffer.from([0x03, 0xe8, 0x6f, 0x6b]); // as a close frame: 1000 "ok"
  const cases: Required<Pick<RawFrame, "opcode" | "rsv" | "fin" | "masked">>[] = [];
  for (let opcode = 0; opcode < 16; opcode++) {
    for (let rsv = 0; rsv < 8; rsv++) {
      for (const fin of [true, false]) for (const masked of [true, false]) cases.push({ opcode, rsv, fin, masked });
    }
  }
  const outcomes = new Map<number | string | undefined, number>();
  await each(cases, async (frame) => {
    const { opcode, rsv, fin, masked } = frame;
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.write(rawFrame({ ...frame, payload }));
    raw.socket.end();
    await until(() => raw.ended);
    const known = [1, 2, 8, 9, 10].includes(opcode);
    const legal = known && rsv === 0 && masked && (fin || opcode < 8);
    const answer = raw.frames[0];
    const outcome = raw.closeCode ?? answer?.opcode;
    if (!legal) expect([frame, raw.closeCode]).toEqual([frame, 4102]);
    else if (!fin) expect([frame, answer]).toEqual([frame, undefined]); // the rest never came
    else expect([frame, outcome]).toEqual([frame, { 1: 4102, 2: 2, 8: 1000, 9: 10, 10: undefined }[opcode]]);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  });
  expect(cases).toHaveLength(512);
  expect(Object.fromEntries(outcomes)).toEqual({ 4102: 506, 2: 1, 1000: 1, 10: 1, undefined: 3 });
  await allClosedOnce();
  expect(acceptor.all.slice(1).flatMap(({ closed }) => closed).filter((code) => code === 1000)).toHaveLength(1);
  expect(acceptor.all.slice(1).flatMap(({ messages }) => messages)).toHaveLength(1);
  await undisturbed();
});

test("sequences of frames that are no message close with a code of this protocol", async () => {
  const { port, acceptor, undisturbed, allClosedOnce } = await withBystander();
  const one = new Uint8Array([1]);
  const begin = rawFrame({ opcode: 2, fin: false, payload: one });
  const go = rawFrame({ opcode: 0, fin: false, payload: one });
  const many = (frame: Buffer, count: number) => Buffer.concat(Array.from({ length: count }, () => frame));
  const cases: [string, Buffer, number][] = [
    ["a message within a message", Buffer.concat([begin, rawFrame({ payload: one })]), 4102],
    ["a text begun within a binary", Buffer.concat([begin, rawFrame({ opcode: 1, fin: false })]), 4102],
    ["a continuation of nothing", go, 4102],
    ["a continuation after the end", Buffer.concat([begin, rawFrame({ opcode: 0, payload: one }), go]), 4102],
    ["a compressed continuation", Buffer.concat([begin, rawFrame({ opcode: 0, rsv: 4 })]), 4102],
    ["2,000 fragments of one byte", Buffer.concat([begin, many(go, 2_000)]), 4102],
    ["2,000 empty fragments", Buffer.concat([begin, many(rawFrame({ opcode: 0, fin: false }), 2_000)]), 4102],
    [
      "fragments that add up to too much",
      Buffer.concat([begin, many(rawFrame({ opcode: 0, fin: false, payload: new Uint8Array(8_192) }), 8)]),
      4104,
    ],
    ["one byte too much", rawFrame({ declared: 65_537n }), 4104],
    ["4 GiB declared", rawFrame({ declared: 2n ** 32n }), 4104],
    ["2^53 declared", rawFrame({ declared: 2n ** 53n }), 4104],
    ["2^64 - 1 declared", rawFrame({ declared: 2n ** 64n - 1n }), 4104],
    ["too large a ping", rawFrame({ opcode: 9, payload: new Uint8Array(126) }), 4102],
    ["a close frame of one byte", rawFrame({ opcode: 8, payload: one }), 4102],
    ["a close frame with code 0", rawFrame({ opcode: 8, payload: new Uint8Array(2) }), 4102],
    ["a close frame with code 1005", rawFrame({ opcode: 8, payload: Buffer.from([0x03, 0xed]) }), 4102],
    ["a close frame with code 65535", rawFrame({ opcode: 8, payload: Buffer.from([0xff, 0xff]) }), 4102],
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 4102],
  ];
  await each(cases, async ([what, bytes, code]) => {
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.write(bytes);
    await until(() => raw.closeCode !== undefined);
    expect([what, raw.closeCode]).toEqual([what, code]);
    raw.socket.destroy();
  });
  await allClosedOnce();
  // What was a whole message before the fault did arrive: the first two fragments of "a continuation after the end".
  expect(acceptor.all.slice(1).flatMap(({ messages }) => messages).map((bytes) => [...bytes])).toEqual([[1, 1]]);
  await undisturbed();
});

test("200 connections that stop at any byte of a frame are closed once and bring no message", async () => {
  const { port, acceptor, undisturbed, allClosedOnce } = await withBystander();
  const whole = rawFrame({ payload: new Uint8Array(200) });
  const cuts = Array.from({ length: 200 }, (_, cut) => cut);
  await each(cuts, async (cut) => {
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.write(whole.subarray(0, cut));
    if (cut % 2 === 0) raw.socket.end();
    else raw.socket.resetAndDestroy();
    await until(() => raw.ended);
  });
  await allClosedOnce();
  expect(acceptor.all.slice(1).flatMap(({ messages }) => messages)).toEqual([]);
  await undisturbed();
});

test("a frame that trickles in byte by byte is cut off before it holds much memory", async () => {
  const { port, acceptor, undisturbed, allClosedOnce } = await withBystander();
  const raw = await RawClient.open(port);
  await until(() => raw.status === 101);
  raw.socket.setNoDelay(true);
  raw.write(rawFrame({ declared: 60_000n }));
  while (raw.closeCode === undefined && !raw.ended) {
    raw.write(new Uint8Array(1));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(raw.closeCode).toBe(4102);
  expect(acceptor.all[1]?.messages).toEqual([]); // cut off within the message, not after it
  raw.socket.destroy();
  await allClosedOnce();
  await undisturbed();
});

test("a flood of 50,000 pings from somebody who reads no pongs ends or is served, and disturbs nobody", async () => {
  const { port, undisturbed, allClosedOnce } = await withBystander();
  const raw = await RawClient.open(port);
  await until(() => raw.status === 101);
  raw.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 50_000 }, () => rawFrame({ opcode: 9, payload: new Uint8Array(125) })));
  raw.write(pings);
  await undisturbed();
  raw.socket.destroy();
  await allClosedOnce();
});

test("100 handshakes with something wrong are answered 4xx or hung up on, and none is accepted", async () => {
  const { port, acceptor, undisturbed } = await withBystander();
  const wrong: string[] = [
    ...["", " ", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ===", "Ω".repeat(24), "=".repeat(24)].map((key) =>
      handshake({ "Sec-WebSocket-Key": key })
    ),
    ...["", "0", "7", "12", "14", "x", "-13", "13, 8"].map((version) => handshake({ "Sec-WebSocket-Version": version })),
    ...["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"].map((method) => handshake({}, { method })),
    ...["peyk.v1,,", ",peyk.v1", "peyk.v1 peyk.v1", "peyk.v1, peyk.v1", "peyk.v1;", '"peyk.v1"'].map((name) =>
      handshake({ "Sec-WebSocket-Protocol": name })
    ),
    ...["a b", "[", "x:y:z", "a@b", "a/b"].map((host) => handshake({ Host: host, Origin: "http://x" })),
    ...["null", "http://", "//127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1.x", "http://x@127.0.0.1", "\u00e9"].map((
      origin,
    ) => handshake({ Origin: origin })),
    handshake({ "Sec-WebSocket-Key": undefined }),
    handshake({ "Sec-WebSocket-Version": undefined }),
    handshake({ Filler: "x".repeat(200_000) }),
    ...Array.from({ length: 58 }, (_, i) => handshake().slice(0, 3 * (i + 1))),
  ];
  expect(wrong.length).toBeGreaterThanOrEqual(100);
  await each(wrong, async (text) => {
    const raw = await RawClient.open(port, text);
    raw.socket.end();
    await until(() => raw.ended);
    if (raw.status !== 0) expect([text.slice(0, 400), raw.status >= 400 && raw.status < 500]).toEqual([text.slice(0, 400), true]);
  });
  expect(acceptor.all).toHaveLength(1);
  await undisturbed();
});

test("100 refused handshakes whose sender resets at once leave the process alone", async () => {
  const { port, acceptor, undisturbed } = await withBystander();
  const refused = Array.from(
    { length: 100 },
    (_, i) => i % 2 === 0 ? handshake({}, { path: "/other" }) : handshake({ Origin: "http://evil.test" }),
  );
  await each(refused, async (text) => {
    const raw = await RawClient.open(port, text);
    await new Promise((resolve) => raw.socket.write("x", resolve));
    raw.socket.resetAndDestroy();
    await until(() => raw.ended);
  });
  expect(acceptor.all).toHaveLength(1);
  await undisturbed();
});

test("handshakes that never end hold up nobody", async () => {
  const { port, acceptor, undisturbed } = await withBystander();
  const slow = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(port, handshake().slice(0, -2))));
  await undisturbed();
  const fresh = await RawClient.open(port);
  await until(() => fresh.status === 101);
  expect(acceptor.all).toHaveLength(2);
  for (const raw of [...slow, fresh]) raw.socket.destroy();
});
