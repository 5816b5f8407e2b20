import { Buffer } from "node:buffer";
import { createServer, type ServerOptions } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { serveDeno } from "../../adapters/deno.ts";
import { serveNode } from "../../adapters/node.ts";
import { type Acceptor, createEngine } from "../../mod.ts";
import { encodeClientFrame } from "../../src/protocol/codec.ts";
import { helloFrame } from "../gateway/wire.ts";
import { handshake, RawClient, rawFrame } from "./raw_client.ts";
import { RecordingAcceptor } from "./recording_acceptor.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 30_000, interval: 5 });

async function nodeServer(acceptor: Acceptor, options: ServerOptions = {}) {
  const server = createServer(options, (_request, response) => void response.end("the app"));
  serveNode(acceptor, server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

function denoServer(acceptor: Acceptor) {
  const peyk = serveDeno(acceptor);
  const handler: Deno.ServeHandler = (request, info) => peyk(request, info) ?? new Response("the app");
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, handler);
  onTestFinished(() => server.shutdown());
  return { port: server.addr.port };
}

/** The ways in which this runtime serves an engine: each gives the port. */
const servers: Record<string, (acceptor: Acceptor) => Promise<number>> = {
  serveNode: async (acceptor) => (await nodeServer(acceptor)).port,
  ...("Deno" in globalThis ? { serveDeno: (acceptor: Acceptor) => Promise.resolve(denoServer(acceptor).port) } : {}),
};

/** Who answers a bad upgrade: this gateway, which says what to do, or the runtime's own parser, which does so in few words or none. */
type Answer = { status: number; says: RegExp } | "runtime" | "taken" | "app";

interface Case {
  readonly what: string;
  readonly text: string | Uint8Array;
  readonly serveNode: Answer;
  /** The same where it is not named. */
  readonly serveDeno?: Answer;
}

const noHost: Answer = { status: 400, says: /Host header is missing or no host/ };
const noPath: Answer = { status: 404, says: /Nothing takes WebSocket connections here/ };
const noVersion: Answer = { status: 400, says: /Sec-WebSocket-Version is to be 13/ };
const noKey: Answer = { status: 400, says: /Sec-WebSocket-Key is to be 16 bytes in base64/ };
const noMethod: Answer = { status: 405, says: /handshake is a GET/ };
const noBody: Answer = { status: 400, says: /handshake has no body/ };

const path = (target: string, node: Answer, deno: Answer = node): Case => ({
  what: `the path ${target.slice(0, 30)}`,
  text: handshake({}, { path: target }),
  serveNode: node,
  serveDeno: deno,
});
const host = (value: string | undefined, node: Answer, deno: Answer = node): Case => ({
  what: `the host ${value?.slice(0, 30)}`,
  text: handshake({ Host: value }),
  serveNode: node,
  serveDeno: deno,
});
const frame = rawFrame({ payload: new Uint8Array([1]) });
const body = (what: string, headers: Record<string, string>, sent: string): Case => ({
  what,
  text: Buffer.concat([Buffer.from(handshake(headers) + sent), frame]),
  serveNode: noBody,
  serveDeno: "runtime",
});
const filler = "x".repeat(65_536);

const cases: readonly Case[] = [
  path("//", noPath, "app"),
  path("*", noPath, "runtime"),
  path("/peyk%00", noPath, "app"),
  path("/peyk;x", noPath, "app"),
  path("/peyk/", noPath, "app"),
  path("//peyk", noPath, "app"),
  path("/./peyk", noPath, "app"),
  path("/%70eyk", noPath, "app"),
  path("peyk", "runtime"),
  path("/peyk?a b", "runtime"),
  path(`/${filler}`, "runtime"),
  // Servers have to take the whole URL (RFC 9112 section 3.2.2).
  path("http://x.test/peyk?a=1", "taken"),
  path("http://user:secret@x.test:99999/peyk", "taken"),
  path("http://[/peyk", "taken"),
  path("http://x.test/other", noPath, "app"),
  host(undefined, noHost),
  host("", noHost),
  host("user@a.test", noHost),
  host("a.test/x", noHost, "app"),
  host("a.test?x", noHost, "app"),
  host("a.test:99999", noHost),
  host("[::1", noHost),
  host("a b", noHost),
  host("[::1]", "taken"),
  host("[::1]:8080", "taken"),
  host(filler, "runtime"),
  { what: "two hosts", text: handshake({ Host: "a.test\r\nHost: b.test" }), serveNode: "taken", serveDeno: "runtime" },
  ...[undefined, "", "7", "8", "13,13", "13.0", "0x0d", "13\r\nSec-WebSocket-Version: 13"].map((version): Case => ({
    what: `the version ${version}`,
    text: handshake({ "Sec-WebSocket-Version": version }),
    serveNode: noVersion,
  })),
  ...[undefined, "", "short", "x\r\nSec-WebSocket-Key: y", "Ω".repeat(24), "=".repeat(24)].map((key): Case => ({
    what: `the key ${key}`,
    text: handshake({ "Sec-WebSocket-Key": key }),
    serveNode: noKey,
  })),
  ...["POST", "OPTIONS", "PUT", "TRACE"].map((method): Case => ({
    what: `the method ${method}`,
    text: handshake({}, { method }),
    serveNode: noMethod,
  })),
  ...["BREW", "get"].map((method): Case => ({
    what: `the method ${method}`,
    text: handshake({}, { method }),
    serveNode: "runtime",
    serveDeno: noMethod,
  })),
  { what: "the method CONNECT", text: handshake({}, { method: "CONNECT" }), serveNode: "runtime" },
  body("a body of 5 bytes and a frame", { "Content-Length": "5" }, "hello"),
  body("a chunked body and a frame", { "Transfer-Encoding": "chunked" }, "5\r\nhello\r\n0\r\n\r\n"),
  body("a chunked body that never ends", { "Transfer-Encoding": "chunked" }, "ffff\r\nhe"),
  body("a body that never comes", { "Content-Length": "99999", Expect: "100-continue" }, ""),
  {
    what: "a length and chunks",
    text: handshake({ "Content-Length": "5", "Transfer-Encoding": "chunked" }) + "5\r\nhello\r\n0\r\n\r\n",
    serveNode: "runtime",
  },
  { what: "a length that is none", text: handshake({ "Content-Length": "x" }), serveNode: "runtime" },
  { what: "a header of 64 KB", text: handshake({ Filler: filler }), serveNode: "runtime" },
  { what: "an origin of 64 KB", text: handshake({ Origin: filler }), serveNode: "runtime" },
  { what: "a forwarded host of 64 KB", text: handshake({ "X-Forwarded-Host": filler }), serveNode: "runtime" },
  {
    what: "a page with a forwarded host of 12 KB",
    text: handshake({ Origin: "https://evil.test", "X-Forwarded-Host": "evil.test,".repeat(1_200) }),
    serveNode: { status: 403, says: /origin/ },
  },
];

describe.each(Object.keys(servers))("%s", (name) => {
  test.each(cases)("answers an upgrade with $what", async (item) => {
    const acceptor = new RecordingAcceptor();
    const port = await servers[name]!(acceptor);
    const raw = await RawClient.open(port, item.text);
    onTestFinished(() => void raw.socket.destroy());
    const answer = (name === "serveDeno" ? item.serveDeno : undefined) ?? item.serveNode;
    await until(() => raw.status !== 0 || raw.ended);
    if (answer === "taken") {
      expect(raw.status).toBe(101);
      await until(() => acceptor.all.length === 1);
      expect(URL.canParse(acceptor.last.request.url)).toBe(true);
      expect(new URL(acceptor.last.request.url).pathname).toBe("/peyk");
      expect(acceptor.last.request.url).not.toContain("secret");
    } else {
      expect(acceptor.all).toEqual([]);
      if (answer === "app") expect(raw.answer).toContain("the app");
      if (answer === "runtime") expect(raw.status === 0 || (raw.status >= 400 && raw.status < 500)).toBe(true);
      if (typeof answer === "object") {
        await until(() => answer.says.test(raw.answer));
        expect(raw.status).toBe(answer.status);
        expect(acceptor.refusals).toHaveLength(1);
      }
      // What a gateway has refused it ends, as far as the runtime leaves that to it.
      if (name === "serveNode") await until(() => raw.ended);
    }
    const honest = await RawClient.open(port);
    await until(() => honest.status === 101);
    honest.socket.destroy();
  });
});

/** Waits until no socket or server keeps the process alive, as Node counts them. Deno does not tell. */
const nothingIsHeld = () => {
  const held = () => "Deno" in globalThis ? [] : process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP"));
  return vi.waitFor(() => expect(held()).toEqual([]), 10_000);
};

/** Opens many at once, 100 at a time. */
async function crowd(port: number, first: string): Promise<RawClient[]> {
  const all: RawClient[] = [];
  while (all.length < 2_000) all.push(...await Promise.all(Array.from({ length: 100 }, () => RawClient.open(port, first))));
  onTestFinished(() => all.forEach(({ socket }) => socket.destroy()));
  return all;
}

async function openSockets(server: ReturnType<typeof createServer>): Promise<number> {
  return await new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
}

test("2,000 upgrades that stop half-way are ended by the server's own time-outs, and an honest client is served meanwhile", async () => {
  await nothingIsHeld();
  const acceptor = new RecordingAcceptor();
  const { server, port } = await nodeServer(acceptor, {
    headersTimeout: 3_000,
    requestTimeout: 3_000,
    connectionsCheckingInterval: 100,
  });
  const slow = await crowd(port, handshake().slice(0, -2));
  const honest = await RawClient.open(port);
  await until(() => honest.status === 101);
  honest.write(frame);
  await until(() => honest.frames.length === 1);
  await until(() => slow.every(({ ended }) => ended));
  expect(slow.every(({ status }) => status === 408)).toBe(true);
  expect(acceptor.all).toHaveLength(1);
  honest.socket.destroy();
  await vi.waitFor(async () => expect(await openSockets(server)).toBe(0), 10_000);
  server.close();
  await nothingIsHeld();
});

test("2,000 connections that never say hello are ended after 10 s, and an honest client is served meanwhile", async () => {
  await nothingIsHeld();
  const clock = createManualClock();
  const engine = await createEngine({ insecure: true, clock, logger: { info() {}, warn() {}, error() {} } });
  const { server, port } = await nodeServer(engine);
  const silent = await crowd(port, handshake());
  await until(() => engine.counters().connections === 2_000);
  const honest = await RawClient.open(port);
  honest.write(rawFrame({ payload: encodeClientFrame({ ...helloFrame("honest"), token: "sara" }) }));
  await until(() => honest.frames.length > 0);
  await clock.advance(9_999);
  expect(engine.counters().connections).toBe(2_001);
  await clock.advance(1);
  await until(() => silent.every(({ closeCode }) => closeCode === 4003));
  expect(engine.counters()).toMatchObject({ connections: 1, attached: 1, refused: { helloTimeout: 2_000 } });
  // They don't answer the close either: 3 s later their sockets are gone all the same.
  await until(() => silent.every(({ ended }) => ended));
  await vi.waitFor(async () => expect(await openSockets(server)).toBe(1), 10_000);
  expect(honest.ended).toBe(false);
  honest.socket.destroy();
  await engine.close();
  server.close();
  await nothingIsHeld();
});
