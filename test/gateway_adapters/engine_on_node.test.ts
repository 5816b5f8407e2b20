import { Server as SocketIoServer } from "socket.io";
import { io } from "socket.io-client";
import { expect, onTestFinished, test, vi } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import { createEngine, type EngineOptions } from "../../mod.ts";
import { connect } from "../../src/client/client.ts";
import { encodeClientFrame } from "../../src/protocol/codec.ts";
import { helloFrame } from "../gateway/wire.ts";
import { httpServer } from "./http_server.ts";
import { handshake, RawClient, rawFrame } from "./raw_client.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

/** An engine behind a real http server, with a real client that is there for the whole test. */
async function served(options: EngineOptions = {}) {
  const { server, port } = await httpServer();
  const engine = await createEngine({ insecure: true, ...options });
  onTestFinished(() => engine.close());
  serveNode(engine, server);
  const url = `ws://127.0.0.1:${port}/peyk`;
  const bystander = client(url, "bystander");
  await until(() => engine.counters().attached === 1);
  let sent = 0;
  /** The bystander gets what is sent to it, and got everything before. */
  const undisturbed = async (): Promise<void> => {
    await engine.publish({ to: "bystander", content: `${sent++}` });
    await until(() => bystander.contents.length === sent);
    expect(bystander.contents).toEqual(Array.from({ length: sent }, (_, i) => `${i}`));
    expect(bystander.lost).toBe(0);
  };
  return { server, engine, port, url, undisturbed };
}

/** The project's own client, keeping what it gets. */
function client(url: string, token: string) {
  const peyk = connect(url, { token });
  onTestFinished(() => peyk.close());
  const kept = { peyk, contents: [] as (string | undefined)[], lost: 0 };
  peyk.onMessage(({ content }) => void kept.contents.push(content));
  peyk.onStatus(({ state }) => void (state === "waiting" && kept.lost++));
  return kept;
}

const frameOf = (payload: Uint8Array) => rawFrame({ payload });
const hello = frameOf(encodeClientFrame(helloFrame("raw")));

test("a foreign origin and a wrong subprotocol get no connection, and nobody else notices", async () => {
  const { engine, port, undisturbed } = await served();
  for (
    const [headers, status] of [[{ Origin: "https://evil.test" }, 403], [{ "Sec-WebSocket-Protocol": "chat" }, 400]] as const
  ) {
    const raw = await RawClient.open(port, handshake(headers));
    await until(() => raw.status === status);
    raw.socket.destroy();
    await undisturbed();
  }
  expect(engine.counters()).toMatchObject({ connections: 1, attached: 1 });
});

test.each<[string, Uint8Array[], number]>([
  ["garbage for a hello", [frameOf(new Uint8Array([0xc1, 0, 1]))], 4102],
  ["garbage after the hello", [hello, frameOf(new Uint8Array(60_000).fill(0x91))], 4102],
  ["no WebSocket frame", [hello, new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")], 4102],
  ["a message beyond the limit", [hello, frameOf(new Uint8Array(65_537))], 4104],
  ["text", [hello, rawFrame({ opcode: 1, payload: new TextEncoder().encode("hi") })], 4102],
  ["a second hello", [hello, hello], 4102],
  [
    "an ack of what was never sent",
    [hello, frameOf(encodeClientFrame({ type: "ack", seen: 5, cursors: [], idleMs: null, waiting: 0 }))],
    4102,
  ],
  ["a protocol of the future", [frameOf(encodeClientFrame(helloFrame("raw", { version: 9 })))], 4105],
])("%s closes that one connection with a code, and the others go on", async (_, messages, code) => {
  const { engine, port, undisturbed } = await served();
  const raw = await RawClient.open(port);
  await until(() => raw.status === 101);
  for (const [i, bytes] of messages.entries()) {
    if (i > 0) await until(() => raw.frames.length > 0);
    raw.write(bytes);
  }
  await until(() => raw.closeCode !== undefined);
  expect(raw.closeCode).toBe(code);
  await undisturbed();
  raw.socket.destroy();
  await until(() => engine.counters().connections === 1);
});

test("a socket that is reset in the middle of anything leaves its session behind as recent, and the others untouched", async () => {
  const { engine, port, undisturbed } = await served();
  for (let cut = 0; cut < 40; cut += 5) {
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.write(hello);
    raw.write(
      frameOf(encodeClientFrame({ type: "subscribe", ref: 1, topic: "*/news", since: null, anew: false })).subarray(0, cut),
    );
    await until(() => raw.frames.length > 0);
    raw.socket.resetAndDestroy();
    await until(() => engine.counters().connections === 1);
    await undisturbed();
  }
  expect(await engine.sessions("raw")).toMatchObject([{ state: "disconnected.recent" }]);
});

test("Peyk and Socket.IO on one http server both deliver to their own", async () => {
  const { server, engine, port, undisturbed } = await served();
  const socketIo = new SocketIoServer(server);
  onTestFinished(() => void socketIo.close());
  socketIo.on("connection", (socket) => socket.on("echo", (text, answer) => answer(text)));
  const others = ["websocket", "polling"].map((transport) => io(`http://127.0.0.1:${port}`, { transports: [transport] }));
  onTestFinished(() => others.forEach((socket) => void socket.close()));
  for (let round = 0; round < 10; round++) {
    expect(await Promise.all(others.map((socket) => socket.emitWithAck("echo", round)))).toEqual([round, round]);
    await undisturbed();
  }
  expect(engine.counters()).toMatchObject({ connections: 1, refused: { subprotocol: 0, left: 0 } });
});

test("a burst to a public channel reaches all real clients, each once and in order", async () => {
  const { engine, url } = await served();
  const users = Array.from({ length: 10 }, (_, i) => `user${i}`);
  await Promise.all(users.map((user) => engine.subscribe(user, { to: "*", channel: "news" })));
  const clients = users.map((user) => client(url, user));
  await until(() => engine.counters().attached === 11);
  const contents = Array.from({ length: 160 }, (_, i) => `news ${i}`);
  for (let i = 0; i < contents.length; i += 16) {
    await Promise.all(contents.slice(i, i + 16).map((content) => engine.publish({ to: "*", channel: "news", content })));
  }
  await until(() => clients.every((each) => each.contents.length === contents.length));
  for (const each of clients) expect(each.contents).toEqual(contents);
});
