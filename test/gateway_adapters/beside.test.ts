import { Buffer } from "node:buffer";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket as WsClient } from "ws";
import { serveDeno } from "../../adapters/deno.ts";
import { type GatewayOptions, serveNode, upgradeHandler, type UpgradeServer } from "../../adapters/node.ts";
import type { Acceptor } from "../../src/ports/connection.ts";
import { certificate, key } from "../tls/certificate.ts";
import { httpServer } from "./http_server.ts";
import { neighbours } from "./neighbours.ts";
import { handshake, RawClient, rawFrame } from "./raw_client.ts";
import { RecordingAcceptor } from "./recording_acceptor.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

/** An open socket that keeps what it gets. */
async function talking(url: string, protocol?: string) {
  const socket = new WsClient(url, protocol);
  onTestFinished(() => socket.terminate());
  const got: string[] = [];
  let closed: number | undefined;
  socket.on("message", (data) => void got.push(String(data)));
  socket.on("close", (code) => void (closed = code));
  const opened = new Promise<void>((resolve, reject) => socket.once("open", resolve).once("error", reject));
  socket.on("error", () => undefined);
  await opened;
  return { socket, got, closed: () => closed };
}

describe.each(Object.entries(neighbours))("beside %s", (_name, { start, protocol, asks, says }) => {
  test.each(["ours", "theirs"])("both work when %s is there first", async (first) => {
    const acceptor = new RecordingAcceptor();
    onTestFinished(() => acceptor.all.forEach(({ connection }) => connection.close(1001, "test over")));
    const serve = (server: UpgradeServer) => void serveNode(acceptor, server);
    const nothing = () => undefined;
    const url = await (first === "ours" ? start(serve, nothing) : start(nothing, serve));
    const theirs = await talking(url, protocol);
    const ours = await RawClient.open(Number(new URL(url).port));
    await until(() => ours.status === 101);
    if (asks !== undefined) theirs.socket.send(asks);
    await until(() => theirs.got.some((text) => says.test(text)));
    // Some end what is not theirs a little later.
    await new Promise((resolve) => setTimeout(resolve, 60));
    acceptor.last.connection.send(new Uint8Array([1]));
    await until(() => ours.frames.length === 1);
    expect([ours.ended, theirs.closed(), acceptor.all.length, acceptor.refusals]).toEqual([false, undefined, 1, []]);
    ours.socket.destroy();
  });
});

describe("an upgrade for nobody", () => {
  test("is answered by one of two gateways, once", async () => {
    const { server, port } = await httpServer();
    const [one, two] = [new RecordingAcceptor(), new RecordingAcceptor()];
    serveNode(one, server, { path: "/one" });
    serveNode(two, server, { path: "/two" });
    const raw = await RawClient.open(port, handshake({}, { path: "/three" }));
    await until(() => raw.ended);
    expect(raw.status).toBe(404);
    expect([...one.refusals, ...two.refusals]).toEqual([{ reason: "path", what: "/three" }]);
  });

  test("ends after 30 s beside a listener that does nothing, and one that is answered by then goes on", async () => {
    const { server, port } = await httpServer();
    const acceptor = new RecordingAcceptor();
    serveNode(acceptor, server);
    const asked: string[] = [];
    server.on("upgrade", ({ url }, socket) => {
      asked.push(url!);
      onTestFinished(() => void socket.destroy());
      if (url === "/later") setImmediate(() => socket.write("HTTP/1.1 101 Mine\r\n\r\n"));
      if (url === "/gone") setImmediate(() => socket.destroy());
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const [never, later] = await Promise.all([
      RawClient.open(port, "GET / HTTP/1.1\r\nHost: here.test\r\n\r\n"),
      ...["/later", "/gone"].map((path) => RawClient.open(port, handshake({}, { path }))),
    ]);
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    // Its connection is kept from an earlier request, which was answered.
    while (!never!.answer.endsWith("the app")) await turn();
    never!.write(handshake({}, { path: "/never" }));
    while (asked.length < 3 || later!.answer === "") await turn();
    while (vi.getTimerCount() > 2) await turn();
    vi.advanceTimersByTime(29_999);
    for (let i = 0; i < 20; i++) await turn();
    expect([never!.ended, acceptor.refusals]).toEqual([false, []]);
    vi.advanceTimersByTime(1);
    while (!never!.ended) await turn();
    expect([never!.answer.includes("HTTP/1.1 404"), later!.ended, acceptor.refusals]).toEqual([true, false, [{
      reason: "path",
      what: "/never",
    }]]);
  });
});

describe("an upgrade to another protocol", () => {
  const h2c = { Connection: "Upgrade, HTTP2-Settings", Upgrade: "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA" };

  test.each(["/", "/peyk"])("is a plain request for %s while nobody else upgrades", async (path) => {
    const { server, port } = await httpServer();
    serveNode(new RecordingAcceptor(), server);
    const raw = await RawClient.open(port, handshake(h2c, { path }));
    await until(() => raw.answer.endsWith("the app"));
    expect(raw.status).toBe(200);
    raw.socket.destroy();
  });

  test("belongs to a listener of others, on our path too", async () => {
    const { server, port } = await httpServer();
    const acceptor = new RecordingAcceptor();
    serveNode(acceptor, server);
    server.on("upgrade", (request, socket) => socket.end(`HTTP/1.1 101 ${request.headers.upgrade}\r\n\r\n`));
    const raw = await RawClient.open(port, handshake(h2c));
    await until(() => raw.ended);
    expect(raw.answer).toBe("HTTP/1.1 101 h2c\r\n\r\n");
    expect(acceptor.refusals).toEqual([]);
  });
});

test("the same path twice on one server is bad-config at once, and free again after close()", async () => {
  const { server, port } = await httpServer();
  const { close } = serveNode(new RecordingAcceptor(), server);
  expect(() => serveNode(new RecordingAcceptor(), server)).toThrow(expect.objectContaining({ code: "bad-config" }));
  close();
  close();
  const second = new RecordingAcceptor();
  serveNode(second, server);
  close();
  const raw = await RawClient.open(port);
  await until(() => raw.status === 101);
  expect(second.all).toHaveLength(1);
  raw.socket.destroy();
});

describe("upgradeHandler", () => {
  /** A server whose own listener asks the gateway first. */
  async function asking(...options: GatewayOptions[]) {
    const { server, port } = await httpServer();
    const gateways = options.map((each) => {
      const acceptor = new RecordingAcceptor();
      onTestFinished(() => acceptor.all.forEach(({ connection }) => connection.close(1001, "test over")));
      return { acceptor, handleUpgrade: upgradeHandler(acceptor, each) };
    });
    const left: string[] = [];
    server.on("upgrade", (request, socket, head) => {
      if (gateways.some(({ handleUpgrade }) => handleUpgrade(request, socket, head))) return;
      left.push(`${request.headers.upgrade} ${request.url}`);
      socket.end("HTTP/1.1 404 Mine\r\n\r\n");
    });
    return { port, left, acceptors: gateways.map(({ acceptor }) => acceptor) };
  }

  test("takes upgrades of its path, with what came with them, and leaves all others to its caller", async () => {
    const { port, left, acceptors: [one, two] } = await asking({ path: "/one" }, { path: "/two" });
    const ours = await RawClient.open(
      port,
      Buffer.concat([Buffer.from(handshake({}, { path: "/two?x=1" })), rawFrame({ payload: new Uint8Array([42]) })]),
    );
    await until(() => two!.all[0]?.messages.length === 1);
    for (const text of [handshake({}, { path: "/three" }), handshake({ Upgrade: "h2c" }, { path: "/one" })]) {
      const raw = await RawClient.open(port, text);
      await until(() => raw.ended);
      expect(raw.answer).toBe("HTTP/1.1 404 Mine\r\n\r\n");
    }
    expect(left).toEqual(["websocket /three", "h2c /one"]);
    expect([one!.all.length, two!.all.length, one!.refusals, two!.refusals]).toEqual([0, 1, [], []]);
    ours.socket.destroy();
  });

  test("answers what it refuses", async () => {
    const { port, left, acceptors } = await asking({});
    const raw = await RawClient.open(port, handshake({ Origin: "https://evil.test" }));
    await until(() => raw.ended);
    expect([raw.status, left, acceptors[0]!.refusals.length]).toEqual([403, [], 1]);
  });
});

describe("a socket of ours that other code ends", () => {
  /** The gateway's handler between two other listeners. */
  async function between(before: (socket: Duplex) => void, after: (socket: Duplex) => void) {
    const { server, port } = await httpServer();
    const acceptor = new RecordingAcceptor();
    const handleUpgrade = upgradeHandler(acceptor);
    server.on("upgrade", (_request, socket) => before(socket));
    server.on("upgrade", handleUpgrade);
    server.on("upgrade", (_request, socket) => after(socket));
    return { acceptor, raw: await RawClient.open(port) };
  }
  const nothing = () => undefined;
  const taken = [{ reason: "taken", what: "/peyk" }];

  test.each<[string, (socket: Duplex) => void]>([
    ["destroyed", (socket) => socket.destroy()],
    ["answered", (socket) => socket.end("HTTP/1.1 400 Theirs\r\n\r\n")],
  ])("before us is named, and not connected: %s", async (_how, end) => {
    const { acceptor, raw } = await between(end, nothing);
    await until(() => raw.ended);
    expect([acceptor.all.length, acceptor.refusals]).toEqual([0, taken]);
  });

  test.each<[string, (socket: Duplex) => void]>([
    ["destroyed at once", (socket) => socket.destroy()],
    ["destroyed later", (socket) => setImmediate(() => socket.destroy())],
    ["answered once more", (socket) => socket.end("HTTP/1.1 400 Theirs\r\n\r\n")],
  ])("after us is named once: %s", async (_how, end) => {
    const { acceptor, raw } = await between(nothing, end);
    await until(() => acceptor.all[0]?.closed.length === 1);
    await until(() => raw.ended);
    expect([acceptor.last.closed, acceptor.refusals]).toEqual([[1006], taken]);
  });

  test.each<[string, (raw: RawClient, acceptor: RecordingAcceptor) => void]>([
    ["the client resets", (raw) => raw.socket.resetAndDestroy()],
    ["the client ends", (raw) => raw.socket.end()],
    ["the client says goodbye", (raw) => raw.write(rawFrame({ opcode: 8, payload: Buffer.from([3, 232]) }))],
    ["the client breaks the protocol", (raw) => raw.write(rawFrame({ opcode: 5 }))],
    ["we say goodbye", (raw, acceptor) => {
      acceptor.last.connection.close(4000, "drain");
      raw.write(rawFrame({ opcode: 8, payload: Buffer.from([0x0f, 0xa0]) }));
    }],
  ])("is not named when %s", async (_how, end) => {
    const { acceptor, raw } = await between(nothing, nothing);
    await until(() => raw.status === 101);
    end(raw, acceptor);
    await until(() => acceptor.open === 0);
    expect(acceptor.refusals).toEqual([]);
    raw.socket.destroy();
  });

  test("is named when two handlers take it, and the first one's connection stays", async () => {
    const { server, port } = await httpServer();
    const [first, second] = [new RecordingAcceptor(), new RecordingAcceptor()];
    server.on("upgrade", upgradeHandler(first));
    server.on("upgrade", upgradeHandler(second));
    const raw = await RawClient.open(port);
    await until(() => raw.status === 101);
    first.last.connection.send(new Uint8Array([1]));
    await until(() => raw.frames.length === 1);
    expect([second.all.length, second.refusals, first.refusals]).toEqual([0, taken, []]);
    raw.socket.destroy();
  });
});

test("what is no engine is bad-config at once, a promise of one with the hint to await it", async () => {
  const { server } = await httpServer();
  const promise = Promise.resolve(new RecordingAcceptor()) as unknown as Acceptor;
  const told = expect.objectContaining({
    code: "bad-config",
    message: "engine: a promise of one",
    hint: expect.stringContaining("await createEngine("),
  });
  expect(() => serveNode(promise, server)).toThrow(told);
  expect(() => upgradeHandler(promise)).toThrow(told);
  expect(() => serveDeno(promise)).toThrow(told);
  for (const nothing of [undefined, null, {}, "engine"]) {
    const bad = nothing as unknown as Acceptor;
    expect(() => serveNode(bad, server)).toThrow(expect.objectContaining({ code: "bad-config" }));
    expect(() => serveDeno(bad)).toThrow(expect.objectContaining({ code: "bad-config" }));
  }
  expect(server.listenerCount("upgrade")).toBe(0);
});

test("what is no server is bad-config at once", () => {
  for (const bad of [undefined, null, {}, Promise.resolve()]) {
    expect(() => serveNode(new RecordingAcceptor(), bad as unknown as UpgradeServer)).toThrow(
      expect.objectContaining({ code: "bad-config" }),
    );
  }
});

test("a node:https and a node:http2 server are served too", async () => {
  const tls = { key, cert: certificate };
  for (const server of [createHttpsServer(tls), createSecureServer({ ...tls, allowHTTP1: true })]) {
    const acceptor = new RecordingAcceptor();
    serveNode(acceptor, server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const socket = new WsClient(`wss://localhost:${port}/peyk`, "peyk.v1", { ca: certificate });
    onTestFinished(() => socket.terminate());
    await until(() => socket.readyState === WsClient.OPEN);
    expect(acceptor.last.request.url).toBe(`https://localhost:${port}/peyk`);
  }
});

test("after close() upgrades are plain requests again, as before", async () => {
  const { server, port } = await httpServer();
  serveNode(new RecordingAcceptor(), server).close();
  const raw = await RawClient.open(port);
  await until(() => raw.status === 200);
  raw.socket.destroy();
});
