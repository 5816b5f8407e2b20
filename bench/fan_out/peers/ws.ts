import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { listen, type Peer } from "./peer.ts";

/** What most people write: `send` to each client in a loop. */
export function startWs(): Promise<Peer> {
  return start((texts) => texts.map((text) => Buffer.from(text)));
}

/** The same with all payloads of a burst in one message: what merging alone brings. */
export function startWsBatched(): Promise<Peer> {
  return start((texts) => [Buffer.from(texts.join(""))]);
}

async function start(messagesOf: (texts: readonly string[]) => Buffer[]): Promise<Peer> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  return {
    port: await listen(server),
    broadcast(texts) {
      for (const message of messagesOf(texts)) {
        for (const client of sockets.clients) {
          if (client.readyState === WebSocket.OPEN) client.send(message);
        }
      }
    },
  };
}
