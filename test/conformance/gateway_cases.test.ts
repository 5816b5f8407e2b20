import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { gatewayCases, runGatewayCase, type ServedGateway } from "../../adapters/conformance/conformance.ts";
import type { Acceptor, Connection, ConnectionEvents } from "../../src/ports/connection.ts";

type Spoil = (
  connection: Connection,
  socket: WebSocket,
  events: ConnectionEvents,
) => { connection?: Connection; events?: ConnectionEvents };

interface SpoiledServer {
  maxPayload?: number;
  handleProtocols?: () => false;
  verifyClient?: (info: { req: IncomingMessage }, answer: (isTaken: boolean, status: number) => void) => void;
}

/** A gateway as small as can be, on ws. */
async function serve(
  acceptor: Acceptor,
  spoil: Spoil = () => ({}),
  spoilServer: SpoiledServer = {},
): Promise<ServedGateway> {
  const server = createServer();
  const sockets = new WebSocketServer({
    server,
    maxPayload: acceptor.maxFrameBytes,
    verifyClient({ req }, answer) {
      const isOurs = req.headers["sec-websocket-protocol"] === "peyk.v1";
      if (!isOurs) acceptor.refused("subprotocol", "");
      answer(isOurs, 400);
    },
    ...spoilServer,
  });
  sockets.on("connection", (socket, request) => {
    let waits = false;
    const real: Connection = {
      send(bytes) {
        if (socket.readyState !== socket.OPEN) return true;
        socket.send(bytes, () => {
          if (waits && socket.bufferedAmount === 0) {
            waits = false;
            spoiled.events.drained();
          }
        });
        waits ||= socket.bufferedAmount > 0;
        return !waits;
      },
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
      close: (code, reason) => socket.close(code, reason),
    };
    const forward: ConnectionEvents = {
      message: (bytes) => events.message(bytes),
      drained: () => events.drained(),
      closed: (code) => events.closed(code),
    };
    const spoiled = { connection: real, events: forward, ...spoil(real, socket, forward) };
    const headers = new Headers(request.headers as Record<string, string>);
    const events = acceptor.accept(spoiled.connection, {
      url: request.url!,
      headers,
      remoteAddress: request.socket.remoteAddress,
    });
    socket.on("message", (data) => spoiled.events.message(new Uint8Array(data as Buffer)));
    socket.on("error", () => {});
    socket.on("close", (code) => spoiled.events.closed(code));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/peyk`,
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets.clients) socket.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

describe("a gateway that keeps to the port", () => {
  for (const one of gatewayCases()) test(one.name, () => runGatewayCase(one, serve));
});

/** `connection` with some of its members replaced. */
function changed(
  connection: Connection,
  send: Connection["send"],
  close: Connection["close"] = (...what) => connection.close(...what),
): Connection {
  return {
    send,
    close,
    get bufferedAmount() {
      return connection.bufferedAmount;
    },
  };
}

const defects: Record<string, [caughtBy: string, spoil: Spoil, server?: SpoiledServer]> = {
  "speaks no subprotocol": ["speaks the subprotocol and hands over the request", () => ({}), { handleProtocols: () => false }],
  "keeps its refusals to itself": [
    "refuses another subprotocol and reports why, once, and nothing of what it takes",
    () => ({}),
    { verifyClient: ({ req }, answer) => answer(req.headers["sec-websocket-protocol"] === "peyk.v1", 400) },
  ],
  "takes every subprotocol": [
    "refuses another subprotocol and reports why, once, and nothing of what it takes",
    () => ({}),
    { verifyClient: (_, answer) => answer(true, 101) },
  ],
  "brings half of a large message": [
    "brings every binary message, whole and in order, to the engine",
    (_, __, events) => ({ events: { ...events, message: (bytes) => events.message(bytes.subarray(0, 32_768)) } }),
  ],
  "sends text": [
    "brings every send, whole and in order, to the client as a binary message",
    (connection, socket) => ({
      connection: changed(connection, () => {
        socket.send("text");
        return true;
      }),
    }),
  ],
  "changes the bytes it was lent": [
    "sends the same bytes to many connections",
    (connection) => ({
      connection: changed(connection, (bytes) => {
        bytes[0]! ^= 255;
        return connection.send(bytes);
      }),
    }),
  ],
  "closes with a code of its own": [
    "says goodbye with the engine's code and reason, and reports the end once",
    (connection) => ({ connection: changed(connection, (bytes) => connection.send(bytes), () => connection.close(1000, "")) }),
  ],
  "reports the end twice": [
    "reports a client's close code, once",
    (_, __, events) => ({
      events: {
        ...events,
        closed(code) {
          events.closed(code);
          events.closed(code);
        },
      },
    }),
  ],
  "throws when the socket is gone": [
    "reports a client's close code, once",
    (connection, socket) => ({
      connection: changed(connection, (bytes) => {
        if (socket.readyState !== socket.OPEN) throw new Error("gone");
        return connection.send(bytes);
      }),
    }),
  ],
  "takes messages of any size": [
    "closes on a message larger than the engine takes, and does not bring it",
    () => ({}),
    { maxPayload: 100_000_000 },
  ],
  "never says that it is slow": [
    "counts what waits and reports when it is gone",
    (connection) => ({ connection: changed(connection, (bytes) => [connection.send(bytes)].length === 1) }),
  ],
  "counts for ever": [
    "counts what waits and reports when it is gone",
    (connection) => ({ connection: { ...changed(connection, (bytes) => connection.send(bytes)), bufferedAmount: 1 } }),
  ],
};

describe("a gateway is caught that", () => {
  for (const [defect, [caughtBy, spoil, server]] of Object.entries(defects)) {
    test(defect, async () => {
      const one = gatewayCases().find(({ name }) => name === caughtBy)!;
      await expect(runGatewayCase(one, (acceptor) => serve(acceptor, spoil, server))).rejects.toThrow();
    });
  }
});

test("every gateway case catches somebody", () => {
  const catching = new Set(Object.values(defects).map(([caughtBy]) => caughtBy));
  expect(gatewayCases().map(({ name }) => name).filter((name) => !catching.has(name))).toEqual([]);
});
