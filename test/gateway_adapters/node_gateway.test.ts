import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { Server as SocketIoServer } from "socket.io";
import { io } from "socket.io-client";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket as WsClient } from "ws";
import { serveNode } from "../../adapters/node.ts";
import { gateway, httpServer } from "./http_server.ts";
import { handshake, RawClient, rawFrame } from "./raw_client.ts";
import { RecordingAcceptor } from "./recording_acceptor.ts";

/** A browser-like client that keeps what it gets. */
async function client(url: string, protocol: string | undefined = "peyk.v1") {
  const socket = new WebSocket(url, protocol);
  socket.binaryType = "arraybuffer";
  const got: Uint8Array[] = [];
  const closes: { code: number; reason: string; wasClean: boolean }[] = [];
  socket.onmessage = ({ data }) => void got.push(new Uint8Array(data as ArrayBuffer));
  socket.onclose = ({ code, reason, wasClean }) => void closes.push({ code, reason, wasClean });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("refused"));
  });
  socket.onerror = null;
  onTestFinished(() => socket.close());
  return { socket, got, closes };
}

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

describe("bytes", () => {
  test("of every header size come back whole and in order", async () => {
    const { url, acceptor } = await gateway();
    const { socket, got } = await client(url);
    const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 5];
    for (const size of sizes) socket.send(new Uint8Array(size).map((_, i) => (i * 7 + size) % 256));
    await until(() => got.length === sizes.length);
    expect(got.map(({ length }) => length)).toEqual(sizes);
    expect(got.every((bytes) => bytes.every((byte, i) => byte === (i * 7 + bytes.length) % 256))).toBe(true);
    expect(acceptor.all).toHaveLength(1);
    expect(socket.protocol).toBe("peyk.v1");
  });

  test("reach the engine as plain Uint8Arrays, whose slice is a copy", async () => {
    const { url, acceptor } = await gateway();
    const { socket } = await client(url);
    socket.send(new Uint8Array([1, 2, 3]));
    await until(() => acceptor.last.messages.length === 1);
    const bytes = acceptor.last.messages[0]!;
    expect(Buffer.isBuffer(bytes)).toBe(false);
    bytes.slice()[0] = 9;
    expect([...bytes]).toEqual([1, 2, 3]);
  });

  test("sent to many in a row arrive at each, also when the same array is changed and sent again later", async () => {
    const { url, acceptor } = await gateway();
    const clients = await Promise.all(Array.from({ length: 5 }, () => client(url)));
    const shared = new Uint8Array([1, 1, 1]);
    const other = new Uint8Array([7]);
    for (const { connection } of acceptor.all) connection.send(shared);
    for (const { connection } of acceptor.all) connection.send(other);
    for (const { connection } of acceptor.all) connection.send(shared);
    await until(() => clients.every(({ got }) => got.length === 3));
    shared.fill(2);
    for (const { connection } of acceptor.all) connection.send(shared);
    await until(() => clients.every(({ got }) => got.length === 4));
    for (const { got } of clients) expect(got.map((bytes) => [...bytes])).toEqual([[1, 1, 1], [7], [1, 1, 1], [2, 2, 2]]);
  });

  test("keep their order around pongs, and no frame is cut by one", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    const ping = rawFrame({ opcode: 9, payload: Buffer.from("hi") });
    const big = rawFrame({ payload: new Uint8Array(60_000).fill(5) });
    raw.write(Buffer.concat(Array.from({ length: 20 }, () => [ping, big]).flat()));
    await until(() => raw.frames.length === 40);
    expect(raw.frames.filter(({ opcode }) => opcode === 10)).toHaveLength(20);
    expect(raw.frames.filter(({ opcode, payload }) => opcode === 2 && payload.length === 60_000)).toHaveLength(20);
    acceptor.last.connection.close(4000, "test over");
    await until(() => raw.closeCode === 4000);
  });

  test("that came with the handshake are not lost", async () => {
    const { port, acceptor } = await gateway();
    await RawClient.open(port, Buffer.concat([Buffer.from(handshake()), rawFrame({ payload: new Uint8Array([42]) })]));
    await until(() => acceptor.all[0]?.messages.length === 1);
    expect([...acceptor.last.messages[0]!]).toEqual([42]);
  });
});

describe("the request", () => {
  test("reaches the engine with url, headers and address", async () => {
    const { port, acceptor } = await gateway();
    await RawClient.open(port, handshake({ Cookie: "a=1; b=2", "X-Test": "yes" }, { path: "/peyk?room=9" }));
    await until(() => acceptor.all.length === 1);
    const { request } = acceptor.last;
    expect(request.url).toBe("http://127.0.0.1/peyk?room=9");
    expect(request.headers.get("cookie")).toBe("a=1; b=2");
    expect(request.headers.get("x-test")).toBe("yes");
    expect(request.remoteAddress).toBe("127.0.0.1");
  });

  test("still says where it came from when the other side is gone before anybody asks", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port, handshake({ "X-Test": "yes" }));
    await until(() => acceptor.all.length === 1);
    raw.socket.destroy();
    await until(() => acceptor.open === 0);
    const { request } = acceptor.last;
    expect([request.remoteAddress, request.url, request.headers.get("x-test")]).toEqual([
      "127.0.0.1",
      "http://127.0.0.1/peyk",
      "yes",
    ]);
  });

  test("of a page of the same host is taken, of another is answered 403", async () => {
    const { port, acceptor } = await gateway();
    const same = await RawClient.open(port, handshake({ Host: "here.test", Origin: "https://here.test" }));
    const foreign = await RawClient.open(port, handshake({ Host: "here.test", Origin: "https://evil.test" }));
    await until(() => same.status === 101 && foreign.ended);
    expect(foreign.status).toBe(403);
    expect(acceptor.all).toHaveLength(1);
  });

  test("of a listed origin is taken, and the same host is then not enough", async () => {
    const { port } = await gateway({ origins: ["https://app.test"] });
    const listed = await RawClient.open(port, handshake({ Host: "here.test", Origin: "https://app.test" }));
    const same = await RawClient.open(port, handshake({ Host: "here.test", Origin: "https://here.test" }));
    await until(() => listed.status === 101 && same.ended);
    expect(same.status).toBe(403);
  });

  test.each([[undefined], ["chat"], ["peyk.v2, chat"]])(
    "with the subprotocol %s is answered 400 and told the right one",
    async (protocol) => {
      const { port, acceptor } = await gateway();
      const raw = await RawClient.open(port, handshake({ "Sec-WebSocket-Protocol": protocol }));
      await until(() => raw.ended);
      expect(raw.status).toBe(400);
      expect(raw.answer).toContain("peyk.v1");
      expect(acceptor.all).toHaveLength(0);
    },
  );

  test("that offers several subprotocols gets ours echoed", async () => {
    const { port } = await gateway();
    const raw = await RawClient.open(port, handshake({ "Sec-WebSocket-Protocol": "chat, peyk.v1" }));
    await until(() => raw.status === 101);
    expect(raw.answer).toMatch(/sec-websocket-protocol: peyk\.v1\r\n/i);
  });

  test("that offers compression gets none", async () => {
    const { port } = await gateway();
    const raw = await RawClient.open(port, handshake({ "Sec-WebSocket-Extensions": "permessage-deflate" }));
    await until(() => raw.status === 101);
    expect(raw.answer).not.toMatch(/extensions/i);
  });
});

test("what is refused is reported with the reason and without a query", async () => {
  const { port, acceptor } = await gateway();
  const asked = [
    handshake({ Host: "here.test", Origin: "https://evil.test" }),
    handshake({ Host: "a:b:c" }),
    handshake({ "Sec-WebSocket-Protocol": "chat" }),
    handshake({ "Sec-WebSocket-Version": "7" }),
    handshake({ "Sec-WebSocket-Key": undefined }),
    handshake({}, { method: "POST" }),
    handshake({}, { path: "/other?token=secret" }),
  ];
  for (const request of asked) {
    const raw = await RawClient.open(port, request);
    await until(() => raw.ended);
    expect(raw.status).toBeGreaterThanOrEqual(400);
  }
  const taken = await RawClient.open(port, handshake());
  await until(() => taken.status === 101);
  expect(acceptor.refusals).toEqual([
    { reason: "origin", what: "https://evil.test at here.test" },
    { reason: "host", what: "a:b:c" },
    { reason: "subprotocol", what: "chat" },
    { reason: "handshake", what: "GET with version 7" },
    { reason: "handshake", what: "GET with version 13" },
    { reason: "handshake", what: "POST with version 13" },
    { reason: "path", what: "/other" },
  ]);
});

test("a path that others may answer is none that was refused", async () => {
  const { server, port, acceptor } = await gateway();
  server.on("upgrade", (request, socket) => request.url === "/other" && socket.end("HTTP/1.1 101 Mine\r\n\r\n"));
  const raw = await RawClient.open(port, handshake({}, { path: "/other" }));
  await until(() => raw.ended);
  expect(acceptor.refusals).toEqual([]);
});

describe("other paths", () => {
  test.each(["/", "/other", "/peyk/", "/peykx", "/PEYK", "/peyk/sub"])(
    "%s is answered 404 while nobody else listens",
    async (path) => {
      const { port, acceptor } = await gateway();
      const raw = await RawClient.open(port, handshake({}, { path }));
      await until(() => raw.ended);
      expect(raw.status).toBe(404);
      expect(acceptor.all).toHaveLength(0);
    },
  );

  test("belong to other upgrade listeners, whose sockets are left alone", async () => {
    const { server, port } = await gateway();
    server.on("upgrade", (request, socket) => {
      if (request.url === "/other") setTimeout(() => socket.end("HTTP/1.1 101 Mine\r\n\r\n"), 20);
    });
    const raw = await RawClient.open(port, handshake({}, { path: "/other" }));
    await until(() => raw.ended);
    expect(raw.answer).toBe("HTTP/1.1 101 Mine\r\n\r\n");
  });

  test("two gateways on one server serve their own path each", async () => {
    const { server, port, acceptor } = await gateway();
    const second = new RecordingAcceptor();
    serveNode(second, server, { path: "/second" });
    await client(`ws://127.0.0.1:${port}/second`);
    expect([acceptor.all.length, second.all.length]).toEqual([0, 1]);
  });

  test("plain requests still reach the app", async () => {
    const { port } = await gateway();
    expect(await (await fetch(`http://127.0.0.1:${port}/peyk`)).text()).toBe("the app");
  });

  test("after close() nothing is taken, and open connections go on", async () => {
    const { url, served, server } = await gateway();
    const { socket, got } = await client(url);
    served.close();
    expect(server.listenerCount("upgrade")).toBe(0);
    await expect(client(url)).rejects.toThrow("refused");
    socket.send(new Uint8Array([1]));
    await until(() => got.length === 1);
  });
});

test("Socket.IO works on the same http server at the same time", async () => {
  const { server, port, url, acceptor } = await gateway();
  const socketIo = new SocketIoServer(server);
  onTestFinished(() => void socketIo.close());
  socketIo.on("connection", (socket) => socket.on("echo", (text, answer) => answer(text)));
  const websocket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"] });
  const polling = io(`http://127.0.0.1:${port}`, { transports: ["polling"] });
  onTestFinished(() => void [websocket, polling].forEach((socket) => socket.close()));
  const { socket, got } = await client(url);
  const rounds = 20;
  for (let round = 0; round < rounds; round++) {
    socket.send(new Uint8Array([round]));
    expect(await Promise.all([websocket, polling].map((each) => each.emitWithAck("echo", `r${round}`)))).toEqual([
      `r${round}`,
      `r${round}`,
    ]);
  }
  await until(() => got.length === rounds);
  expect(acceptor.all).toHaveLength(1);
});

describe("saying goodbye", () => {
  test.each([1000, 1001, 3000, 4007])("a client's close code %i is reported", async (code) => {
    const { url, acceptor } = await gateway();
    const socket = new WsClient(url, "peyk.v1");
    await until(() => acceptor.all.length === 1);
    await until(() => socket.readyState === WsClient.OPEN);
    socket.close(code);
    await until(() => acceptor.open === 0);
    expect(acceptor.last.closed).toEqual([code]);
  });

  test("a socket that breaks has no close code", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.socket.resetAndDestroy();
    await until(() => acceptor.open === 0);
    expect(acceptor.last.closed).toEqual([1006]);
  });

  test("a socket that ends without a close frame has no close code, and our side ends too", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port, handshake(), true);
    await until(() => raw.status === 101);
    raw.socket.end();
    await until(() => acceptor.open === 0 && raw.ended);
    expect(acceptor.last.closed).toEqual([1006]);
  });

  test("a half-closed socket that takes nothing of its backlog ends when the engine closes it", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port, handshake(), true);
    await until(() => raw.status === 101);
    raw.socket.pause();
    const { connection, closed } = acceptor.last;
    for (let i = 0; i < 400; i++) connection.send(new Uint8Array(65_536));
    raw.socket.end();
    acceptor.onMessage = () => undefined;
    // The server has seen the end of the stream once it takes no more sends.
    await until(() => {
      const before = connection.bufferedAmount;
      connection.send(new Uint8Array(1));
      return before > 0 && connection.bufferedAmount === before;
    });
    expect(closed).toEqual([]);
    connection.close(4002, "slow");
    await until(() => closed.length === 1);
    raw.socket.destroy();
  });

  test("the server's code and reason reach the client; a long reason is cut, not thrown", async () => {
    const { url, acceptor } = await gateway();
    const { closes } = await client(url);
    acceptor.last.connection.close(4101, "replaced ".repeat(30));
    await until(() => closes.length === 1 && acceptor.open === 0);
    expect(closes[0]).toEqual({ code: 4101, reason: "replaced ".repeat(30).slice(0, 123), wasClean: true });
    expect(acceptor.last.closed).toEqual([4101]);
  });

  test("a client that never answers the close frame is cut off", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    acceptor.last.connection.close(4000, "drain");
    await until(() => raw.closeCode === 4000);
    expect(raw.ended).toBe(false);
    await until(() => raw.ended && acceptor.open === 0);
    expect(acceptor.last.closed).toEqual([1006]);
  });

  test("after close() the engine hears no more messages, writes nothing, and may close again", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    const { connection, messages, closed } = acceptor.last;
    connection.close(4103, "signed out");
    connection.send(new Uint8Array([1]));
    connection.close(4000, "again");
    raw.write(rawFrame({ payload: new Uint8Array([2]) }));
    raw.write(rawFrame({ opcode: 8, payload: Buffer.from([0x10, 0x07]) }));
    await until(() => raw.ended && closed.length > 0);
    expect(raw.frames.map(({ opcode }) => opcode)).toEqual([8]);
    expect(raw.closeCode).toBe(4103);
    expect(messages).toEqual([]);
    connection.send(new Uint8Array([1]));
    connection.close(1000, "gone already");
    expect(closed).toEqual([4103]);
  });
});

describe("limits", () => {
  test("a text message closes with 4102", async () => {
    const { url, acceptor } = await gateway();
    const { socket, closes } = await client(url);
    socket.send("hello");
    await until(() => closes.length === 1 && acceptor.open === 0);
    expect(closes[0]?.code).toBe(4102);
    expect(acceptor.last.messages).toEqual([]);
  });

  test("a message one byte too large closes with 4104, before it is read", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.write(rawFrame({ declared: 65_537n }));
    await until(() => raw.closeCode === 4104);
    raw.socket.destroy();
    await until(() => acceptor.open === 0);
    expect(acceptor.last.messages).toEqual([]);
  });

  test("a slow reader shows in bufferedAmount, and drained is reported when it has caught up", async () => {
    const { port, acceptor } = await gateway();
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    raw.socket.pause();
    const record = acceptor.last;
    let sent = 0;
    while (record.connection.bufferedAmount < 1_000_000) {
      record.connection.send(new Uint8Array(65_536));
      sent++;
      if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(record.drained).toBe(0);
    raw.socket.resume();
    await until(() => record.drained > 0);
    expect(record.connection.bufferedAmount).toBe(0);
    await until(() => raw.frames.length === sent);
    raw.socket.destroy();
  });

  test("each backlog is followed by one report that it is over, and whoever had none is not listened to for one", async () => {
    const { port, acceptor, server } = await gateway();
    const sockets: Socket[] = [];
    server.on("connection", (socket: Socket) => void sockets.push(socket));
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    const record = acceptor.last;
    record.connection.send(new Uint8Array(10));
    expect(sockets[0]!.listenerCount("drain")).toBe(0);
    for (const backlogs of [1, 2]) {
      raw.socket.pause();
      while (record.connection.bufferedAmount < 500_000) record.connection.send(new Uint8Array(65_536));
      raw.socket.resume();
      await until(() => record.drained === backlogs);
      expect([record.connection.bufferedAmount, sockets[0]!.listenerCount("drain")]).toEqual([0, 0]);
    }
    raw.socket.destroy();
  });
});

test("bad options are told when the gateway is made", async () => {
  const { server } = await httpServer();
  expect(() => serveNode(new RecordingAcceptor(), server, { path: "peyk" })).toThrow(
    expect.objectContaining({ code: "bad-config" }),
  );
  expect(() => serveNode(new RecordingAcceptor(), server, { origins: ["example.org"] })).toThrow(
    expect.objectContaining({ code: "bad-config" }),
  );
  expect(server.listenerCount("upgrade")).toBe(0);
});
