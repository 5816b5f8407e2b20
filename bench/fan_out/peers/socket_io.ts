import { createServer } from "node:http";
import { Server } from "socket.io";
import { listen, type Peer } from "./peer.ts";

/** Socket.IO with its defaults, over WebSocket alone, sending a text event. */
export async function startSocketIo(): Promise<Peer> {
  const server = createServer();
  const io = new Server(server, { transports: ["websocket"] });
  return {
    port: await listen(server),
    broadcast(texts) {
      for (const text of texts) io.emit("message", text);
    },
  };
}
