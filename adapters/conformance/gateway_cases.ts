import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { Acceptor, Connection, ConnectionRequest, UpgradeRefusal } from "../../src/ports/connection.ts";
import { SUBPROTOCOL } from "../../src/protocol/frames.ts";

/** How long a case waits for a socket, real milliseconds. */
const PATIENCE_MS = 30_000;
const MAX_FRAME_BYTES = 65_536;

/** A gateway that serves. */
export interface ServedGateway {
  /** Where a WebSocket connects to, `ws://...`. */
  readonly url: string;
  close(): Promise<void>;
}

/** One thing that a gateway and its connections must do. */
export interface GatewayCase {
  readonly name: string;
  run(connect: () => Promise<Pair>, refusals: Refusals): Promise<void>;
}

/** What the gateway does not take. */
export interface Refusals {
  /** Offers this subprotocol, and resolves when the gateway has said no. */
  offer(subprotocol: string): Promise<void>;
  /** The reasons that were reported. */
  readonly told: readonly UpgradeRefusal[];
}

/** Both ends of one open connection, and what was told about it. */
export interface Pair {
  readonly socket: WebSocket;
  /** What came out of the socket, text as it is. */
  readonly received: (Uint8Array | string)[];
  readonly connection: Connection;
  readonly request: ConnectionRequest;
  readonly messages: Uint8Array[];
  readonly closed: number[];
  readonly drained: () => number;
}

/**
 * Runs one case over a real WebSocket.
 * @param serve starts the gateway on a free port, with this acceptor
 * @throws what the gateway did otherwise
 */
export async function runGatewayCase({ run }: GatewayCase, serve: (acceptor: Acceptor) => Promise<ServedGateway>): Promise<void> {
  type Served = Omit<Pair, "socket" | "received">;
  const waiting: ((served: Served) => void)[] = [];
  const told: UpgradeRefusal[] = [];
  const gateway = await serve({
    maxFrameBytes: MAX_FRAME_BYTES,
    accept(connection, request) {
      let drained = 0;
      const served: Served = { connection, request, messages: [], closed: [], drained: () => drained };
      waiting.shift()?.(served);
      return {
        message: (bytes) => void served.messages.push(bytes),
        drained: () => void drained++,
        closed: (code) => void served.closed.push(code),
      };
    },
    refused: (reason) => void told.push(reason),
  });
  const sockets: WebSocket[] = [];
  try {
    await run(async () => {
      const accepted = new Promise<Served>((resolve) => waiting.push(resolve));
      const socket = new WebSocket(gateway.url, SUBPROTOCOL);
      sockets.push(socket);
      socket.binaryType = "arraybuffer";
      const received: (Uint8Array | string)[] = [];
      socket.onmessage = ({ data }) => void received.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
      await new Promise<void>((resolve, reject) => {
        socket.onopen = () => resolve();
        socket.onerror = () => reject(new Error("the gateway did not take the connection"));
      });
      return { socket, received, ...await accepted };
    }, {
      told,
      offer: (subprotocol) =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(gateway.url, subprotocol);
          sockets.push(socket);
          socket.onopen = () => reject(new Error("the gateway took a connection of another protocol"));
          socket.onerror = () => resolve();
        }),
    });
  } finally {
    for (const socket of sockets) socket.close();
    await gateway.close();
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const giveUp = performance.now() + PATIENCE_MS;
  for (; !condition(); await new Promise((resolve) => setTimeout(resolve, 1))) {
    if (performance.now() > giveUp) throw new Error(`never happened: ${what}`);
  }
}

/** Messages of many sizes; each begins with its number. */
function manyMessages(): Uint8Array<ArrayBuffer>[] {
  return [1, 2, 125, 126, 127, 1_000, 65_535, 65_536, ...Array<number>(50).fill(64)].map((size, index) => {
    const bytes = new Uint8Array(size).fill(size & 255);
    bytes[0] = index;
    return bytes;
  });
}

function same(a: readonly (Uint8Array | string)[], b: readonly Uint8Array[]): boolean {
  const text = (all: readonly (Uint8Array | string)[]) =>
    all.map((one) => typeof one === "string" ? "text" : `${one.length} ${one[0]} ${one.at(-1)}`);
  deepStrictEqual(text(a), text(b));
  return true;
}

/** What every gateway must do. */
export function gatewayCases(): GatewayCase[] {
  return [
    {
      name: "speaks the subprotocol and hands over the request",
      async run(connect) {
        const { socket, request } = await connect();
        strictEqual(socket.protocol, SUBPROTOCOL);
        strictEqual(request.headers.get("upgrade")?.toLowerCase(), "websocket");
        strictEqual(new URL(request.url, "http://localhost").pathname, new URL(socket.url).pathname);
      },
    },
    {
      name: "refuses another subprotocol and reports why, once, and nothing of what it takes",
      async run(connect, { offer, told }) {
        await offer("another.v1");
        await connect();
        deepStrictEqual(told, ["subprotocol"]);
      },
    },
    {
      name: "brings every binary message, whole and in order, to the engine",
      async run(connect) {
        const { socket, messages } = await connect();
        const sent = manyMessages();
        for (const bytes of sent) socket.send(bytes);
        await until(() => messages.length >= sent.length, "all messages at the engine");
        same(messages, sent);
      },
    },
    {
      name: "brings every send, whole and in order, to the client as a binary message",
      async run(connect) {
        const { connection, received } = await connect();
        const sent = manyMessages();
        for (const bytes of sent) connection.send(bytes);
        await until(() => received.length >= sent.length, "all messages at the client");
        same(received, sent);
      },
    },
    {
      name: "sends the same bytes to many connections",
      async run(connect) {
        const pairs = [await connect(), await connect(), await connect()];
        const bytes = Uint8Array.of(1, 2, 3);
        for (const { connection } of pairs) connection.send(bytes);
        await until(() => pairs.every(({ received }) => received.length === 1), "the message at each client");
        for (const { received } of pairs) deepStrictEqual([...received[0] as Uint8Array], [1, 2, 3]);
      },
    },
    {
      name: "says goodbye with the engine's code and reason, and reports the end once",
      async run(connect) {
        const { socket, connection, closed } = await connect();
        let event: CloseEvent | undefined;
        socket.onclose = (closing) => event = closing;
        connection.close(4101, "replaced");
        await until(() => event !== undefined && closed.length > 0, "both ends closed");
        deepStrictEqual([event!.code, event!.reason], [4101, "replaced"]);
        connection.close(4000, "again");
        connection.send(Uint8Array.of(1));
        await connect(); // time enough for what should not come
        strictEqual(closed.length, 1);
      },
    },
    {
      name: "reports a client's close code, once",
      async run(connect) {
        const { socket, connection, closed } = await connect();
        socket.close(4007);
        await until(() => closed.length > 0, "the end reported");
        connection.send(Uint8Array.of(1));
        connection.close(1000, "");
        await connect(); // time enough for what should not come
        deepStrictEqual(closed, [4007]);
      },
    },
    {
      name: "counts what waits and reports when it is gone",
      async run(connect) {
        const { connection, received, drained } = await connect();
        strictEqual(connection.bufferedAmount, 0);
        const large = new Uint8Array(1 << 20);
        for (let index = 0; index < 32; index++) {
          const said = connection.send(large);
          if (connection.bufferedAmount >= 65_536) strictEqual(said, false, "send says that 64 KiB or more wait");
        }
        const waited = connection.bufferedAmount > 0;
        await until(() => received.length === 32 && connection.bufferedAmount === 0, "everything sent");
        if (waited) await until(() => drained() > 0, "drained reported");
      },
    },
    {
      name: "closes on a message larger than the engine takes, and does not bring it",
      async run(connect) {
        const { socket, messages, closed } = await connect();
        socket.send(new Uint8Array(MAX_FRAME_BYTES * 16));
        await until(() => closed.length > 0 || messages.length > 0, "the connection closed");
        deepStrictEqual([messages.length, closed.length], [0, 1]);
      },
    },
  ];
}
