import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type WebSocket, WebSocket as WsClient, WebSocketServer } from "ws";
import { connect, type Status, type WebSocketConstructor } from "../../src/client/client.ts";
import { decodeClientFrames, encodeServerFrame } from "../../src/protocol/codec.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { at, entry } from "./fake_server.ts";

/** The other end of a real connection. */
interface Peer {
  say(frame: ServerFrame): void;
  next<Type extends ClientFrame["type"]>(type: Type): Promise<Extract<ClientFrame, { type: Type }>>;
  close(code: number): void;
  closed: Promise<number>;
}

const open: (() => void)[] = [];
afterEach(() => open.splice(0).forEach((close) => close()));

async function listen(): Promise<{ url: string; peer(): Promise<Peer> }> {
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, handleProtocols: (protocols) => protocols.has("peyk.v1") && "peyk.v1" });
  const peers: Peer[] = [];
  const waiting: ((peer: Peer) => void)[] = [];
  sockets.on("connection", (socket) => {
    const peer = peerOf(socket);
    const wanted = waiting.shift();
    if (wanted) wanted(peer);
    else peers.push(peer);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  open.push(() => {
    for (const socket of sockets.clients) socket.terminate();
    http.close();
  });
  return {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}/peyk`,
    peer: () => peers.length > 0 ? Promise.resolve(peers.shift()!) : new Promise((resolve) => waiting.push(resolve)),
  };
}

function peerOf(socket: WebSocket): Peer {
  let frames: ClientFrame[] = [];
  let changed = () => {};
  socket.on("message", (data: Uint8Array) => {
    frames.push(...decodeClientFrames(new Uint8Array(data)));
    changed();
  });
  return {
    say: (frame) => socket.send(encodeServerFrame(frame)),
    async next(type) {
      for (;;) {
        const found = frames.find((frame) => frame.type === type);
        if (found) {
          frames = frames.filter((frame) => frame !== found);
          return found as never;
        }
        await new Promise<void>((resolve) => changed = resolve);
      }
    },
    close: (code) => socket.close(code),
    closed: new Promise((resolve) => socket.on("close", resolve)),
  };
}

const welcome: ServerFrame = {
  type: "welcome",
  version: 1,
  userId: "sara",
  time: 0,
  heartbeatMs: 25_000,
  ackMs: 250,
  inputMs: 30_000,
  limits: { frameBytes: 65_536, topics: 128 },
  recovery: [at("sara/default", 0)],
};

test("over a real socket: hello, a message, its ack, a publish, a lost connection, goodbye", async () => {
  const server = await listen();
  const client = connect(server.url, { token: "t" });
  const got = client.messages();
  const next = got.next();
  const first = await server.peer();
  const { deviceId } = await first.next("hello");
  first.say(welcome);
  first.say(entry(1));
  expect((await next).value).toMatchObject({ content: "1" });
  expect((await first.next("ack")).seen).toBe(1);
  const publish = client.publish({ to: "omid", content: "hi" });
  const { id } = await first.next("publish");
  first.close(4002);
  const second = await server.peer();
  expect((await second.next("hello")).deviceId).toBe(deviceId);
  second.say(welcome);
  const again = await second.next("publish");
  expect(again.id).toBe(id);
  second.say({
    type: "ok",
    ref: again.ref,
    value: { id, topic: "omid/default", epoch: 1, offset: 1, durable: true, duplicate: false },
  });
  expect((await publish).id).toBe(id);
  await client.close();
  expect(await second.closed).toBe(1000);
});

test("over a real socket: a close code that says so ends the client", async () => {
  const server = await listen();
  const client = connect(server.url);
  const peer = await server.peer();
  await peer.next("hello");
  const closed = new Promise<Status>((resolve) => client.onStatus((status) => status.state === "closed" && resolve(status)));
  peer.close(4100);
  expect(await closed).toEqual({ state: "closed", reason: "unauthorized" });
});

test("over a real socket: an address where nobody listens is waited for", async () => {
  const server = await listen();
  open.splice(0).forEach((close) => close());
  const client = connect(server.url);
  const waiting = await new Promise<Status>((resolve) =>
    client.onStatus((status) => status.state === "waiting" && resolve(status))
  );
  expect(waiting).toMatchObject({ reason: "unreachable" });
  await client.close();
});

const isDeno = "Deno" in globalThis;

test.each([
  { WebSocket: "the runtime's", from: undefined, reason: isDeno ? "refused" : "unreachable" },
  { WebSocket: "that of ws", from: WsClient, reason: "refused" },
])(
  "over a real socket: an upgrade refused with 403 has $reason as its reason with $WebSocket WebSocket",
  async ({ from, reason }) => {
    const http = createServer();
    http.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    open.push(() => http.close());
    const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/peyk`;
    const client = connect(url, from ? { WebSocket: from as unknown as WebSocketConstructor } : {});
    const waiting = await new Promise<Status>((resolve) =>
      client.onStatus((status) => status.state === "waiting" && resolve(status))
    );
    expect(waiting).toMatchObject({
      reason,
      hint: expect.stringContaining(reason === "refused" ? "HTTP 403" : "the server's log"),
    });
    await client.close();
  },
);
