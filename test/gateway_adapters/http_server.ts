import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import type { GatewayOptions } from "../../adapters/node.ts";
import { RecordingAcceptor } from "./recording_acceptor.ts";

/** A real http server on a free port, gone when the test is. */
export async function httpServer(): Promise<{ server: Server; port: number }> {
  const server = createServer((_request, response) => void response.end("the app"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

/** The same with a gateway and something to report to. */
export async function gateway(options?: GatewayOptions) {
  const { server, port } = await httpServer();
  const acceptor = new RecordingAcceptor();
  const served = serveNode(acceptor, server, options);
  // Upgraded sockets are the engine's, so closing the server leaves them.
  onTestFinished(() => acceptor.all.forEach(({ connection }) => connection.close(1001, "test over")));
  return { server, port, acceptor, served, url: `ws://127.0.0.1:${port}/peyk` };
}
