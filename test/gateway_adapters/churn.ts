import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { serveNode } from "../../adapters/node.ts";
import { handshake, RawClient } from "./raw_client.ts";
import { RecordingAcceptor } from "./recording_acceptor.ts";

/** What is left after all that. */
export interface Left {
  /** Connections that the engine still believes in. */
  open: number;
  /** Sockets of the server that did not close. */
  sockets: number;
  /** The same as the server counts. */
  connections: number;
  /** How many upgrades were refused, by reason. */
  refused: Record<string, number>;
}

const refusedOnes = [
  handshake({ Origin: "https://evil.test" }),
  handshake({ "Sec-WebSocket-Protocol": "chat" }),
  handshake({}, { path: "/other" }),
];

/** Upgrades one server many times: a third is refused, a third is reset as soon as it is written or open, a third says goodbye. */
export async function churn({ upgrades, atOnce }: { upgrades: number; atOnce: number }): Promise<Left> {
  const server = createServer();
  const acceptor = new RecordingAcceptor();
  const gateway = serveNode(acceptor, server);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => void sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < upgrades) await one(port, next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  await when(() => sockets.size === 0 && acceptor.open === 0);
  const connections = await new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));
  gateway.close();
  await new Promise((resolve) => server.close(resolve));

  const refused: Record<string, number> = {};
  for (const { reason } of acceptor.refusals) refused[reason] = (refused[reason] ?? 0) + 1;
  return { open: acceptor.open, sockets: sockets.size, connections, refused };
}

async function one(port: number, number: number): Promise<void> {
  const kind = number % 3;
  const raw = await RawClient.open(port, kind === 0 ? refusedOnes[number / 3 % 3]! : handshake());
  if (kind === 1) {
    if (number % 2 === 0) await when(() => raw.status === 101);
    raw.socket.resetAndDestroy();
  } else if (kind === 2) {
    await when(() => raw.status === 101);
    raw.socket.end();
  }
  await when(() => raw.ended);
  raw.socket.destroy();
}

/** Looks again each turn; gives up after a minute. */
async function when(condition: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`still not so: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
