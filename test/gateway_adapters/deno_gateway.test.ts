import { Buffer } from "node:buffer";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type GatewayOptions, serveDeno } from "../../adapters/deno.ts";
import { handshake, RawClient, rawFrame } from "./raw_client.ts";
import { RecordingAcceptor } from "./recording_acceptor.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

/** An upgrade as `Deno.serve` would show it: undefined leaves a header out. */
function request(headers: Record<string, string | undefined> = {}, url = "http://here.test/peyk"): Request {
  const all = { host: "here.test", upgrade: "websocket", connection: "Upgrade", "sec-websocket-protocol": "peyk.v1", ...headers };
  return new Request(url, { headers: Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined) });
}

describe("before Deno upgrades anything", () => {
  const gateway = serveDeno(new RecordingAcceptor());

  test.each(["http://here.test/", "http://here.test/peyk/", "http://here.test/other", "http://here.test/peyk%2f"])(
    "a request for %s is the app's",
    (url) => expect(gateway(request({}, url))).toBeUndefined(),
  );

  test("a request that is no upgrade is the app's", () => {
    expect(gateway(request({ upgrade: undefined }))).toBeUndefined();
    expect(gateway(request({ upgrade: "h2c" }))).toBeUndefined();
  });

  test("a foreign origin is answered 403", () => {
    expect(gateway(request({ origin: "https://evil.test" }))?.status).toBe(403);
    expect(serveDeno(new RecordingAcceptor(), { origins: [] })(request({ origin: "http://here.test" }))?.status).toBe(403);
  });

  test("a wrong subprotocol is answered 400 and told the right one", async () => {
    for (const protocols of [undefined, "chat", "peyk.v2"]) {
      const response = gateway(request({ "sec-websocket-protocol": protocols }));
      expect(response?.status).toBe(400);
      expect(await response?.text()).toContain("peyk.v1");
    }
  });

  test("what is no handshake is answered 400", () => {
    expect(gateway(request())?.status).toBe(400); // no key, no version
  });

  test("what is refused is reported with the reason, what is the app's is not", () => {
    const acceptor = new RecordingAcceptor();
    const gateway = serveDeno(acceptor);
    gateway(request({ origin: "https://evil.test" }));
    gateway(request({ "sec-websocket-protocol": "chat" }));
    gateway(request({ "sec-websocket-version": "7" }));
    gateway(request({}, "http://here.test/other?token=secret"));
    gateway(request({ upgrade: undefined }));
    expect(acceptor.refusals).toEqual([
      { reason: "origin", what: "https://evil.test at here.test" },
      { reason: "subprotocol", what: "chat" },
      { reason: "handshake", what: "GET with version 7" },
    ]);
  });

  test("bad options are told when the gateway is made", () => {
    expect(() => serveDeno(new RecordingAcceptor(), { path: "peyk" })).toThrow(expect.objectContaining({ code: "bad-config" }));
  });
});

/** `Deno.serve` with a gateway in front of an app. */
function denoServer(options?: GatewayOptions) {
  const acceptor = new RecordingAcceptor();
  const gateway = serveDeno(acceptor, options);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => undefined },
    (request, info) => gateway(request, info) ?? new Response("the app"),
  );
  onTestFinished(async () => {
    for (const { connection } of acceptor.all) connection.close(1000, "test over");
    await server.shutdown();
  });
  return { acceptor, port: server.addr.port };
}

// Only Deno has Deno.serve; on Node the rules above are all there is to test.
if ("Deno" in globalThis) {
  describe("on Deno", () => {
    test("bytes come back whole and in order, and the request reaches the engine", async () => {
      const { acceptor, port } = denoServer();
      const socket = new WebSocket(`ws://127.0.0.1:${port}/peyk?x=1`, "peyk.v1");
      socket.binaryType = "arraybuffer";
      const got: number[] = [];
      socket.onmessage = ({ data }) => void got.push(data.byteLength);
      await new Promise((resolve) => (socket.onopen = resolve));
      expect(socket.protocol).toBe("peyk.v1");
      const sizes = [0, 1, 125, 126, 65_535, 65_536];
      for (const size of sizes) socket.send(new Uint8Array(size));
      await until(() => got.length === sizes.length);
      expect(got).toEqual(sizes);
      const { request, closed } = acceptor.last;
      expect([request.url, request.remoteAddress]).toEqual([`http://127.0.0.1:${port}/peyk?x=1`, "127.0.0.1"]);
      expect(request.headers.get("host")).toBe(`127.0.0.1:${port}`);
      socket.close(1000);
      await until(() => closed.length === 1);
      expect(closed).toEqual([1000]);
    });

    test("other requests reach the app", async () => {
      const { port } = denoServer();
      expect(await (await fetch(`http://127.0.0.1:${port}/peyk`)).text()).toBe("the app");
    });

    test.each([[Buffer.from("hello"), 1, 4102], [new Uint8Array(65_537), 2, 4104]])(
      "a text or an oversize message closes with a code (%#)",
      async (payload, opcode, code) => {
        const { acceptor, port } = denoServer();
        const raw = await RawClient.open(port);
        await until(() => acceptor.all.length === 1);
        raw.write(rawFrame({ opcode, payload }));
        await until(() => raw.closeCode === code);
        raw.socket.destroy();
        await until(() => acceptor.open === 0);
        expect([acceptor.last.messages, acceptor.last.closed]).toEqual([[], [1005]]);
      },
    );

    test("a broken frame, a reset and an end of stream are reported once each", async () => {
      const { acceptor, port } = denoServer();
      const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(port)));
      await until(() => acceptor.all.length === 3);
      clients[0]?.write(rawFrame({ opcode: 5 }));
      clients[1]?.socket.resetAndDestroy();
      clients[2]?.socket.end();
      await until(() => acceptor.open === 0);
      expect(acceptor.all.map(({ closed }) => closed)).toEqual([[1006], [1006], [1006]]);
      for (const { socket } of clients) socket.destroy();
    });

    test("a close that is never answered is reported, and nothing is thrown after it", async () => {
      const { acceptor, port } = denoServer();
      const raw = await RawClient.open(port, handshake());
      await until(() => acceptor.all.length === 1);
      const { connection, closed } = acceptor.last;
      connection.close(4000, "drain ".repeat(50));
      await until(() => raw.closeCode === 4000);
      await until(() => closed.length === 1);
      connection.send(new Uint8Array(1));
      connection.close(4000, "again");
      // The answer comes after all: Deno closes its socket now, which must not be reported a second time.
      raw.write(rawFrame({ opcode: 8, payload: Buffer.from([0x0f, 0xa0]) }));
      await until(() => raw.ended);
      const later = await RawClient.open(port);
      await until(() => acceptor.all.length === 2);
      later.socket.destroy();
      await until(() => acceptor.open === 0);
      expect(closed).toEqual([1006]);
    });

    test("a slow reader shows in bufferedAmount, and drained is reported when it has caught up", async () => {
      const { acceptor, port } = denoServer();
      const raw = await RawClient.open(port);
      await until(() => acceptor.all.length === 1);
      raw.socket.pause();
      const record = acceptor.last;
      for (let i = 0; i < 200; i++) record.connection.send(new Uint8Array(65_536));
      expect(record.connection.bufferedAmount).toBeGreaterThan(1_000_000);
      expect(record.drained).toBe(0);
      raw.socket.resume();
      await until(() => record.drained === 1);
      expect(record.connection.bufferedAmount).toBe(0);
      raw.socket.destroy();
      await until(() => acceptor.open === 0);
    });
  });
}
